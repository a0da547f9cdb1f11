import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { InvalidArgumentError, InvalidStateError, TimeoutError } from "../../core/index.ts";
import type { Driver, SqlSession } from "../driver.ts";
import { bytes, commitOf, eventually, scratchDriver, scratchFile, set, valueAt } from "./testing/scratch.ts";

async function open(driver: Driver): Promise<SqlSession> {
  assert.ok(driver.openSql);
  return await driver.openSql({});
}

/** A driver with a table of the user's. */
async function withOrders(t: TestContext, options: Parameters<typeof scratchDriver>[1] = {}): Promise<Driver> {
  const driver = await scratchDriver(t, options);
  const session = await open(driver);
  await session.sql.run("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL, data BLOB)");
  await session.commit();
  return driver;
}

async function orders(driver: Driver): Promise<unknown[]> {
  const session = await open(driver);
  const rows = await session.sql.all("SELECT id, item FROM orders ORDER BY id");
  await session.rollback();
  return rows;
}

test("the user's rows and ours commit together, and roll back together", async (t) => {
  const driver = await withOrders(t);
  const kept = await open(driver);
  assert.deepEqual(await kept.sql.run("INSERT INTO orders VALUES (?, ?, ?)", [1, "kept", null]), { changes: 1 });
  const outcome = await kept.apply(commitOf(set("order", "kept")));
  assert.deepEqual(outcome, { ok: true, revision: 1, adds: [], offsets: [] });
  assert.equal(await valueAt(driver, "order"), undefined, "not visible before the commit");
  await kept.commit();
  assert.equal(await valueAt(driver, "order"), "kept");

  const dropped = await open(driver);
  await dropped.sql.run("INSERT INTO orders VALUES (2, 'dropped', NULL)");
  await dropped.apply(commitOf(set("order", "dropped")));
  await dropped.rollback();
  assert.equal(await valueAt(driver, "order"), "kept");
  assert.deepEqual(await orders(driver), [{ id: 1, item: "kept" }]);
  assert.equal(await driver.revision(), 1);
});

test("a commit that is refused in a session applies nothing, and the session goes on", async (t) => {
  const driver = await withOrders(t);
  const session = await open(driver);
  const refused = await session.apply({
    ...commitOf(set("k", "v")),
    checks: [{ kind: "key", key: bytes("k"), revision: 9 }],
  });
  assert.deepEqual(refused, { ok: false, reason: "check", index: 0 });
  await session.sql.run("INSERT INTO orders VALUES (1, 'x', NULL)");
  await session.commit();
  assert.equal(await valueAt(driver, "k"), undefined);
  assert.equal((await orders(driver)).length, 1);
});

test("commits wait while a session is open, and are applied after it", async (t) => {
  const driver = await withOrders(t);
  const session = await open(driver);
  let applied = false;
  const waiting = Promise.resolve(driver.commitMany([commitOf(set("k", "later"))])).then(() => {
    applied = true;
  });
  const next = open(driver);
  await session.sql.all("SELECT 1");
  assert.equal(applied, false);
  await session.apply(commitOf(set("k", "session")));
  await session.commit();
  await waiting;
  assert.equal(await valueAt(driver, "k"), "later");
  assert.equal(await driver.revision(), 2);
  await (await next).rollback();
});

test("watchers hear of what a session committed", async (t) => {
  const file = scratchFile(t);
  // Without hints from the operating system or looks of its own, only the writer can have told the feed.
  mkdirSync(`${file}-notify`);
  const driver = await withOrders(t, { file, pollInterval: "1h" });
  let position = 0;
  const feed = await driver.watch({
    wants: () => true,
    changed: (_changes, _topics, at) => {
      position = at;
    },
    reset: () => {},
    failed: () => {},
  });
  const session = await open(driver);
  await session.apply(commitOf(set("k", "v")));
  await session.commit();
  await eventually("the position of the session's commit", () => position === 1);
  await feed.close();
});

test("a session that is forgotten is rolled back after its time, and others go on", async (t) => {
  const driver = await withOrders(t, { sqlTimeout: 50 });
  const session = await open(driver);
  await session.sql.run("INSERT INTO orders VALUES (1, 'lost', NULL)");
  await driver.commitMany([commitOf(set("k", "v"))]);
  await assert.rejects(session.commit(), (error) => {
    assert.ok(error instanceof TimeoutError);
    assert.match(error.message, /took longer than 50 ms and was rolled back/);
    return true;
  });
  await assert.rejects(session.commit(), InvalidStateError);
  assert.deepEqual(await orders(driver), []);
});

test("an open session is withdrawn by its signal while it waits", { timeout: 10_000 }, async (t) => {
  const driver = await withOrders(t, { sqlTimeout: "1h" });
  const session = await open(driver);
  const abort = new AbortController();
  const waiting = driver.openSql?.({ signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(async () => await waiting, /enough/);
  await session.rollback();
  assert.equal((await driver.commitMany([commitOf(set("k", "v"))]))[0]?.ok, true);
});

test("transaction control, pragmas, attached databases and our tables are refused, and the session survives it", async (t) => {
  const driver = await withOrders(t);
  const session = await open(driver);
  await session.sql.run("INSERT INTO orders VALUES (1, 'kept', NULL)");
  for (const statement of [
    "BEGIN",
    "/* sly */ COMMIT",
    "ROLLBACK",
    "END",
    "SAVEPOINT s",
    "ATTACH 'other.db' AS other",
    "DETACH main",
    "PRAGMA journal_mode = DELETE",
    "DELETE FROM ashlar_kv",
    "UPDATE ASHLAR_KV SET value = x''",
    "INSERT INTO ashlar_changes VALUES (1, 1, 1, x'')",
    "DROP TABLE ashlar_log",
    "ALTER TABLE ashlar_kv ADD COLUMN x",
    "CREATE INDEX mine ON ashlar_kv (revision)",
    "CREATE TRIGGER mine AFTER INSERT ON ashlar_kv BEGIN SELECT 1; END",
    "INSERT INTO orders VALUES (2, 'x', NULL); DELETE FROM orders",
    "  ",
    "-- nothing",
  ]) {
    await assert.rejects(session.sql.run(statement), InvalidArgumentError, statement);
  }
  await assert.rejects(session.sql.run("VACUUM"), /VACUUM/);
  assert.deepEqual(await session.sql.all("SELECT count(*) AS n FROM ashlar_kv"), [{ n: 0 }]);
  assert.deepEqual(await session.sql.all("SELECT name FROM pragma_table_info('orders') LIMIT 1; -- fine"), [
    { name: "id" },
  ]);
  await session.commit();
  assert.deepEqual(await orders(driver), [{ id: 1, item: "kept" }]);
});

test("our statements go on after the user changed the schema in the same transaction", async (t) => {
  const driver = await withOrders(t);
  const session = await open(driver);
  await session.sql.run("ALTER TABLE orders ADD COLUMN price");
  await session.apply(commitOf(set("k", "v")));
  await session.sql.run("INSERT INTO orders VALUES (1, 'x', NULL, 5)");
  await session.commit();
  assert.equal((await driver.commitMany([commitOf(set("k", "w"))]))[0]?.ok, true);
  assert.equal(await valueAt(driver, "k"), "w");
});

test("a failing statement comes with SQLite's code and leaves the session open", async (t) => {
  const driver = await withOrders(t);
  const session = await open(driver);
  await session.sql.run("INSERT INTO orders VALUES (1, 'x', NULL)");
  await assert.rejects(session.sql.run("INSERT INTO orders VALUES (1, 'y', NULL)"), {
    code: "ERR_SQLITE_ERROR",
    errcode: 1555,
    message: /UNIQUE constraint failed: orders\.id/,
  });
  await assert.rejects(session.sql.all("SELEC"), { code: "ERR_SQLITE_ERROR", message: /syntax error/ });
  await session.commit();
  assert.deepEqual(await orders(driver), [{ id: 1, item: "x" }]);
});

test("a statement that rolls the transaction back ends the session with nothing applied", async (t) => {
  const driver = await withOrders(t);
  const session = await open(driver);
  await session.sql.run("INSERT INTO orders VALUES (1, 'x', NULL)");
  await assert.rejects(session.sql.run("INSERT OR ROLLBACK INTO orders VALUES (1, 'y', NULL)"), /UNIQUE/);
  await assert.rejects(session.apply(commitOf(set("k", "v"))), InvalidStateError);
  await assert.rejects(session.commit(), InvalidStateError);
  assert.equal(await valueAt(driver, "k"), undefined);
  assert.deepEqual(await orders(driver), []);
});

test("a deferred constraint that does not hold refuses the commit with SQLite's code, and nothing is applied", async (t) => {
  const driver = await withOrders(t);
  const setup = await open(driver);
  await setup.sql.run(
    "CREATE TABLE lines (id INTEGER PRIMARY KEY, orderId REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED)",
  );
  await setup.commit();
  const session = await open(driver);
  await session.sql.run("INSERT INTO lines VALUES (1, 99)");
  await session.apply(commitOf(set("k", "v")));
  await assert.rejects(session.commit(), { code: "ERR_SQLITE_ERROR", message: /FOREIGN KEY constraint failed/ });
  assert.equal(await valueAt(driver, "k"), undefined);
  assert.equal((await driver.commitMany([commitOf(set("k", "w"))]))[0]?.ok, true);
});

test("values of every type that SQLite knows go in and come out; others are refused by name", async (t) => {
  const driver = await withOrders(t);
  const session = await open(driver);
  const pool = new Uint8Array(1_000_000).fill(1);
  const values = [null, 1, 1.5, -7n, 2n ** 60n, "tëxt", pool.subarray(10, 13), true];
  const [row] = await session.sql.all("SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e, ? AS f, ? AS g, ? AS h", values);
  assert.deepEqual(row, { a: null, b: 1, c: 1.5, d: -7, e: 2n ** 60n, f: "tëxt", g: Uint8Array.of(1, 1, 1), h: 1 });
  for (const value of [undefined, new Date(), { a: 1 }, Symbol("s"), () => {}]) {
    await assert.rejects(session.sql.all("SELECT ?", [value]), /^(?:InvalidArgument)?Error: parameters\[0\]: given/);
  }
  await assert.rejects(session.sql.all("SELECT ?", { a: 1 } as unknown as unknown[]), /parameters: given/);
  await assert.rejects(session.sql.run(5 as unknown as string), /sql: given 5/);
  await session.rollback();
});

test("an engine that closes rolls an open session back", async (t) => {
  const file = scratchFile(t);
  const driver = await withOrders(t, { file });
  const session = await open(driver);
  await session.sql.run("INSERT INTO orders VALUES (1, 'lost', NULL)");
  const behind = driver.commitMany([commitOf(set("k", "v"))]);
  await driver.close();
  assert.equal((await behind)[0]?.ok, true, "what waited behind it is applied");
  await assert.rejects(session.commit(), { code: "CLOSED" });
  const again = await scratchDriver(t, { file });
  assert.deepEqual(await orders(again), []);
  assert.equal(await valueAt(again, "k"), "v");
});
