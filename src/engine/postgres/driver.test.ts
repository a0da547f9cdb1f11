import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { type PostgresServer, skipWithoutPostgres, startPostgres } from "../../../test/servers/postgres.ts";
import { until } from "../../../test/servers/process-tree.ts";
import { isAshlarError } from "../../core/index.ts";
import type { ChangeSink, Driver, RawMutation, RawRecord } from "../driver.ts";
import { Assembly, toParts } from "./bus.ts";
import { createPostgresDriver } from "./index.ts";

const skip = skipWithoutPostgres();
let server: PostgresServer;
let admin: pg.Client;
let stores = 0;

before(async () => {
  if (skip) return;
  server = await startPostgres();
  admin = new pg.Client(server.url);
  await admin.connect();
});

after(async () => {
  await admin?.end();
  await server?.stop();
});

/** Drivers on a store of their own. */
async function withDrivers(count: number, use: (drivers: Driver[], schema: string) => Promise<void>): Promise<void> {
  const schema = `store_${stores++}`;
  const drivers = await Promise.all(
    Array.from({ length: count }, () => createPostgresDriver({ url: server.url, schema })),
  );
  try {
    await use(drivers, schema);
  } finally {
    await Promise.all(drivers.map((driver) => driver.close()));
  }
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (value: Uint8Array): string => Buffer.from(value).toString();
const set = (key: string, value = "", ttl?: number): RawMutation => ({
  kind: "set",
  key: bytes(key),
  value: bytes(value),
  ttl,
});
const append = (topic: string, ...records: string[]): RawMutation => ({
  kind: "append",
  topic: bytes(topic),
  records: records.map(bytes),
});
const everything = { start: bytes(""), end: bytes("\x7f") };

async function commit(driver: Driver, ...mutations: RawMutation[]): Promise<number> {
  const [outcome] = await driver.commitMany([{ checks: [], mutations, bytes: 0 }]);
  assert.ok(outcome?.ok);
  return outcome.revision;
}

test("two clients that commit at once get dense revisions, each of them once", { skip }, () =>
  withDrivers(2, async (drivers) => {
    const revisions: number[] = [];
    const work = drivers.map(async (driver, d) => {
      for (let i = 0; i < 30; i++) {
        const flush = Array.from({ length: 1 + (i % 5) }, (_, c) => ({
          checks: [],
          mutations: [set(`${d} ${i} ${c}`)],
          bytes: 0,
        }));
        for (const outcome of await driver.commitMany(flush)) if (outcome.ok) revisions.push(outcome.revision);
      }
    });
    await Promise.all(work);
    assert.deepEqual(
      revisions.sort((a, b) => a - b),
      Array.from(revisions, (_, i) => i + 1),
    );
    assert.equal(await drivers[0]?.revision(), revisions.length);
  }),
);

test("records of two clients get dense offsets, and a reader at the end misses none", { skip }, () =>
  withDrivers(3, async ([one, two, reader]) => {
    const total = 2 * 40 * 3;
    const seen: RawRecord[] = [];
    const reading = (async () => {
      while (seen.length < total) {
        seen.push(...((await reader?.log?.read(bytes("t"), { from: seen.length, limit: 50, bytes: 1000 })) ?? []));
      }
    })();
    const writing = [one, two].map(async (driver, d) => {
      for (let i = 0; i < 40; i++)
        await commit(driver as Driver, append("t", `${d} ${i} a`, `${d} ${i} b`, `${d} ${i} c`), append("u", "x"));
    });
    await Promise.all([reading, ...writing]);
    assert.deepEqual(
      seen.map(({ offset }) => offset),
      Array.from({ length: total }, (_, i) => i),
    );
    assert.ok(seen.every(({ time }, i) => time >= (seen[i - 1]?.time ?? 0)));
    for (let d = 0; d < 2; d++) {
      const own = seen.map(({ value }) => text(value)).filter((value) => value.startsWith(`${d} `));
      assert.deepEqual(own, Array.from({ length: 40 }, (_, i) => ["a", "b", "c"].map((c) => `${d} ${i} ${c}`)).flat());
    }
    assert.deepEqual(await reader?.log?.bounds(bytes("u")), { first: 0, next: 80 });
  }),
);

test("a trimmed topic keeps its place, also when nothing is left of it", { skip }, () =>
  withDrivers(1, async ([driver]) => {
    const log = driver?.log;
    assert.ok(driver && log);
    const read = async (from: number) =>
      (await log.read(bytes("t"), { from, limit: 10, bytes: 1000 })).map(
        ({ offset, value }) => `${offset}${text(value)}`,
      );
    await commit(driver, append("t", "a", "b", "c"));
    await commit(driver, append("t", "d"));
    await log.trim(bytes("t"), 2);
    assert.deepEqual([await read(0), await log.bounds(bytes("t"))], [["2c", "3d"], { first: 2, next: 4 }]);
    await log.trim(bytes("t"), 1);
    assert.deepEqual(await log.bounds(bytes("t")), { first: 2, next: 4 });
    await log.trim(bytes("t"), 100);
    assert.deepEqual([await read(0), await log.bounds(bytes("t"))], [[], { first: 4, next: 4 }]);
    await commit(driver, append("t", "e"));
    assert.deepEqual([await read(0), await log.bounds(bytes("t"))], [["4e"], { first: 4, next: 5 }]);
    await log.trim(bytes("unknown"), 7);
    assert.deepEqual(await log.bounds(bytes("unknown")), { first: 0, next: 0 });
  }),
);

test("many records make rows of a bounded size, and come back whole", { skip }, () =>
  withDrivers(1, async ([driver], schema) => {
    assert.ok(driver);
    const records = Array.from({ length: 500 }, (_, i) => String(i).padStart(1000, "x"));
    const outcomes = await driver.commitMany(
      [0, 1, 2].map(() => ({ checks: [], mutations: [append("t", ...records)], bytes: 0 })),
    );
    assert.deepEqual(
      outcomes.map((outcome) => outcome.ok && outcome.offsets),
      [[0], [500], [1000]],
    );
    const { rows } = await admin.query(
      `SELECT max(length(data)) AS longest, count(*)::int AS count FROM ${schema}.log`,
    );
    assert.ok(rows[0].longest <= 65_536 && rows[0].count < 30, JSON.stringify(rows));
    let at = 0;
    while (at < 1500) {
      const page: RawRecord[] = (await driver.log?.read(bytes("t"), { from: at, limit: 700, bytes: 300_000 })) ?? [];
      assert.ok(page.length > 200 && page.length <= 300);
      for (const { offset, value } of page) assert.deepEqual([offset, text(value)], [at, records[at++ % 500]]);
    }
  }),
);

test("look-ups of one turn share a statement and keep their order", { skip }, () =>
  withDrivers(1, async ([driver]) => {
    assert.ok(driver);
    await commit(driver, set("a", "1"), set("b", "2", 60_000));
    const asked = [["a"], ["b", "none", "a"], ["none"], []];
    const found = await Promise.all(asked.map((keys) => driver.getMany(keys.map(bytes), {})));
    assert.deepEqual(
      found.map((entries) => entries.map((entry) => entry && text(entry.value))),
      [["1"], ["2", undefined, "1"], [undefined], []],
    );
    const ttl = found[1]?.[0]?.ttl ?? 0;
    assert.ok(ttl > 50_000 && ttl <= 60_000);
    const many = await Promise.all(
      Array.from({ length: 2000 }, (_, i) => driver.getMany([bytes(i % 2 ? "a" : "b")], {})),
    );
    assert.ok(many.every(([entry], i) => entry && text(entry.value) === (i % 2 ? "1" : "2")));
    await assert.rejects(
      async () => await driver.getMany([bytes("a")], { signal: AbortSignal.abort(new Error("no")) }),
      /no/,
    );
  }),
);

/** What a sink was told, and the state that an observer holds. */
function observer(wants: (key: string) => boolean = () => true) {
  const state = new Map<string, string>();
  const seen = { state, topics: new Set<string>(), position: 0, resets: 0, errors: [] as Error[], calls: 0 };
  const sink: ChangeSink = {
    wants: (key) => wants(text(key)),
    changed: (changes, topics, position) => {
      assert.ok(position >= seen.position, "the position never goes back");
      seen.calls++;
      seen.position = position;
      for (const { key, entry } of changes) {
        if (entry) state.set(text(key), text(entry.value));
        else state.delete(text(key));
      }
      for (const topic of topics) seen.topics.add(text(topic));
    },
    reset: () => seen.resets++,
    failed: (error) => seen.errors.push(error),
  };
  return { seen, sink };
}

test("the feed tells what changed, and only what is wanted", { skip }, () =>
  withDrivers(2, async ([watching, writing]) => {
    assert.ok(watching && writing);
    await commit(writing, set("before", "0"));
    const { seen, sink } = observer((key) => key !== "unwanted");
    const feed = await watching.watch(sink);
    assert.equal(feed.start, 1);
    await commit(writing, set("a", "1"), set("unwanted", "1"), append("t", "r"));
    await commit(writing, set("b", "1", 30));
    const last = await commit(writing, set("a", "2"), { kind: "delete", key: bytes("before") });
    await until(() => seen.position >= last, "the feed reaches the last commit");
    assert.deepEqual(
      [seen.state.get("a"), seen.state.has("before"), seen.state.has("unwanted"), [...seen.topics]],
      ["2", false, false, ["t"]],
    );
    await until(async () => (await writing.sweep(10)) === 1, "the entry expires");
    await until(() => !seen.state.has("b"), "the expiry is told");
    await feed.close();
    await commit(writing, set("after"));
    assert.deepEqual([seen.state.has("after"), seen.resets, seen.errors], [false, 0, []]);
  }),
);

test("the feed of a busy store always shows a state that the store had", { skip }, () =>
  withDrivers(2, async ([watching, writing]) => {
    assert.ok(watching && writing);
    const { seen, sink } = observer();
    const torn: string[] = [];
    const feed = await watching.watch({
      ...sink,
      changed: (...told) => {
        sink.changed(...told);
        if (seen.state.get("x") !== seen.state.get("y")) torn.push(`${seen.state.get("x")} ${seen.state.get("y")}`);
      },
    });
    let last = 0;
    for (let i = 0; i < 150; i++)
      last = await commit(writing, set("x", String(i)), set("y", String(i)), set(`z${i}`, ""));
    await until(() => seen.position >= last, "the feed reaches the last commit");
    assert.deepEqual([torn, seen.state.get("x"), seen.state.size], [[], "149", 152]);
    await feed.close();
  }),
);

test("the feed goes on from its place after its connections were cut", { skip }, () =>
  withDrivers(2, async ([watching, writing], schema) => {
    assert.ok(watching && writing);
    const { seen, sink } = observer();
    const feed = await watching.watch(sink);
    const listening = `FROM pg_stat_activity WHERE query LIKE '%LISTEN "${schema}_changes"%' AND pid <> pg_backend_pid()`;
    let last = 0;
    let cut = 0;
    for (let i = 0; i < 20; i++) {
      last = await commit(writing, set(`k${i}`, String(i)));
      if (i % 5 === 2) cut += (await admin.query(`SELECT pg_terminate_backend(pid) ${listening}`)).rows.length;
    }
    await until(() => seen.position >= last, "the feed reaches the last commit");
    assert.deepEqual([seen.state.size, seen.resets, seen.errors], [20, 0, []]);
    assert.ok(cut > 0);
    await until(async () => (await admin.query(`SELECT pid ${listening}`)).rows.length > 0, "it listens again");
    await feed.close();
  }),
);

test("a feed whose place is forgotten is told so, and goes on", { skip }, () =>
  withDrivers(2, async ([watching, writing], schema) => {
    assert.ok(watching && writing);
    const { seen, sink } = observer();
    const feed = await watching.watch(sink);
    await admin.query("BEGIN");
    await admin.query(`INSERT INTO ${schema}.changes (revision, outcome, at) VALUES (1, '{}', 0), (2, '{}', 0)`);
    await admin.query(`UPDATE ${schema}.meta SET forgotten = 1`);
    await admin.query(`DELETE FROM ${schema}.changes WHERE revision = 1`);
    await admin.query("COMMIT");
    await until(() => seen.resets === 1 && seen.position === 2, "the reset is told");
    const last = await commit(writing, set("a", "1"));
    await until(() => seen.position >= last, "the feed goes on");
    assert.deepEqual([seen.state.get("a"), seen.resets], ["1", 1]);
    await feed.close();
  }),
);

test("changes are forgotten only when old, and never the last one", { skip }, () =>
  withDrivers(1, async ([driver], schema) => {
    assert.ok(driver);
    for (let i = 0; i < 5; i++) await commit(driver, set("a", String(i)));
    await admin.query(`SELECT ${schema}.forget_1()`);
    assert.equal((await admin.query(`SELECT count(*)::int AS n FROM ${schema}.changes`)).rows[0].n, 5);
    await admin.query(`UPDATE ${schema}.changes SET at = at - 601000000`);
    await admin.query(`SELECT ${schema}.forget_1()`);
    assert.deepEqual((await admin.query(`SELECT revision::int FROM ${schema}.changes`)).rows, [{ revision: 5 }]);
    assert.equal((await admin.query(`SELECT forgotten::int FROM ${schema}.meta`)).rows[0].forgotten, 4);
    assert.equal(await commit(driver, set("a")), 6);
  }),
);

test("messages of all sizes arrive once, in order, at every subscriber, the sender's own too", { skip }, () =>
  withDrivers(2, async ([one, two]) => {
    assert.ok(one?.bus && two?.bus);
    const heard: string[][] = [[], []];
    const subscriptions = await Promise.all(
      [one, two].map((driver, i) =>
        driver.bus?.subscribe((subject, payload) => heard[i]?.push(`${text(subject)} ${payload.length} ${payload[0]}`)),
      ),
    );
    const sizes = [0, 1, 5000, 65_536, 1, 1, 1];
    await Promise.all(sizes.map((size) => one.bus?.publish(bytes("s"), new Uint8Array(size).fill(size % 251))));
    const expected = sizes.map((size) => `s ${size} ${size === 0 ? undefined : size % 251}`);
    await until(() => heard.every((messages) => messages.length === sizes.length), "all messages arrive");
    assert.deepEqual(heard, [expected, expected]);
    await Promise.all(subscriptions.map((subscription) => subscription?.close()));
    await one.bus.publish(bytes("s"), bytes("x"));
    const again = await two.bus.subscribe((subject) => heard[1]?.push(text(subject)));
    await one.bus.publish(bytes("later"), bytes("x"));
    await until(() => heard[1]?.at(-1) === "later", "a new subscription hears");
    assert.equal(heard[0]?.length, sizes.length);
    await again.close();
  }),
);

test("parts of a message that did not all arrive are dropped, as is what is no message", () => {
  const heard: string[] = [];
  const assembly = new Assembly((subject, payload) => heard.push(`${text(subject)} ${payload.length}`));
  const parts = toParts("me:1", bytes("s"), new Uint8Array(20_000));
  assert.ok(parts.length > 2 && parts.every((part) => part.length < 8000));
  for (const part of parts.slice(1)) assembly.add(part);
  assembly.add("nonsense");
  assembly.add("me:2 1/1 AAAA");
  assembly.add(parts[0] as string);
  for (const part of toParts("you:1", bytes("t"), new Uint8Array(3))) assembly.add(part);
  for (const part of parts.slice(1)) assembly.add(part);
  assert.deepEqual(heard, ["t 3"]);
  for (const part of parts) assembly.add(part);
  assert.deepEqual(heard, ["t 3", "s 20000"]);
});

test("after closing everything fails with CLOSED, and what was in flight has settled", { skip }, () =>
  withDrivers(2, async ([driver, other]) => {
    assert.ok(driver && other);
    const inFlight = Array.from({ length: 5 }, (_, i) => commit(driver, set(`k${i}`)));
    await driver.close();
    assert.deepEqual(await Promise.all(inFlight), [1, 2, 3, 4, 5]);
    const isClosed = (error: unknown) => isAshlarError(error, "CLOSED");
    await assert.rejects(
      async () => await driver.commitMany([{ checks: [], mutations: [set("a")], bytes: 0 }]),
      isClosed,
    );
    await assert.rejects(async () => await driver.getMany([bytes("a")], {}), isClosed);
    await assert.rejects(async () => await driver.list(everything, { limit: 1, reverse: false }), isClosed);
    await assert.rejects(() => driver.watch(observer().sink), isClosed);
    assert.equal((await other.list(everything, { limit: 10, reverse: true })).length, 5);
  }),
);
