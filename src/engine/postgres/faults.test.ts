import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { type PostgresServer, skipWithoutPostgres, startPostgres } from "../../../test/servers/postgres.ts";
import { until } from "../../../test/servers/process-tree.ts";
import { decodeInteger, isAshlarError, systemRuntime } from "../../core/index.ts";
import type { Driver, RawCommit, RawMutation, RawOutcome } from "../driver.ts";
import type { PgPool, PgPoolClient, PgQuery } from "./client.ts";
import { planFlush } from "./commit.ts";
import { createPostgresDriver } from "./index.ts";
import { namesOf } from "./names.ts";
import { statementsOf } from "./statements.ts";
import { FlushIds } from "./writer.ts";

const skip = skipWithoutPostgres();
let server: PostgresServer;
let pool: pg.Pool;
let stores = 0;

before(async () => {
  if (skip) return;
  server = await startPostgres();
  pool = new pg.Pool({ connectionString: server.url, max: 4 });
  pool.on("error", () => {});
});

after(async () => {
  await pool?.end();
  await server?.stop();
});

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const key = bytes("counter");
const add = (delta = 1): RawMutation => ({
  kind: "add",
  key,
  delta,
  floor: undefined,
  ceiling: undefined,
  ttl: undefined,
});
const commit = (...mutations: RawMutation[]) => [{ checks: [], mutations, bytes: 0 }];

async function counter(driver: Driver): Promise<number | undefined> {
  const [entry] = await driver.getMany([key], {});
  return entry && decodeInteger(entry.value);
}

/** Adds from many callers until `stop`; resolves with what was acknowledged and how the rest failed. */
async function addUntil(
  driver: Driver,
  stop: () => boolean,
): Promise<{ acknowledged: number; errors: Map<string, number> }> {
  let acknowledged = 0;
  const errors = new Map<string, number>();
  const caller = async () => {
    while (!stop()) {
      try {
        // A delta of its own for each of the two writes: half a commit would show in the sum.
        const outcomes = await driver.commitMany([
          ...commit(add()),
          ...commit(add(1000), { kind: "append", topic: key, records: [key] }),
        ]);
        acknowledged += outcomes.filter(({ ok }) => ok).length / 2;
      } catch (error) {
        const code = isAshlarError(error) ? error.code : String(error);
        errors.set(code, (errors.get(code) ?? 0) + 1);
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, caller));
  return { acknowledged, errors };
}

test("connections cut while commits are under way: each commit happens once", { skip }, async () => {
  const driver = await createPostgresDriver({ url: server.url, schema: "cut" });
  let cuts = 0;
  let done = false;
  const cutting = (async () => {
    while (cuts < 15) {
      const { rows } = await pool.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%cut%commit_1%' AND pid <> pg_backend_pid()",
      );
      cuts += rows.length;
    }
    done = true;
  })();
  const { acknowledged, errors } = await addUntil(driver, () => done);
  await cutting;
  assert.ok(acknowledged > 0);
  // Cut twice in a row, a flush is given up, surely not applied.
  for (const code of errors.keys()) assert.equal(code, "UNAVAILABLE");
  assert.equal(await counter(driver), acknowledged * 1001);
  assert.deepEqual(await driver.log?.bounds(key), { first: 0, next: acknowledged });
  await driver.close();
});

test("a server killed and started again while commits are under way: each commit happens once", { skip }, async () => {
  const driver = await createPostgresDriver({ url: server.url, schema: "killed" });
  let done = false;
  const killing = (async () => {
    for (let round = 0; round < 2; round++) {
      const before = (await counter(driver)) ?? 0;
      await until(async () => ((await counter(driver)) ?? 0) > before + 20_000, "commits go on");
      await server.kill9();
      await server.restart();
      await until(async () => (await counter(driver).catch(() => 0)) !== 0, "the server answers again");
    }
    done = true;
  })();
  const { acknowledged, errors } = await addUntil(driver, () => done);
  await killing;
  for (const code of errors.keys()) assert.equal(code, "UNAVAILABLE");
  assert.equal(await counter(driver), acknowledged * 1001);
  assert.deepEqual(await driver.log?.bounds(key), { first: 0, next: acknowledged });
  await driver.close();
});

/** Where the answer to a statement is lost. */
type Loss = "before it is sent" | "after it was answered";

/** A pool whose connections break at the statements that `lose` picks. */
function breaking(lose: (text: string) => Loss | undefined): PgPool {
  const connect = async (): Promise<PgPoolClient> => {
    const client = await pool.connect();
    const query = async (config: PgQuery) => {
      const loss = lose(config.text);
      const result = loss === "before it is sent" ? undefined : await client.query(config as pg.QueryArrayConfig);
      if (loss !== undefined) throw new Error("Connection terminated unexpectedly");
      return result;
    };
    return new Proxy(client, {
      get: (target, name) => {
        if (name === "query") return query;
        const value = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    }) as unknown as PgPoolClient;
  };
  return { connect };
}

/** A driver on which, once it is open, the n-th statement of a kind loses its answer. */
async function losing(
  statement: RegExp,
  loss: Loss,
  which: readonly number[],
): Promise<{ driver: Driver; schema: string }> {
  const schema = `losing_${stores++}`;
  let open = false;
  let count = 0;
  const lose = (text: string) => (open && statement.test(text) && which.includes(++count) ? loss : undefined);
  const driver = await createPostgresDriver({ pool: breaking(lose), schema, settleTimeout: 2000 });
  open = true;
  return { driver, schema };
}

test("an answer that was lost is found, results and all", { skip }, async () => {
  for (const word of ["write_1", "commit_1"]) {
    const { driver } = await losing(new RegExp(word), "after it was answered", [1]);
    const topic = bytes("t");
    const mutations: RawMutation[] = [
      { kind: "append", topic, records: [topic, topic] },
      ...(word === "commit_1" ? [add(7)] : []),
    ];
    const outcomes = await driver.commitMany([...commit(...mutations), ...commit(...mutations)]);
    const adds = (value: number) => (word === "commit_1" ? [{ value, ceiling: undefined }] : []);
    const expected: RawOutcome[] = [
      { ok: true, revision: 1, adds: adds(7), offsets: [0] },
      { ok: true, revision: 2, adds: adds(14), offsets: [2] },
    ];
    assert.deepEqual(outcomes, expected);
    assert.equal(await driver.revision(), 2);
    await driver.close();
  }
});

test("an answer about checks that was lost is found, or asked for again", { skip }, async () => {
  const checked = (revision: number): RawCommit => ({
    checks: [{ kind: "key", key: bytes("checked"), revision }],
    mutations: [{ kind: "set", key: bytes("checked"), value: bytes("v"), ttl: undefined }],
    bytes: 0,
  });
  const { driver } = await losing(/checked_write_1/, "after it was answered", [1, 2]);
  assert.deepEqual(await driver.commitMany([checked(0)]), [{ ok: true, revision: 1, adds: [], offsets: [] }]);
  assert.deepEqual(await driver.commitMany([checked(7)]), [{ ok: false, reason: "check", index: 0 }]);
  // After a check that failed, the next ones are not expected to hold.
  assert.deepEqual(await driver.commitMany([checked(1)]), [{ ok: true, revision: 2, adds: [], offsets: [] }]);
  await driver.close();
});

test("a flush that did not arrive is sent again, once", { skip }, async () => {
  const { driver } = await losing(/commit_1/, "before it is sent", [1, 3, 4]);
  assert.equal((await driver.commitMany(commit(add())))[0]?.ok, true);
  await assert.rejects(
    async () => await driver.commitMany(commit(add(100))),
    (error) => isAshlarError(error, "UNAVAILABLE"),
  );
  assert.equal(await counter(driver), 1);
  await driver.close();
});

test("the answer to settling may be lost too", { skip }, async () => {
  const { driver } = await losing(/1\(/, "after it was answered", [1, 2, 3]);
  assert.deepEqual((await driver.commitMany(commit(add())))[0], {
    ok: true,
    revision: 1,
    adds: [{ value: 1, ceiling: undefined }],
    offsets: [],
  });
  assert.equal(await counter(driver), 1);
  await driver.close();
});

test("a flush that was given up is refused when it arrives late", { skip }, async () => {
  const { driver, schema } = await losing(/./, "before it is sent", []);
  const statements = statementsOf(namesOf(schema));
  const id = new FlushIds(systemRuntime.random).next();
  const settled = await pool.query({ ...statements.settle, values: [id, 0] });
  assert.deepEqual(settled.rows, [{ settle_1: [] }]);
  for (const mutations of [[add()], [{ kind: "delete", key } as const]]) {
    const plan = planFlush(commit(...mutations), statements);
    await assert.rejects(
      pool.query({ ...plan.statement, values: [id, ...plan.values] }),
      (error: { code?: string }) => error.code === "AS001",
    );
  }
  assert.deepEqual([await counter(driver), await driver.revision()], [undefined, 0]);
  await driver.close();
});

test("what the server has forgotten stays unknown", { skip }, async () => {
  const { driver, schema } = await losing(/commit_1/, "before it is sent", [1]);
  await pool.query(`UPDATE ${schema}.meta SET forgotten = 5`);
  await assert.rejects(
    async () => await driver.commitMany(commit(add())),
    (error) => isAshlarError(error, "OUTCOME_UNKNOWN") && /forgotten/.test(error.message),
  );
  await driver.close();
});

test("a server that stops answering leaves the outcome unknown in time, and nothing happens twice", {
  skip,
}, async () => {
  const driver = await createPostgresDriver({
    url: server.url,
    schema: "paused",
    timeout: 300,
    connectTimeout: 300,
    settleTimeout: 600,
  });
  await driver.commitMany(commit(add()));
  server.pause();
  let unknown: unknown;
  try {
    unknown = await Promise.resolve(driver.commitMany(commit(add(10)))).catch((error) => error);
    await assert.rejects(
      async () => await driver.getMany([key], {}),
      (error) => isAshlarError(error, "TIMEOUT") || isAshlarError(error, "UNAVAILABLE"),
    );
  } finally {
    server.resume();
  }
  assert.ok(isAshlarError(unknown, "OUTCOME_UNKNOWN"), String(unknown));
  const again = async () => await driver.commitMany(commit(add(100)));
  await until(
    () =>
      again().then(
        () => true,
        () => false,
      ),
    "the server answers again",
  );
  assert.ok([101, 111].includes((await counter(driver)) ?? 0), `${await counter(driver)}`);
  await driver.close();
});

test("a lost answer to COMMIT of a transaction with SQL is settled, both ways", { skip }, async () => {
  await pool.query("CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY)");
  for (const loss of ["before it is sent", "after it was answered"] as const) {
    for (const applies of [true, false]) {
      const { driver } = await losing(/^COMMIT$/, loss, [1]);
      const order = ++stores;
      const session = await driver.openSql?.({});
      await session?.sql.run("INSERT INTO orders VALUES ($1)", [order]);
      if (applies) await session?.apply({ checks: [], mutations: [add()], bytes: 0 });
      const committed = loss === "after it was answered";
      if (committed) await session?.commit();
      else
        await assert.rejects(
          async () => await session?.commit(),
          (error) => isAshlarError(error, "UNAVAILABLE"),
        );
      assert.equal((await pool.query("SELECT FROM orders WHERE id = $1", [order])).rowCount, committed ? 1 : 0);
      assert.equal(await counter(driver), committed && applies ? 1 : undefined);
      await driver.close();
    }
  }
});
