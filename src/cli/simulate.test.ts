import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { promisify } from "node:util";
import { processTree, until } from "../../test/servers/process-tree.ts";
import { ashlar, runHere } from "./testing/command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "ashlar-simulate-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const transfer = join(import.meta.dirname, "testing/transfer.sim.ts");
const endless = join(import.meta.dirname, "testing/endless.sim.ts");
const patched = join(import.meta.dirname, "../simulation/globals/testing/services.sim.ts");
let folders = 0;

const simulate = (...args: string[]) => ashlar(["simulate", ...args]);

/** Finds the planted bug; the folder has what was written about it. */
async function fail(...args: string[]) {
  const report = join(folder, String(folders++));
  const outcome = await simulate(transfer, "--only", "inTwoCommits", "--report", report, ...args);
  assert.equal(outcome.code, 1, outcome.stderr);
  const seed = /seed (\d+)/.exec(outcome.stdout)?.[1] ?? "";
  return {
    ...outcome,
    seed,
    page: join(report, `inTwoCommits-${seed}.html`),
    recording: join(report, `inTwoCommits-${seed}.json`),
  };
}

/** The arguments of the replay command, as a shell would give them. */
function argumentsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "").slice(2);
}

describe("ashlar simulate", () => {
  test("says what was run when all seeds hold", async () => {
    const { code, stdout, stderr } = await simulate(transfer, "--only", "one commit", "--seeds", "30");
    assert.equal(code, 0, stdout);
    assert.equal(stderr, "");
    assert.match(
      stdout,
      /^one commit: 30 seeds, none fails\n {2}\d+ events in [\d.]+ s, .* times as fast as real time\n {2}faults: .*engine/,
    );
    assert.match(stdout, /rare paths taken\n( {2}.* of \d+: .*\n)+/);
  });

  test("shrinks the smallest seed that fails, however many workers there are, and prints a command that replays it", async () => {
    const [first, second] = await Promise.all([fail("--workers", "1"), fail("--workers", "4")]);
    assert.equal(first.seed, second.seed);
    assert.match(first.stdout, /^two commits, seed \d+: "no <b>money<\/b> is lost" does not hold/);
    assert.match(
      first.stdout,
      /with 1 clients, \d+ operations each\nfaults:\n {2}[\d.]+ ms {2}engine-\S+ client-\d #\d+\nreplay:/,
    );
    const replay = /^replay: +(npx ashlar simulate .*)$/m.exec(first.stdout)?.[1] ?? "";
    const again = await runHere([...argumentsOf(replay), "--report", folder]);
    assert.equal(again.code, 1);
    assert.match(again.stdout, /client-0 +return|fault|call/);
    assert.ok(again.stdout.includes(replay), again.stdout);
  });

  test("a recorded run is repeated, and the first decision that differs is named", async () => {
    const { recording, seed } = await fail();
    const { decisions, traceHash } = JSON.parse(readFileSync(recording, "utf8"));
    assert.match(traceHash, /^[0-9a-f]{16}$/);
    assert.ok(decisions.length > 5);
    const same = await runHere(["simulate", transfer, "--replay", recording, "--report", folder]);
    assert.doesNotMatch(same.stdout, /differs/);
    const other = await runHere(["simulate", transfer, "--replay", recording, "--reduction", "{}", "--report", folder]);
    assert.match(
      other.stdout,
      /differs from the recorded run at decision \d+: expected ".*" [\d.]+, found ".*" [\d.]+/,
    );
    const kept = join(folder, "kept.json");
    const holds = await simulate(transfer, "--only", "inOneCommit", "--seed", seed, "--record", kept);
    assert.equal(holds.code, 0);
    assert.equal(holds.stderr, "a word to whoever debugs\n");
    const replayed = await runHere(["simulate", transfer, "--replay", kept]);
    assert.equal(replayed.code, 0, replayed.stdout);
  });

  test("the page shows the run, stands alone, and takes texts for texts", async () => {
    const { page } = await fail();
    const html = readFileSync(page, "utf8");
    assert.match(html, /<svg/);
    assert.match(html, /no &#60;b&#62;money/);
    assert.doesNotMatch(html, /<script|<img|<b>|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
    const open: string[] = [];
    for (const [, end, name = "", rest = ""] of html.matchAll(/<(\/?)([a-z][\w]*)([^>]*)>/g)) {
      if (end) assert.equal(open.pop(), name);
      else if (name !== "meta" && !rest.endsWith("/")) open.push(name);
    }
    assert.deepEqual(open, []);
  });

  test("the regression test fails with the bug", async () => {
    const regression = join(import.meta.dirname, "testing", `.regression-${process.pid}.test.ts`);
    try {
      await fail("--regression", regression);
      const hooks = new URL("../../test/docs/source-hooks.ts", import.meta.url).href;
      const { NODE_TEST_CONTEXT: _, ...env } = process.env;
      const run = promisify(execFile)(process.execPath, ["--import", hooks, "--test", regression], { env });
      await assert.rejects(
        run,
        ({ stdout }) => /no <b>money<\/b> is lost/.test(stdout) && /replay: simulate\(/.test(stdout),
      );
    } finally {
      rmSync(regression, { force: true });
    }
  });

  test("scenarios of the patched mode run in a process for each seed", async () => {
    const { code, stdout } = await simulate(patched, "--only", "plainHttp", "--seeds", "3");
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^node:http: 3 seeds, none fails/);
  });

  test("--json prints one object, of success and of failure", async () => {
    const good = await simulate(transfer, "--only", "inOneCommit", "--seeds", "5", "--json");
    const { export: name, seeds, events, struck } = JSON.parse(good.stdout);
    assert.deepEqual([name, seeds, events > 100, Object.keys(struck).length > 2], ["inOneCommit", 5, true, true]);
    const { stdout, page } = await fail("--json", "--no-shrink");
    const failed = JSON.parse(stdout);
    assert.equal(failed.failure.kind, "eventually");
    assert.match(failed.replay, /^npx ashlar simulate/);
    assert.ok(existsSync(failed.page), page);
  });

  test("an interruption ends it and its workers", async () => {
    const before = new Set(processTree(process.pid));
    const others = () => processTree(process.pid).filter((pid) => !before.has(pid));
    const controller = new AbortController();
    const { run } = await import("./run.ts");
    const output = { line: async () => {}, note: () => {}, progress: () => {} };
    const running = run(["simulate", endless, "--seeds", "2"], { output, environment: {}, signal: controller.signal });
    await until(() => others().length > 0, "a worker");
    controller.abort(new Error("interrupted"));
    assert.equal(await running, 130);
    await until(() => others().length === 0, "the end of the workers");
  });

  test("what makes no sense ends with 2 and says what would", async () => {
    const wrong: [string[], RegExp][] = [
      [[], /the file with the scenarios is missing/],
      [["nowhere.ts"], /no such file/],
      [[transfer, "--only", "nothing"], /--only.*inOneCommit, inTwoCommits/],
      [[transfer, "--seeds", "0"], /--seeds.*at least 1/],
      [[transfer, "--seed", "x"], /--seed.*whole number/],
      [[transfer, "--reduction", "{"], /--reduction/],
      [[transfer, "--record", "f"], /--record goes with --seed/],
      [[transfer, "--replay", "nowhere.json"], /--replay/],
      [[join(import.meta.dirname, "exit-codes.ts")], /no such file/],
      [[join(import.meta.dirname, "command.ts")], /exports no scenario/],
      [[transfer, "--unknown"], /--unknown/],
    ];
    for (const [args, message] of wrong) {
      const { code, stderr } = await runHere(["simulate", ...args]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
    }
  });
});
