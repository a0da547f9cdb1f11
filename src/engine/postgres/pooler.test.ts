import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { type PgBouncerServer, skipWithoutPgBouncer, startPgBouncer } from "../../../test/servers/pgbouncer.ts";
import { type PostgresServer, skipWithoutPostgres, startPostgres } from "../../../test/servers/postgres.ts";
import { until } from "../../../test/servers/process-tree.ts";
import { createPostgresDriver, openPostgres, transactWith } from "./index.ts";

// Connections lent by transaction: statements prepared by name get lost, and nobody can listen.

const skip = skipWithoutPostgres() || skipWithoutPgBouncer();
let server: PostgresServer;
let pooler: PgBouncerServer;

before(async () => {
  if (skip) return;
  server = await startPostgres();
  pooler = await startPgBouncer(server, { poolMode: "transaction", poolSize: 3 });
});

after(async () => {
  await pooler?.stop();
  await server?.stop();
});

test("behind a pooler the guarantees say that changes are polled, and there is no bus of the driver's own", {
  skip,
}, async () => {
  const driver = await createPostgresDriver({ url: pooler.url });
  assert.equal(driver.bus, undefined);
  assert.match(driver.guarantees.notes.join(), /pooler: changes are found by polling/);
  await driver.close();
  const direct = await createPostgresDriver({ url: server.url });
  assert.notEqual(direct.bus, undefined);
  await direct.close();
});

for (const prepare of [undefined, true]) {
  const name = "commits, reads, transactions, watches and messages work through the pooler";
  test(prepare ? `${name}, though told that it follows names` : name, { skip }, () =>
    through(prepare ? { prepare } : {}),
  );
}

async function through(options: { prepare?: boolean }): Promise<void> {
  const schema = options.prepare ? "named" : "pooled";
  await using engine = await openPostgres({ url: pooler.url, schema, poll: "20ms", ...options });
  await using other = await openPostgres({ url: pooler.url, schema, poll: "20ms", ...options });
  const watch = engine.kv.watch({ prefix: ["k"] });
  await watch.next();
  await Promise.all(Array.from({ length: 200 }, (_, i) => (i % 2 ? engine : other).kv.add(["k", i % 10], 1)));
  const sums = await Promise.all(Array.from({ length: 10 }, async (_, i) => (await other.kv.get(["k", i]))?.value));
  assert.deepEqual(sums, Array(10).fill(20));
  const seen = new Map<string, unknown>();
  while (seen.size < 10 || [...seen.values()].some((value) => value !== 20)) {
    for (const change of (await watch.next()).value ?? [])
      if (!change.deleted) seen.set(String(change.key), change.value);
  }
  await watch.return?.();

  const user = new pg.Client(pooler.url);
  await user.connect();
  await user.query("DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int)");
  await engine.transact(async (tx) => {
    await tx.sql.run("INSERT INTO orders VALUES ($1)", [1]);
    tx.set(["order"], 1);
  });
  await user.query("BEGIN");
  await user.query("INSERT INTO orders VALUES (2)");
  await transactWith(engine, user, (tx) => tx.set(["order"], 2));
  await user.query("COMMIT");
  assert.deepEqual(
    [(await user.query("SELECT count(*)::int AS n FROM orders")).rows[0].n, (await other.kv.get(["order"]))?.value],
    [2, 2],
  );
  await user.end();

  const heard: unknown[] = [];
  const subscription = await other.bus.subscribe("news.>");
  const hearing = (async () => {
    for await (const { payload } of subscription) heard.push(payload);
  })();
  await engine.bus.publish("news.today", "hello");
  await until(() => heard.length === 1, "the message arrives");
  await subscription.close();
  await hearing;
}

test("the pooler's end cuts connections, and each commit happens once", { skip }, async () => {
  const engine = await openPostgres({ url: pooler.url, schema: "ended", prepare: false, settleTimeout: "1s" });
  let acknowledged = 0;
  let done = false;
  const adding = Array.from({ length: 8 }, async () => {
    while (!done)
      await engine.kv.add(["n"], 1).then(
        () => acknowledged++,
        () => {},
      );
  });
  await until(() => acknowledged > 50, "commits go on");
  await pooler.kill9();
  done = true;
  await Promise.all(adding);
  await engine.close();
  const direct = await openPostgres({ url: server.url, schema: "ended" });
  const sum = (await direct.kv.get<number>(["n"]))?.value ?? 0;
  // Those eight that were under way could not be settled without the pooler.
  assert.ok(sum >= acknowledged && sum <= acknowledged + 8, `${sum} of ${acknowledged}`);
  await direct.close();
});
