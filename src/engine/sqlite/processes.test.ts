import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Driver } from "../driver.ts";
import { createSqliteDriver } from "./driver.ts";
import { openSqlite } from "./index.ts";
import { bytes, eventually, recordsOf, scratchDriver, scratchFile, text, valueAt } from "./testing/scratch.ts";

interface Acknowledged {
  readonly i: number;
  readonly revision: number;
  readonly offset: number;
}

interface Child {
  readonly process: ChildProcess;
  readonly acknowledged: Acknowledged[];
  /** Resolves with the exit code, or the name of the signal. */
  readonly ended: Promise<number | string | null>;
}

function start(t: TestContext, script: string, ...args: readonly string[]): Child {
  const path = fileURLToPath(new URL(`./testing/${script}`, import.meta.url));
  const process_ = spawn(process.execPath, [path, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const acknowledged: Acknowledged[] = [];
  createInterface({ input: process_.stdout }).on("line", (line) => {
    const [i = Number.NaN, revision = Number.NaN, offset = Number.NaN] = line.split(" ").map(Number);
    acknowledged.push({ i, revision, offset });
  });
  const ended = new Promise<number | string | null>((resolve) => {
    process_.on("close", (code, signal) => resolve(code ?? signal));
  });
  t.after(async () => {
    process_.kill("SIGKILL");
    await ended;
  });
  return { process: process_, acknowledged, ended };
}

test("two processes write at once: revisions and offsets are dense and given once, and a third one sees everything", async (t) => {
  const file = scratchFile(t);
  const driver = await scratchDriver(t, { file });
  const seen = new Map<string, string | undefined>();
  const positions: number[] = [];
  const feed = await driver.watch({
    wants: () => true,
    changed: (changes, _topics, position) => {
      for (const { key, entry } of changes) seen.set(text(key) as string, text(entry?.value));
      positions.push(position);
    },
    reset: () => assert.fail("nothing was trimmed"),
    failed: (error) => assert.fail(error),
  });
  const children = ["x", "y"].map((name) => start(t, "writing-child.ts", file, name, "0", "300"));
  assert.deepEqual(await Promise.all(children.map(({ ended }) => ended)), [0, 0]);
  const all = children.flatMap(({ acknowledged }) => acknowledged);
  const sorted = (numbers: number[]) => numbers.sort((a, b) => a - b);
  assert.deepEqual(
    sorted(all.map(({ revision }) => revision)),
    Array.from({ length: 600 }, (_, i) => i + 1),
  );
  assert.deepEqual(
    sorted(all.map(({ offset }) => offset)),
    Array.from({ length: 600 }, (_, i) => i),
  );
  await eventually("the watcher sees the last commit", () => positions.at(-1) === 600);
  assert.equal(seen.size, 1200);
  assert.deepEqual(positions, sorted([...positions]));
  for (const [key, value] of seen) assert.equal(await valueAt(driver, key), value);
  await feed.close();
});

/** What must hold after any crash: no acknowledged commit is lost, none is there in half, and the log has no gap. */
async function verify(driver: Driver, acknowledged: ReadonlyMap<string, readonly Acknowledged[]>): Promise<void> {
  const records = await recordsOf(driver, "shared");
  const bounds = await driver.log?.bounds(bytes("shared"));
  assert.deepEqual(bounds, { first: 0, next: records.length });
  assert.equal(new Set(records).size, records.length);
  for (const record of records) {
    const [a, b] = await driver.getMany([bytes(`${record}/a`), bytes(`${record}/b`)], {});
    assert.ok(a && b, `${record} is there in half`);
    assert.equal(text(a.value), text(b.value));
    assert.equal(a.revision, b.revision);
  }
  const keys = await countKeys(driver);
  assert.equal(keys, records.length * 2, "each key has its record");
  for (const [name, commits] of acknowledged) {
    for (const { i, revision, offset } of commits) {
      assert.equal(records[offset], `${name}/${i}`);
      const [entry] = await driver.getMany([bytes(`${name}/${i}/a`)], {});
      assert.equal(entry?.revision, revision, `acknowledged commit ${name}/${i} is lost`);
    }
  }
}

async function countKeys(driver: Driver): Promise<number> {
  let count = 0;
  let start = bytes("");
  for (;;) {
    const page = await driver.list({ start, end: Uint8Array.of(0xff) }, { limit: 1000, reverse: false });
    count += page.length;
    const last = page.at(-1);
    if (!last || page.length < 1000) return count;
    start = Buffer.concat([last.key, Buffer.of(0)]);
  }
}

test("writing processes that are killed lose no acknowledged commit, and whoever watches goes on watching", async (t) => {
  const file = scratchFile(t);
  const driver = await scratchDriver(t, { file });
  let position = 0;
  const feed = await driver.watch({
    wants: () => false,
    changed: (_changes, _topics, at) => {
      position = at;
    },
    reset: () => assert.fail("nothing was trimmed"),
    failed: (error) => assert.fail(error),
  });
  const acknowledged = new Map<string, Acknowledged[]>([
    ["x", []],
    ["y", []],
  ]);
  for (let round = 0; round < 4; round++) {
    const first = String(round * 1_000_000);
    const children = [...acknowledged.keys()].map((name) => ({
      name,
      ...start(t, "writing-child.ts", file, name, first, "1000000"),
    }));
    const enough = 20 + Math.floor(Math.random() * 100);
    await eventually("both write", () => children.every((child) => child.acknowledged.length > enough));
    for (const { process } of children) process.kill("SIGKILL");
    for (const child of children) {
      assert.equal(await child.ended, "SIGKILL");
      acknowledged.get(child.name)?.push(...child.acknowledged);
    }
    await verify(driver, acknowledged);
    const revision = await driver.revision();
    await eventually("the feed catches up", () => position === revision);
  }
  await feed.close();
  await driver.close();
  const reopened = await createSqliteDriver({ file });
  await verify(reopened, acknowledged);
  await reopened.close();
});

test("a forgotten engine lets its process end, after the commits in flight", async (t) => {
  const file = scratchFile(t);
  const child = start(t, "forgetful-child.ts", file);
  assert.equal(await child.ended, 0);
  await using engine = await openSqlite({ file });
  assert.equal((await engine.kv.get(["awaited"]))?.value, 1);
  assert.equal((await engine.kv.get(["forgotten"]))?.value, 2);
});
