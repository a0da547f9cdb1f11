import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import pg from "pg";
import { type PostgresServer, skipWithoutPostgres, startPostgres } from "../../../test/servers/postgres.ts";
import { type AshlarError, isAshlarError } from "../../core/index.ts";
import type { Lease } from "./connection.ts";
import { createPostgresDriver, openPostgres, type PostgresOptions } from "./index.ts";
import { namesOf } from "./names.ts";
import { createOwnPool } from "./own-pool.ts";
import { migrate, schemaVersion } from "./schema.ts";
import { checkServer } from "./server-check.ts";

const skip = skipWithoutPostgres();
let server: PostgresServer;
let admin: pg.Client;

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

/** The error of opening; what was opened by mistake is closed. */
async function refused(options: PostgresOptions, code: string, ...words: (string | RegExp)[]): Promise<AshlarError> {
  const error = await createPostgresDriver(options).then(
    (driver) => driver.close().then(() => assert.fail("it opened")),
    (reason: unknown) => reason,
  );
  assert.ok(isAshlarError(error, code), String(error));
  for (const word of words)
    assert.ok(
      typeof word === "string" ? error.message.includes(word) : word.test(error.message),
      `${word}: ${error.message}`,
    );
  return error;
}

test("options of the wrong kind are refused by name", async () => {
  const url = "postgres://localhost/x";
  await refused({}, "INVALID_ARGUMENT", "url or pool");
  await refused({ url, pool: { connect: () => Promise.reject(new Error("no")) } }, "INVALID_ARGUMENT", "not both");
  await refused({ url, schema: "Ashlar; DROP" }, "INVALID_ARGUMENT", "schema");
  await refused({ url, schema: "pg_own" }, "INVALID_ARGUMENT", "schema");
  await refused({ url, connections: 2 }, "INVALID_ARGUMENT", "connections", "4 to 1000");
  await refused({ url, timeout: "1 year" as "1s" }, "INVALID_ARGUMENT", "timeout");
  await refused({ url, prepare: "no" as unknown as boolean }, "INVALID_ARGUMENT", "prepare");
  await refused(
    { pool: { connect: () => Promise.reject(new Error("no")), options: { max: 1 } } },
    "INVALID_ARGUMENT",
    "pool.options.max",
    "4",
  );
});

test("a URL that is none is refused without showing its password", async () => {
  for (const url of ["postgres://me:hunter2@host:port/db", "hunter2", "mysql://me:hunter2@localhost/db"]) {
    const error = await refused({ url }, "INVALID_ARGUMENT", "url", "postgres://");
    assert.ok(!JSON.stringify([error.message, error.stack, error.details, String(error.cause)]).includes("hunter2"));
  }
});

test("a server that is down is named with its port", async () => {
  const error = await refused(
    { url: "postgres://me:hunter2@127.0.0.1:1/db" },
    "UNAVAILABLE",
    "127.0.0.1:1",
    "check host and port",
  );
  assert.ok(!`${error.message}${error.stack}${String(error.cause)}`.includes("hunter2"));
  await refused({ url: "postgres://nowhere.invalid/db" }, "UNAVAILABLE", "nowhere.invalid:5432", "host name");
});

test("without the package pg the error says what to install", async () => {
  const missing = () =>
    Promise.reject(Object.assign(new Error("Cannot find package 'pg'"), { code: "ERR_MODULE_NOT_FOUND" }));
  const options = { url: "postgres://localhost/x", connections: 10, connectTimeout: 1000 };
  await assert.rejects(
    createOwnPool(options, missing),
    (error) => isAshlarError(error, "UNSUPPORTED") && /npm install pg/.test(error.message),
  );
  await assert.rejects(
    createOwnPool(options, async () => ({})),
    (error) => isAshlarError(error, "UNSUPPORTED") && /no Pool/.test(error.message),
  );
});

test("a standby, an old server and unfit settings are refused", async () => {
  const good = ["150000", "on", "on", "on", "read committed", "hex", "f", "7"];
  const check = (changes: Record<number, string>) => {
    const row = good.map((value, i) => changes[i] ?? value);
    return checkServer({ simple: async () => [row], client: { processID: 7 } } as unknown as Lease, "Postgres at x");
  };
  const fails = (changes: Record<number, string>, code: string, word: RegExp) =>
    assert.rejects(check(changes), (error) => isAshlarError(error, code) && word.test(error.message));
  await fails({ 0: "120009" }, "UNSUPPORTED", /version 12.*13 or later/);
  await fails({ 6: "t" }, "UNAVAILABLE", /standby.*primary/);
  await fails({ 4: "serializable" }, "UNSUPPORTED", /default_transaction_isolation/);
  await fails({ 5: "escape" }, "UNSUPPORTED", /bytea_output/);
  assert.deepEqual(await check({}), { durability: "power-loss", notes: [], direct: true });
  assert.equal((await check({ 7: "8" })).direct, false);
  assert.equal((await check({ 1: "off" })).durability, "process-crash");
  assert.equal((await check({ 2: "off" })).durability, "none");
  assert.equal((await check({ 3: "off" })).durability, "process-crash");
});

test("a database that is absent and a wrong password are told apart", { skip }, async () => {
  await refused({ url: server.url.replace(/postgres$/, "absent") }, "INVALID_ARGUMENT", "absent", "3D000");
  await admin.query("CREATE ROLE locked LOGIN PASSWORD 'right'");
  const file = join(server.dataDir, "pg_hba.conf");
  writeFileSync(file, `host all locked 127.0.0.1/32 scram-sha-256\n${readFileSync(file, "utf8")}`);
  await admin.query("SELECT pg_reload_conf()");
  const as = (user: string) => server.url.replace("postgres@", `${user}@`);
  const error = await refused({ url: as("locked:hunter2") }, "INVALID_ARGUMENT", "locked", "28P01");
  assert.ok(!`${error.message}${error.stack}`.includes("hunter2"));
  await refused({ url: as("locked") }, "INVALID_ARGUMENT", "password");
  // Let in, but not allowed to make a schema.
  await refused({ url: as("locked:right") }, "UNSUPPORTED", "permission denied", "42501");
});

test("clients that open an empty database at once all find one schema", { skip }, async () => {
  const drivers = await Promise.all(
    Array.from({ length: 5 }, () => createPostgresDriver({ url: server.url, schema: "crowd" })),
  );
  const { rows } = await admin.query("SELECT version FROM crowd.meta");
  assert.deepEqual(rows, [{ version: schemaVersion }]);
  await Promise.all(drivers.map((driver) => driver.close()));
});

test("a schema from the future is refused and left alone", { skip }, async () => {
  const first = await createPostgresDriver({ url: server.url, schema: "future" });
  await first.close();
  await admin.query("UPDATE future.meta SET version = 99");
  await refused({ url: server.url, schema: "future" }, "UNSUPPORTED", "99", String(schemaVersion), "future");
  assert.deepEqual((await admin.query("SELECT version, forgotten FROM future.meta")).rows, [
    { version: 99, forgotten: "0" },
  ]);
});

test("a migration that fails changes nothing, and later steps start where the schema is", { skip }, async () => {
  const names = namesOf("steps");
  const lease = leaseOn(admin);
  const make = () => [
    "CREATE SCHEMA steps",
    "CREATE TABLE steps.meta (version int)",
    "INSERT INTO steps.meta VALUES (0)",
  ];
  await assert.rejects(
    migrate(lease, names, [make, () => ["CREATE TABLE steps.a (i int)", "SELECT 1 / 0"]]),
    /division by zero/,
  );
  assert.deepEqual((await admin.query("SELECT to_regclass('steps.meta') AS meta")).rows, [{ meta: null }]);
  await migrate(lease, names, [make]);
  await migrate(lease, names, [make, () => ["CREATE TABLE steps.a (i int)"]]);
  assert.deepEqual((await admin.query("SELECT version FROM steps.meta")).rows, [{ version: 2 }]);
});

/** What `migrate` uses of a lease, on a client. */
function leaseOn(client: pg.Client): Lease {
  const simple = async (text: string) => {
    const result = (await client.query({ text, rowMode: "array" })) as pg.QueryArrayResult | pg.QueryArrayResult[];
    return (Array.isArray(result) ? result.at(-1) : result)?.rows;
  };
  return { simple } as unknown as Lease;
}

test("settings that weaken durability show in the guarantees", { skip }, async () => {
  const guarantees = async () => {
    const driver = await createPostgresDriver({ url: server.url });
    await driver.close();
    return driver.guarantees;
  };
  assert.equal((await guarantees()).durability, "power-loss");
  await admin.query("ALTER ROLE postgres SET synchronous_commit = off");
  const { durability, notes } = await guarantees();
  assert.equal(durability, "none");
  assert.match(notes.join(), /synchronous_commit is off/);
  await admin.query("ALTER ROLE postgres RESET synchronous_commit");
});

test("a pool of the user's own is used and left open", { skip }, async () => {
  const pool = new pg.Pool({ connectionString: server.url, max: 4 });
  const engine = await openPostgres({ pool, schema: "lent" });
  await engine.kv.set(["a"], 1);
  assert.equal((await engine.kv.get(["a"]))?.value, 1);
  await engine.close();
  assert.equal((await pool.query("SELECT 1 AS one")).rows[0].one, 1);
  assert.equal(pool.totalCount, pool.idleCount);
  await pool.end();
});

test("an abort ends opening", { skip }, async () => {
  const reason = new Error("enough");
  await assert.rejects(openPostgres({ url: server.url, signal: AbortSignal.abort(reason) }), reason);
  server.pause();
  try {
    const controller = new AbortController();
    const opening = openPostgres({ url: server.url, signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(opening, reason);
  } finally {
    server.resume();
  }
});
