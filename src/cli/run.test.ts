import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runHere } from "./testing/command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "ashlar-run-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const file = join(folder, "data.db");
const url = `sqlite:${file}`;

const senseless: readonly [args: readonly string[], said: RegExp][] = [
  [[], /--help/],
  [["frobnicate"], /"frobnicate".*verify, doctor, kv, log/],
  [["constructor"], /"constructor"/],
  [["kv"], /get, set, rm, ls, watch/],
  [["kv", "toString"], /get, set, rm, ls, watch/],
  [["kv", "get"], /key is missing/],
  [["kv", "get", url], /key is missing/],
  [["kv", "get", url, "a", "b"], /"b" is one argument too many/],
  [["kv", "rm", url], /key is missing/],
  [["kv", "ls"], /URL of a store is missing/],
  [["kv", "ls", url, "--limt", "3"], /--limt/],
  [["kv", "ls", url, "--limit", "few"], /--limit: given "few"/],
  [["kv", "ls", url, "--limit", "-1"], /--limit/],
  [["kv", "set", url, "k"], /value is missing/],
  [["kv", "set", url, "k", "text"], /no JSON.*'"text"'/],
  [["kv", "set", url, "k", "1", "--ttl", "soon"], /--ttl: given "soon"/],
  [["kv", "set", url, "k", "1", "--ttl", "0s"], /--ttl: given "0s"/],
  [["kv", "get", url, "[1.5]"], /1\.5 is no part of a key/],
  [["log"], /read, tail/],
  [["log", "follow", url, "t"], /read, tail/],
  [["log", "tail", url], /topic is missing/],
  [["log", "tail", url, "t", "--from", "begin"], /--from: given "begin"/],
  [["verify", url, "--only", "everything"], /--only.*range-check/],
  [["verify", url, "now"], /"now" is one argument too many/],
  [["doctor", url, "--fix"], /--fix/],
  [["kv", "ls", "no-url"], /no scheme/],
  [["kv", "ls", "postgers://x"], /postgers.*did you mean postgres/],
  [["verify", "sqlite:"], /needs a file/],
];

for (const [args, said] of senseless) {
  test(`"ashlar ${args.join(" ").replaceAll(url, "<url>")}" ends with 2 and says what would make sense`, async () => {
    const { code, stdout, stderr } = await runHere(args);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, said);
    assert.match(stderr, /^ashlar: [^\n]+\n$/, "one line");
    assert.equal(existsSync(file), false, "no store was made in vain");
  });
}

test("with --json an error is JSON too", async () => {
  const { code, stderr } = await runHere(["kv", "ls", url, "--limit", "few", "--json"]);
  assert.equal(code, 2);
  assert.equal(JSON.parse(stderr).error.code, "USAGE");
});

test("with ASHLAR_DEBUG the stack is shown too", async () => {
  const { stderr } = await runHere(["kv", "get"], { ASHLAR_DEBUG: "1" });
  assert.match(stderr, /\n\s+at /);
});

test("ASHLAR_URL names the store unless the command line does", async () => {
  const other = `sqlite:${join(folder, "other.db")}`;
  const said = async (args: readonly string[], environment: Readonly<Record<string, string>> = {}) => {
    const { code, stdout, stderr } = await runHere(args, environment);
    assert.deepEqual([code, stderr], [0, ""]);
    return stdout;
  };
  await said(["kv", "set", "--url", other, "a:b", "1"]);
  assert.equal(await said(["kv", "get", "--url", other, "a:b"]), "1\n");
  assert.equal(await said(["kv", "ls"], { ASHLAR_URL: other }), "a:b\t1\n");
  assert.equal(await said(["kv", "ls", other], { ASHLAR_URL: "memory:" }), "a:b\t1\n");
  assert.equal(await said(["kv", "ls", "--url", "memory:"], { ASHLAR_URL: other }), "");
  assert.equal(await said(["kv", "ls", "a"], { ASHLAR_URL: other }), "");
  assert.equal((await runHere(["kv", "ls", "a:b"], { ASHLAR_URL: other })).code, 2, "it looks like a URL");
});
