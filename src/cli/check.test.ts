import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runHere } from "./testing/command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "ashlar-check-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** A history file of operations one after the other: `[client, name, key, input, output]`. */
function historyFile(
  ...operations: [client: string, name: string, key: string | undefined, input: unknown, output: unknown][]
): string {
  const lines = operations.flatMap(([client, name, key, input, output], id) => [
    { event: "invoke", id, client, name, key, input },
    { event: "ok", id, output },
  ]);
  const file = join(folder, `${files++}.jsonl`);
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return file;
}

const check = (...args: string[]) => runHere(["check", ...args]);
const fine = historyFile(["a", "set", "x", 1, undefined], ["b", "get", "x", undefined, 1]);
const stale = historyFile(["a", "set", "x", "<i>1</i>", undefined], ["b", "get", "x", undefined, null]);

test("a history that a correct system could have made ends with 0, another one with 1 and its story", async () => {
  const good = await check("--model", "key-value", fine);
  assert.equal(good.code, 0);
  assert.match(good.stdout, /^linearizable key-value: ok\n/);
  const bad = await check("--model", "key-value", stale);
  assert.equal(bad.code, 1);
  assert.match(bad.stdout, /^linearizable key-value: violated\n.*\n( {2}.*\n)*.*b: get x/);
});

test("what cannot be decided ends with 3", async () => {
  const { code, stdout } = await check("--model", "key-value", fine, "--steps", "1");
  assert.equal(code, 3);
  assert.match(stdout, /^linearizable key-value: unknown\nnot decided within 1 steps/);
});

test("transactions, sessions and messages have models of their own", async () => {
  const skew = historyFile(
    [
      "a",
      "transact",
      undefined,
      [
        ["r", "x", null],
        ["append", "y", 1],
      ],
      [
        ["r", "x", null],
        ["append", "y", 1],
      ],
    ],
    [
      "b",
      "transact",
      undefined,
      [
        ["r", "y", null],
        ["append", "x", 1],
      ],
      [
        ["r", "y", null],
        ["append", "x", 1],
      ],
    ],
    [
      "c",
      "transact",
      undefined,
      [
        ["r", "x", null],
        ["r", "y", null],
      ],
      [
        ["r", "x", [1]],
        ["r", "y", [1]],
      ],
    ],
  );
  const strict = await check("--model", "list-append", skew, "--html", join(folder, "skew.html"));
  assert.equal(strict.code, 1);
  assert.match(readFileSync(join(folder, "skew.html"), "utf8"), /class="edge"/);
  assert.equal((await check("--model", "list-append", "--level", "read-committed", skew)).code, 0);
  const backwards = historyFile(
    ["a", "set", "x", 1, undefined],
    ["b", "get", "x", undefined, 1],
    ["b", "get", "x", undefined, null],
  );
  assert.equal((await check("--model", "sessions", backwards)).code, 1);
  const twice = historyFile(
    ["p", "send", undefined, "m", undefined],
    ["c", "receive", undefined, undefined, "m"],
    ["c", "receive", undefined, undefined, "m"],
  );
  assert.equal((await check("--model", "exactly-once", twice)).code, 1);
  assert.equal((await check("--model", "at-least-once", "--order", "all", twice)).code, 0);
});

test("the drawing stands alone and takes texts for texts; --json prints the result", async () => {
  const file = join(folder, "stale.html");
  const { stdout } = await check("--model", "key-value", stale, "--html", file, "--json");
  assert.equal(JSON.parse(stdout).verdict, "violated");
  const html = readFileSync(file, "utf8");
  assert.match(html, /<svg.*set x &#34;&#60;i&#62;1/s);
  assert.doesNotMatch(html, /<i>|<script|src=/);
});

test("what makes no sense ends with 2 and says what would", async () => {
  const broken = join(folder, "broken.jsonl");
  writeFileSync(broken, '{"event":"invoke","id":1,"client":"c","name":"get","key":"k"}\n{"event":"no"}\n');
  const wrong: [string[], RegExp][] = [
    [[], /history is missing/],
    [[fine], /--model: .*allowed: register, .*partition-log/],
    [["--model", "tree", fine], /--model: given "tree"/],
    [["--model", "list-append", "--level", "high", fine], /--level.*strict-serializable/],
    [["--model", "exactly-once", "--order", "some", fine], /order/],
    [["--model", "register", "--steps", "-1", fine], /--steps/],
    [["--model", "register", join(folder, "nowhere")], /nowhere/],
    [["--model", "register", broken], /history line 2/],
    [["--model", "fifo-queue", fine], /operation 0/],
  ];
  for (const [args, message] of wrong) {
    const { code, stderr } = await check(...args);
    assert.equal(code, 2, `${args}: ${stderr}`);
    assert.match(stderr, message);
  }
});
