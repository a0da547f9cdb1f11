import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ClosedError, decodeInteger, systemRuntime } from "../../core/index.ts";
import type { ChangeSink, RawChange, RawMutation } from "../driver.ts";
import { Database } from "./database.ts";
import { Ledger } from "./ledger.ts";
import {
  append,
  bytes,
  commitOf,
  eventually,
  recordsOf,
  remove,
  scratchDriver,
  scratchFile,
  set,
  text,
  valueAt,
} from "./testing/scratch.ts";

test("a value as large as the limit comes back whole", async (t) => {
  const driver = await scratchDriver(t);
  const large = new Uint8Array(driver.limits.valueBytes);
  for (let i = 0; i < large.length; i++) large[i] = (i * 31) >> 3;
  await driver.commitMany([commitOf(set("large", large), append("topic", large))]);
  const [entry] = await driver.getMany([bytes("large")], {});
  assert.deepEqual(Buffer.compare(entry?.value ?? bytes(""), large), 0);
  const [record] = (await driver.log?.read(bytes("topic"), { from: 0, limit: 1, bytes: 1 })) ?? [];
  assert.deepEqual(Buffer.compare(record?.value ?? bytes(""), large), 0);
});

test("what a read returned does not change when the entry is overwritten", async (t) => {
  const driver = await scratchDriver(t);
  await driver.commitMany([commitOf(set("k", "x".repeat(500)), append("t", "first"))]);
  const [entry] = await driver.getMany([bytes("k")], {});
  const [record] = (await driver.log?.read(bytes("t"), { from: 0, limit: 1, bytes: 1 })) ?? [];
  for (let i = 0; i < 50; i++) {
    await driver.commitMany([commitOf(set("k", "y".repeat(500)), append("t", "other"))]);
    await driver.getMany([bytes("k")], {});
    await recordsOf(driver, "t");
  }
  assert.equal(text(entry?.value), "x".repeat(500));
  assert.equal(text(record?.value), "first");
});

test("commits of a single hot key sum up without loss, each with its own answer", async (t) => {
  const driver = await scratchDriver(t);
  const add: RawMutation = {
    kind: "add",
    key: bytes("hot"),
    delta: 1,
    floor: undefined,
    ceiling: undefined,
    ttl: undefined,
  };
  const flushes = await Promise.all(
    Array.from({ length: 40 }, () => driver.commitMany(Array.from({ length: 50 }, () => commitOf(add)))),
  );
  const outcomes = flushes.flat();
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok && outcome.adds[0]?.value),
    Array.from({ length: 2000 }, (_, i) => i + 1),
  );
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok && outcome.revision),
    Array.from({ length: 2000 }, (_, i) => i + 1),
  );
  const [entry] = await driver.getMany([bytes("hot")], {});
  assert.equal(decodeInteger(entry?.value ?? bytes("")), 2000);
});

test("an entry is absent from the moment that its time is up, and gone after a sweep that the feed reports", async (t) => {
  let now = 1_000_000;
  const runtime = { ...systemRuntime, clock: { ...systemRuntime.clock, now: () => now } };
  const driver = await scratchDriver(t, { runtime });
  await driver.commitMany([commitOf(set("brief", "v", 100), set("long", "v", 5000), set("ever", "v"))]);
  const [brief] = await driver.getMany([bytes("brief")], {});
  assert.equal(brief?.ttl, 100);
  now += 99;
  assert.equal(await valueAt(driver, "brief"), "v");
  now += 1;
  assert.equal(await valueAt(driver, "brief"), undefined);
  const listed = await driver.list({ start: bytes("a"), end: bytes("z") }, { limit: 10, reverse: false });
  assert.deepEqual(
    listed.map(({ key, ttl }) => [text(key), ttl]),
    [
      ["ever", undefined],
      ["long", 4900],
    ],
  );
  const follower = follow(() => true);
  const feed = await driver.watch(follower.sink);
  assert.equal(await driver.sweep(100), 1);
  assert.equal(await driver.sweep(100), 0);
  await eventually(
    "the sweep is reported",
    () => follower.state.get("brief") === undefined && follower.positions.length > 0,
  );
  assert.equal(await driver.revision(), 2);
  await feed.close();
});

test("a sweep deletes at most as many as it was told", async (t) => {
  let now = 1000;
  const driver = await scratchDriver(t, {
    runtime: { ...systemRuntime, clock: { ...systemRuntime.clock, now: () => now } },
  });
  await driver.commitMany([commitOf(...Array.from({ length: 25 }, (_, i) => set(`${i}`, "v", i + 1)))]);
  now += 20;
  assert.deepEqual([await driver.sweep(15), await driver.sweep(15), await driver.sweep(15)], [15, 5, 0]);
});

function follow(wants: (key: string) => boolean) {
  const state = new Map<string, string | undefined>();
  const order: string[] = [];
  const positions: number[] = [];
  const topics: string[] = [];
  let resets = 0;
  const sink: ChangeSink = {
    wants: (key) => wants(text(key) as string),
    changed: (changes: readonly RawChange[], appended, position) => {
      for (const { key, entry } of changes) {
        state.set(text(key) as string, text(entry?.value));
        order.push(text(key) as string);
      }
      topics.push(...appended.map((topic) => text(topic) as string));
      positions.push(position);
    },
    reset: () => {
      resets++;
    },
    failed: (error) => {
      throw error;
    },
  };
  return { sink, state, order, positions, topics, resets: () => resets };
}

test("the feed reports the wanted changes of other connections, in commit order, with topics and positions", async (t) => {
  const file = scratchFile(t);
  // No looks of its own: the operating system tells of the other connection's commits.
  const [here, there] = [await scratchDriver(t, { file, pollInterval: "1h" }), await scratchDriver(t, { file })];
  await there.commitMany([commitOf(set("old", "v"))]);
  const follower = follow((key) => !key.startsWith("unwanted"));
  const feed = await here.watch(follower.sink);
  assert.equal(feed.start, 1);
  await there.commitMany([
    commitOf(set("a", "1"), set("b", "1"), set("unwanted", "x")),
    commitOf(set("a", "2")),
    commitOf(remove("old"), append("topic", "r")),
  ]);
  await eventually("the changes arrive", () => follower.positions.includes(4));
  assert.deepEqual(follower.order, ["b", "a", "old"]);
  assert.deepEqual(
    [...follower.state],
    [
      ["b", "1"],
      ["a", "2"],
      ["old", undefined],
    ],
  );
  assert.deepEqual(follower.topics, ["topic"]);
  await there.commitMany([commitOf(set("unwanted2", "x"))]);
  await eventually("the position advances past what nobody wants", () => follower.positions.includes(5));
  assert.equal(follower.state.size, 3);
  await feed.close();
  await there.commitMany([commitOf(set("late", "x"))]);
  await delay(20);
  assert.equal(follower.state.has("late"), false);
});

test("without notifications the feed finds the commits of others by looking", async (t) => {
  const file = scratchFile(t);
  // What cannot be opened cannot be written to either: nobody gives or gets a hint.
  mkdirSync(`${file}-notify`);
  const [here, there] = [await scratchDriver(t, { file, pollInterval: 10 }), await scratchDriver(t, { file })];
  const follower = follow(() => true);
  const feed = await here.watch(follower.sink);
  await there.commitMany([commitOf(set("k", "v"))]);
  await eventually("the change is found", () => follower.state.get("k") === "v");
  await feed.close();
});

test("the feed hears of commits of its own driver from the writer", async (t) => {
  const file = scratchFile(t);
  mkdirSync(`${file}-notify`);
  const driver = await scratchDriver(t, { file, pollInterval: "1h" });
  const follower = follow(() => true);
  const feed = await driver.watch(follower.sink);
  await driver.commitMany([commitOf(set("k", "v"))]);
  await eventually("the change arrives", () => follower.state.get("k") === "v");
  await feed.close();
});

test("a feed that has missed a trimmed part of the history is reset and goes on", async (t) => {
  const file = scratchFile(t);
  const here = await scratchDriver(t, { file });
  const follower = follow(() => true);
  const feed = await here.watch(follower.sink);
  const other = new Database(file, 5000);
  // What another process leaves behind while this one is stopped for long.
  other.exec("INSERT INTO ashlar_changes VALUES (20000, 50000, 1000000, x'0000')");
  other.close();
  feed.refresh();
  await eventually("the reset", () => follower.resets() === 1);
  assert.equal(follower.positions.at(-1), 50000);
  await here.commitMany([commitOf(set("k", "v"))]);
  await eventually("the next change", () => follower.state.get("k") === "v");
  assert.equal(follower.resets(), 1);
  await feed.close();
});

test("a feed far behind is reset instead of reading a long history at once", async (t) => {
  const file = scratchFile(t);
  const here = await scratchDriver(t, { file, pollInterval: "1h" });
  const follower = follow(() => true);
  const feed = await here.watch(follower.sink);
  const ledger = new Ledger({ file });
  // All within one turn of the event loop, so that the feed cannot look in between.
  for (let i = 0; i < 6; i++)
    ledger.flush(Array.from({ length: 900 }, (_, j) => commitOf(set(`${i}-${j}`.padEnd(1000, "x"), ""))));
  ledger.close();
  feed.refresh();
  await eventually("the reset", () => follower.resets() === 1);
  assert.equal(follower.positions.at(-1), 5400);
  assert.equal(follower.state.size, 0);
  await feed.close();
});

test("closing lets commits in flight settle, may be repeated, and everything fails with CLOSED afterwards", async (t) => {
  const file = scratchFile(t);
  const driver = await scratchDriver(t, { file });
  const inFlight = Array.from({ length: 5 }, (_, i) => driver.commitMany([commitOf(set(`${i}`, "v"))]));
  await Promise.all([driver.close(), driver.close()]);
  await driver.close();
  for (const outcome of await Promise.all(inFlight)) assert.equal(outcome[0]?.ok, true);
  const closed = { code: "CLOSED" };
  await assert.rejects(async () => driver.commitMany([commitOf(set("k", "v"))]), closed);
  await assert.rejects(async () => driver.getMany([bytes("k")], {}), ClosedError);
  await assert.rejects(
    async () => driver.list({ start: bytes(""), end: bytes("z") }, { limit: 1, reverse: false }),
    ClosedError,
  );
  await assert.rejects(async () => driver.revision(), ClosedError);
  await assert.rejects(driver.sweep(1), ClosedError);
  await assert.rejects(driver.now(), ClosedError);
  await assert.rejects(async () => driver.log?.bounds(bytes("t")), ClosedError);
  await assert.rejects(async () => driver.log?.trim(bytes("t"), 1), ClosedError);
  await assert.rejects(async () => driver.openSql?.({}), ClosedError);
  await assert.rejects(driver.watch(follow(() => true).sink), ClosedError);
});
