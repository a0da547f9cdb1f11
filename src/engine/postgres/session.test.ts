import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { type PostgresServer, skipWithoutPostgres, startPostgres } from "../../../test/servers/postgres.ts";
import { until } from "../../../test/servers/process-tree.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../contract.ts";
import type { Driver, RawMutation } from "../driver.ts";
import { createPostgresDriver, openPostgres, sessionOn, transactWith } from "./index.ts";

const skip = skipWithoutPostgres();
let server: PostgresServer;
let admin: pg.Client;
let stores = 0;

before(async () => {
  if (skip) return;
  server = await startPostgres();
  admin = new pg.Client(server.url);
  await admin.connect();
  await admin.query("CREATE TABLE orders (id int PRIMARY KEY, what text)");
});

after(async () => {
  await admin?.end();
  await server?.stop();
});

async function withEngine(use: (engine: Engine) => Promise<void>): Promise<void> {
  const engine = await openPostgres({ url: server.url, schema: `store_${stores++}` });
  try {
    await use(engine);
  } finally {
    await engine.close();
    await admin.query("DELETE FROM orders");
  }
}

async function withDriver(use: (driver: Driver, schema: string) => Promise<void>): Promise<void> {
  const schema = `store_${stores++}`;
  const driver = await createPostgresDriver({ url: server.url, schema });
  try {
    await use(driver, schema);
  } finally {
    await driver.close();
    await admin.query("DELETE FROM orders");
  }
}

const orders = async (): Promise<number[]> =>
  (await admin.query("SELECT id FROM orders ORDER BY id")).rows.map(({ id }) => id as number);
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const set = (key: string): RawMutation => ({ kind: "set", key: bytes(key), value: bytes("v"), ttl: undefined });

test("the user's rows and the engine's entries commit together, or neither does", { skip }, () =>
  withEngine(async (engine) => {
    await engine.transact(async (tx) => {
      assert.deepEqual(await tx.sql.run("INSERT INTO orders VALUES ($1, $2)", [1, "tea"]), { changes: 1 });
      assert.deepEqual(await tx.sql.all("SELECT id, what FROM orders WHERE id = $1", [1]), [{ id: 1, what: "tea" }]);
      tx.set(["emails", 1], "thanks");
    });
    assert.deepEqual([await orders(), (await engine.kv.get(["emails", 1]))?.value], [[1], "thanks"]);
    const failing = engine.transact(async (tx) => {
      await tx.sql.run("INSERT INTO orders VALUES (2, 'cake')");
      tx.set(["emails", 2], "thanks");
      throw new Error("changed my mind");
    });
    await assert.rejects(failing, /changed my mind/);
    assert.deepEqual([await orders(), await engine.kv.get(["emails", 2])], [[1], undefined]);
  }),
);

test("an error of the user's statement is the server's own, and nothing is committed", { skip }, () =>
  withEngine(async (engine) => {
    await admin.query("INSERT INTO orders VALUES (1, 'tea')");
    const twice = engine.transact(async (tx) => {
      tx.set(["a"], 1);
      await tx.sql.run("INSERT INTO orders VALUES (1, 'again')");
    });
    await assert.rejects(twice, (error: { code?: string }) => error.code === "23505");
    const swallowed = engine.transact(async (tx) => {
      tx.set(["a"], 1);
      await tx.sql.run("INSERT INTO orders VALUES (1, 'again')").catch(() => {});
    });
    await assert.rejects(
      swallowed,
      (error) => isAshlarError(error, "INVALID_STATE") && /earlier statement/.test(error.message),
    );
    assert.equal(await engine.kv.get(["a"]), undefined);
  }),
);

test("a transaction with SQL that others overtook runs again", { skip }, () =>
  withEngine(async (engine) => {
    await engine.kv.set(["n"], 1);
    let attempts = 0;
    await engine.transact(async (tx) => {
      attempts++;
      const n = (await tx.get<number>(["n"])) ?? 0;
      await tx.sql.run("INSERT INTO orders VALUES ($1, 'n')", [n]);
      if (attempts === 1) await engine.kv.set(["n"], 10);
      tx.set(["n"], n + 1);
    });
    assert.deepEqual([attempts, await orders(), (await engine.kv.get(["n"]))?.value], [2, [10], 11]);
  }),
);

test("more transactions with SQL than connections all come to their end", { skip }, () =>
  withEngine(async (engine) => {
    const work = Array.from({ length: 30 }, (_, i) =>
      engine.transact(async (tx) => {
        await tx.sql.run("INSERT INTO orders VALUES ($1, 'x')", [i]);
        await tx.get(["k", i]);
        tx.add(["total"], 1);
      }),
    );
    await Promise.all(work);
    assert.equal((await orders()).length, 30);
    assert.equal((await engine.kv.get(["total"]))?.value, 30);
  }),
);

test("on the user's own connection the commit is the user's", { skip }, () =>
  withEngine(async (engine) => {
    await admin.query("BEGIN");
    await admin.query("INSERT INTO orders VALUES (1, 'tea')");
    const sum = await transactWith(engine, admin, async (tx) => {
      assert.deepEqual(await tx.sql.all("SELECT id FROM orders"), [{ id: 1 }]);
      tx.set(["email"], "thanks");
      return tx.add(["count"], 2);
    });
    assert.equal(sum.value, 2);
    assert.equal(await engine.kv.get(["email"]), undefined);
    await admin.query("COMMIT");
    assert.equal((await engine.kv.get(["email"]))?.value, "thanks");

    await admin.query("BEGIN");
    await transactWith(engine, admin, (tx) => tx.set(["email"], "sorry"));
    await admin.query("ROLLBACK");
    assert.equal((await engine.kv.get(["email"]))?.value, "thanks");
  }),
);

test("a watcher hears at once of what the user's own transaction commits", { skip }, () =>
  withDriver(async (driver, schema) => {
    const slow = await createPostgresDriver({ url: server.url, schema, poll: "1h" });
    let position = 0;
    const feed = await slow.watch({
      wants: () => true,
      changed: (_, __, at) => (position = at),
      reset: () => {},
      failed: () => {},
    });
    await admin.query("BEGIN");
    await sessionOn(driver, admin).apply({ checks: [], mutations: [set("a")], bytes: 0 });
    await admin.query("COMMIT");
    await until(() => position === 1, "the commit is heard of");
    await feed.close();
    await slow.close();
  }),
);

test("under a stricter isolation level a snapshot that is too old is a conflict", { skip }, () =>
  withDriver(async (driver) => {
    const apply = () =>
      sessionOn(driver, admin).apply({
        checks: [{ kind: "key", key: bytes("a"), revision: 0 }],
        mutations: [set("b")],
        bytes: 0,
      });
    for (const level of ["REPEATABLE READ", "SERIALIZABLE"]) {
      await admin.query(`BEGIN ISOLATION LEVEL ${level}`);
      await admin.query("SELECT count(*) FROM orders");
      assert.equal((await apply()).ok, true);
      await admin.query("ROLLBACK");

      await admin.query(`BEGIN ISOLATION LEVEL ${level}`);
      await admin.query("SELECT count(*) FROM orders");
      await driver.commitMany([{ checks: [], mutations: [set("c")], bytes: 0 }]);
      await assert.rejects(apply, (error) => isAshlarError(error, "CONFLICT"));
      await admin.query("ROLLBACK");
    }
  }),
);

test("commits wait for a transaction that has applied one, and then see it", { skip }, () =>
  withDriver(async (driver) => {
    const session = await driver.openSql?.({});
    assert.ok(session);
    assert.equal((await session.apply({ checks: [], mutations: [set("a")], bytes: 0 })).ok, true);
    const waiting = driver.commitMany([
      { checks: [{ kind: "key", key: bytes("a"), revision: 0 }], mutations: [set("b")], bytes: 0 },
    ]);
    await until(
      async () =>
        (await admin.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")).rows.length > 0,
      "the commit waits",
    );
    await session.commit();
    assert.deepEqual(await waiting, [{ ok: false, reason: "check", index: 0 }]);
    await assert.rejects(session.commit(), (error) => isAshlarError(error, "INVALID_STATE"));
  }),
);

test("a deferred constraint that fails at the commit is the server's own error", { skip }, () =>
  withDriver(async (driver) => {
    await admin.query("CREATE TABLE parts (id int REFERENCES orders DEFERRABLE INITIALLY DEFERRED)");
    const session = await driver.openSql?.({});
    await session?.sql.run("INSERT INTO parts VALUES (7)");
    await session?.apply({ checks: [], mutations: [set("a")], bytes: 0 });
    await assert.rejects(
      async () => await session?.commit(),
      (error: { code?: string }) => error.code === "23503",
    );
    assert.deepEqual(await driver.getMany([bytes("a")], {}), [undefined]);
  }),
);

test("a session on what is no client, or for another engine, is refused", { skip }, () =>
  withDriver(async (driver) => {
    assert.throws(
      () => sessionOn(driver, {} as pg.Client),
      (error) => isAshlarError(error, "INVALID_ARGUMENT"),
    );
    assert.throws(
      () => sessionOn({ ...driver }, admin),
      (error) => isAshlarError(error, "INVALID_ARGUMENT"),
    );
  }),
);
