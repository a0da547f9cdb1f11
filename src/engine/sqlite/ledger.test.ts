import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { encodeInteger, OutcomeUnknownError, UnavailableError } from "../../core/index.ts";
import {
  anyRevision,
  type RawBound,
  type RawCheck,
  type RawCommit,
  type RawMutation,
  type RawOutcome,
} from "../driver.ts";
import { applyCommit } from "../evaluate.ts";
import { Database, type Statement } from "./database.ts";
import { Ledger } from "./ledger.ts";
import { Reader } from "./reader.ts";
import { DumbStore } from "./testing/dumb-store.ts";
import { bytes, commitOf, scratchFile, set, text } from "./testing/scratch.ts";

function openLedger(t: TestContext, options: Partial<ConstructorParameters<typeof Ledger>[0]> = {}) {
  const file = options.file ?? scratchFile(t);
  const ledger = new Ledger({ file, ...options });
  t.after(() => ledger.close());
  return { ledger, file };
}

function openReader(t: TestContext, file: string, now: () => number = Date.now): Reader {
  const reader = new Reader(file, now);
  t.after(() => reader.close());
  return reader;
}

const name = fc.constantFrom("a", "aa", "b", "c", "d").map(bytes);
const bound: fc.Arbitrary<RawBound | undefined> = fc.option(
  fc.record({
    clock: fc.constantFrom("none" as const, "ms" as const, "us" as const),
    plus: fc.integer({ min: -9, max: 9 }),
  }),
  { nil: undefined },
);
const ttl = fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined });
const value = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: -5, max: 5 }).map(encodeInteger));
const mutation: fc.Arbitrary<RawMutation> = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), key: name, value, ttl }),
  fc.record({ kind: fc.constant("delete" as const), key: name }),
  fc.record({
    kind: fc.constant("add" as const),
    key: name,
    delta: fc.integer({ min: -9, max: 9 }),
    floor: bound,
    ceiling: bound,
    ttl,
  }),
  fc.record({
    kind: fc.constant("append" as const),
    topic: name,
    records: fc.array(fc.uint8Array({ maxLength: 2000 }), { minLength: 1, maxLength: 30 }),
  }),
);
/** What is checked is taken from the present state, more or less: checks that never hold would test little. */
const wish = fc.record({
  range: fc.boolean(),
  present: fc.boolean(),
  from: name,
  to: name,
  spoil: fc.integer({ min: 0, max: 3 }),
});
const step = fc.record({
  commits: fc.array(
    fc.record({
      wishes: fc.array(wish, { maxLength: 2 }),
      mutations: fc.uniqueArray(mutation, {
        maxLength: 4,
        selector: (each) => `${each.kind === "append"}${text(each.kind === "append" ? each.topic : each.key)}`,
      }),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  passes: fc.integer({ min: -3, max: 20 }),
  trim: fc.option(
    fc.record({ topic: name, before: fc.integer({ min: 0, max: 120 }), rows: fc.integer({ min: 1, max: 3 }) }),
  ),
});

function toCheck(
  wished: { range: boolean; present: boolean; from: Uint8Array; to: Uint8Array; spoil: number },
  store: DumbStore,
  now: number,
): RawCheck {
  const spoil = wished.spoil === 0 ? 1 : 0;
  if (!wished.range) {
    const [found] = store.range(wished.from, Buffer.concat([wished.from, Buffer.of(0)]), 1, now);
    if (wished.present) return { kind: "key", key: wished.from, revision: anyRevision };
    return { kind: "key", key: wished.from, revision: (found?.revision ?? 0) + spoil };
  }
  const found = store.range(wished.from, wished.to, 1000, now);
  return {
    kind: "range",
    start: wished.from,
    end: wished.to,
    keys: found.map(({ key }) => key),
    revisions: found.map(({ revision }) => revision + spoil),
  };
}

function plain(result: unknown): unknown {
  return JSON.parse(
    JSON.stringify(result, (_, each) => (each instanceof Uint8Array ? Buffer.from(each).toString("hex") : each)),
  );
}

test("random flushes, trims and sweeps leave what the shared meaning of commits says", (t) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      const { ledger, file } = openLedger(t);
      let now = 1_700_000_000_000;
      const reader = openReader(t, file, () => now);
      const dumb = new DumbStore();
      let revision = 0;
      for (const { commits, passes, trim } of steps) {
        now += passes;
        const expected: RawOutcome[] = [];
        const given: RawCommit[] = commits.map(({ wishes, mutations }) => {
          const commit = { checks: wishes.map((each) => toCheck(each, dumb, now)), mutations, bytes: 0 };
          const outcome = applyCommit(dumb, commit, now, mutations.length > 0 ? revision + 1 : revision);
          if (outcome.ok) revision = outcome.revision;
          expected.push(outcome);
          return commit;
        });
        assert.deepEqual(plain(ledger.flush(given, now)), plain(expected));
        if (trim) {
          dumb.trim(trim.topic, trim.before);
          while (!ledger.trim(trim.topic, trim.before, trim.rows));
        }
        assert.equal(reader.position().revision, revision);
        const all = { start: bytes(""), end: bytes("z") };
        const entries = dumb.sorted(now).map(({ key, entry }) => ({
          key,
          value: entry.value,
          revision: entry.revision,
          ttl: entry.expires === 0 ? undefined : entry.expires - now,
        }));
        assert.deepEqual(plain(reader.list(all, 1000, false)), plain(entries));
        assert.deepEqual(plain(reader.list(all, 1000, true)), plain(entries.toReversed()));
        for (const { topic, records, next } of dumb.topics) {
          assert.deepEqual(plain(reader.log.read(topic, 0, 1e9, 1e9)), plain(records));
          assert.deepEqual(reader.log.bounds(topic), { first: records[0]?.offset ?? next, next });
        }
      }
      const expired = dumb.entries.length - dumb.sorted(now).length;
      assert.equal(ledger.sweep(1000, now), expired);
      assert.equal(reader.position().revision, revision + Math.sign(expired));
      reader.close();
      ledger.close();
    }),
    { numRuns: 60 },
  );
});

test("a key that many commits of a flush change is written once, at its last revision", (t) => {
  const { ledger, file } = openLedger(t);
  const add: RawMutation = {
    kind: "add",
    key: bytes("hot"),
    delta: 1,
    floor: undefined,
    ceiling: undefined,
    ttl: undefined,
  };
  const outcomes = ledger.flush(Array.from({ length: 500 }, () => commitOf(add)));
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok && [outcome.revision, outcome.adds[0]?.value]),
    Array.from({ length: 500 }, (_, i) => [i + 1, i + 1]),
  );
  const reader = openReader(t, file);
  assert.equal(reader.get(bytes("hot"))?.revision, 500);
  const changes = reader.prepare<[number, number, Uint8Array]>("SELECT seq, revision, keys FROM ashlar_changes").all();
  assert.deepEqual(
    changes.map(([seq, revision, keys]) => [seq, revision, keys.length]),
    [[1, 500, 1 + 1 + 1 + 3 + 1]],
  );
});

test("what a flush only read is no change", (t) => {
  const { ledger, file } = openLedger(t);
  const check = { kind: "key" as const, key: bytes("only checked"), revision: 0 };
  ledger.flush([{ ...commitOf(set("k", "v")), checks: [check] }]);
  const [row] = openReader(t, file).prepare<[Uint8Array]>("SELECT keys FROM ashlar_changes").all();
  assert.deepEqual(row && [...row[0]], [1, 0, 1, 0x6b, 0]);
});

test("the history of changes is bounded, and its last row always stays", (t) => {
  const { ledger, file } = openLedger(t);
  const large = Array.from({ length: 200 }, (_, i) => commitOf(set(`${i}`.padEnd(1000, "x"), "")));
  for (let i = 0; i < 256; i++) ledger.flush(large);
  const reader = openReader(t, file);
  const rows = reader.prepare<[number, number]>("SELECT seq, length(keys) FROM ashlar_changes ORDER BY seq").all();
  assert.equal(rows.at(-1)?.[0], 256);
  const size = rows.reduce((sum, [, length]) => sum + length, 0);
  assert.ok(size > 15 * 2 ** 20 && size < 17 * 2 ** 20, `${size} bytes`);
});

test("a flush that only checks writes nothing, and passes while another connection holds the write lock", (t) => {
  const { ledger, file } = openLedger(t, { busyMs: 0 });
  ledger.flush([commitOf(set("k", "v"))]);
  const other = new Database(file, 0);
  t.after(() => other.close());
  other.exec("BEGIN IMMEDIATE");
  const check = (revision: number): RawCommit => ({
    checks: [{ kind: "key", key: bytes("k"), revision }],
    mutations: [],
    bytes: 0,
  });
  assert.deepEqual(ledger.flush([check(1), check(2)]), [
    { ok: true, revision: 1, adds: [], offsets: [] },
    { ok: false, reason: "check", index: 0 },
  ]);
  assert.throws(() => ledger.flush([commitOf(set("k", "w"))]), /another process has held the write lock for 0 ms/);
  other.exec("ROLLBACK");
  assert.deepEqual(ledger.flush([commitOf(set("k", "w"))]), [{ ok: true, revision: 2, adds: [], offsets: [] }]);
});

const syncFailed = { errcode: 1034, errstr: "disk I/O error" };
const diskFull = { errcode: 13, errstr: "database or disk is full" };

/** Fails COMMIT as SQLite does when the disk fails: the transaction is rolled back. */
class FailingDatabase extends Database {
  failing: typeof syncFailed | undefined;

  override prepare<Row extends readonly unknown[]>(sql: string): Statement<Row> {
    const statement = super.prepare<Row>(sql);
    if (sql !== "COMMIT") return statement;
    const run = statement.run.bind(statement);
    return Object.assign(statement, {
      run: () => {
        if (!this.failing) return run();
        this.exec("ROLLBACK");
        throw Object.assign(new Error(this.failing.errstr), { code: "ERR_SQLITE_ERROR", ...this.failing });
      },
    });
  }
}

test("a commit during which the disk fails is taken back, and the writer goes on with a new connection", (t) => {
  const opened: FailingDatabase[] = [];
  const open = (file: string, busyMs: number) => {
    const database = new FailingDatabase(file, busyMs);
    opened.push(database);
    return database;
  };
  const { ledger, file } = openLedger(t, { open });
  ledger.flush([commitOf(set("k", "before"))]);
  const [first] = opened;
  if (first) first.failing = syncFailed;
  assert.throws(
    () => ledger.flush([commitOf(set("k", "lost"))]),
    (error) => error instanceof UnavailableError && /disk I\/O error/.test(error.message),
  );
  const reader = openReader(t, file);
  assert.equal(text(reader.get(bytes("k"))?.value), "before");
  const overwritten = reader.prepare<[number]>("SELECT value FROM ashlar_meta WHERE name = 'overwritten'").get();
  assert.deepEqual(overwritten, [1]);
  assert.deepEqual(ledger.flush([commitOf(set("k", "after"))]), [{ ok: true, revision: 2, adds: [], offsets: [] }]);
  assert.equal(opened.length, 2);
});

test("a commit that finds the disk full is surely not applied: nothing has to be taken back", (t) => {
  const opened: FailingDatabase[] = [];
  const open = (file: string, busyMs: number) => {
    const database = new FailingDatabase(file, busyMs);
    opened.push(database);
    return database;
  };
  const { ledger } = openLedger(t, { open });
  const [first] = opened;
  if (first) first.failing = diskFull;
  assert.throws(() => ledger.flush([commitOf(set("k", "v"))]), UnavailableError);
  if (first) first.failing = undefined;
  assert.equal(ledger.flush([commitOf(set("k", "v"))])[0]?.ok, true);
  assert.equal(opened.length, 1);
});

test("the writer's connection syncs each commit", (t) => {
  let database: Database | undefined;
  openLedger(t, {
    open: (file, busyMs) => {
      database = new Database(file, busyMs);
      return database;
    },
  });
  const pragma = (name: string) => database?.prepare(`PRAGMA ${name}`).get()?.[0];
  assert.equal(pragma("journal_mode"), "wal");
  assert.equal(pragma("synchronous"), 2);
  assert.equal(pragma("fullfsync"), 1);
  assert.equal(pragma("checkpoint_fullfsync"), 1);
});

test("a commit that cannot be taken back has an unknown outcome, and the writer recovers with the disk", (t) => {
  const opened: FailingDatabase[] = [];
  let diskWorks = true;
  const open = (file: string, busyMs: number) => {
    if (!diskWorks)
      throw Object.assign(new Error("disk I/O error"), {
        code: "ERR_SQLITE_ERROR",
        errcode: 10,
        errstr: "disk I/O error",
      });
    const database = new FailingDatabase(file, busyMs);
    opened.push(database);
    return database;
  };
  const { ledger } = openLedger(t, { open });
  const [first] = opened;
  if (first) first.failing = syncFailed;
  diskWorks = false;
  assert.throws(() => ledger.flush([commitOf(set("k", "v"))]), OutcomeUnknownError);
  assert.throws(() => ledger.flush([commitOf(set("k", "v"))]), UnavailableError);
  diskWorks = true;
  assert.equal(ledger.flush([commitOf(set("k", "v"))])[0]?.ok, true);
});

test("a full disk refuses the flush whole, loses nothing, and accepts it when there is room again", (t) => {
  let database: Database | undefined;
  let connections = 0;
  const open = (file: string, busyMs: number) => {
    connections++;
    database = new Database(file, busyMs);
    return database;
  };
  const { ledger, file } = openLedger(t, { open });
  ledger.flush([commitOf(set("k", "kept"))]);
  const pages = database?.prepare<[number]>("PRAGMA page_count").get()?.[0] ?? 0;
  database?.exec(`PRAGMA max_page_count = ${pages + 2}`);
  const large = [commitOf(set("k", "new")), commitOf(set("large", new Uint8Array(100_000)))];
  assert.throws(
    () => ledger.flush(large),
    (error) => error instanceof UnavailableError && /the disk is full; nothing was applied/.test(error.message),
  );
  const reader = openReader(t, file);
  assert.equal(text(reader.get(bytes("k"))?.value), "kept");
  database?.exec("PRAGMA max_page_count = 1000000");
  assert.deepEqual(
    ledger.flush(large).map(({ ok }) => ok),
    [true, true],
  );
  assert.equal(reader.get(bytes("large"))?.value.length, 100_000);
  assert.equal(connections, 1, "a full disk is no reason to mistrust the connection");
});
