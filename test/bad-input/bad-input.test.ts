import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import pg from "pg";
import type { Engine } from "../../src/engine/index.ts";
import { connect, isAshlarError } from "../../src/index.ts";
import { freePort } from "../servers/process.ts";
import { storeKinds } from "../stores.ts";
import { mistakes } from "./mistakes.ts";

for (const { name, skip, create } of storeKinds) {
  test(`${name}: every mistake names the argument and the remedy, and changes nothing`, { skip }, async (t) => {
    await using store = await create();
    const engine = await store.open();
    await engine.kv.commit({
      mutations: [
        { set: ["k"], value: "kept" },
        { set: ["n"], value: 1 },
        { append: "t", records: ["kept"] },
      ],
    });
    await engine.blob.put(["blob"], new Uint8Array([1, 2, 3]));
    const untouched = await stateOf(engine);
    for (const { what, code, argument, remedy, make } of mistakes) {
      await t.test(what, async () => {
        await failsClearly(async () => await make(engine), code, argument, remedy);
        assert.deepEqual(await stateOf(engine), untouched);
      });
    }
    await engine.kv.set(["k"], "and works on");
  });
}

const urls: readonly [what: string, url: unknown, remedy: RegExp][] = [
  ["a typo in sqlite", "sqllite:./data.db", /did you mean sqlite:/],
  ["a typo in postgres", "postgress://user@host/database", /did you mean postgres/],
  ["an abbreviation", "mem:", /did you mean memory:/],
  ["an engine that there is not", "mongodb://host", /allowed are .*postgres:/],
  ["a path instead of a URL", "./data.db", /allowed are .*sqlite:<file>/],
  ["nothing", undefined, /allowed are/],
  ["a name for memory", "memory:name", /MemoryStore/],
  ["no file for sqlite", "sqlite:", /as in sqlite:/],
  ["a port that is none", "postgres://user@host:notaport/database", /postgres:\/\//],
];

for (const [what, url, remedy] of urls) {
  test(`connect refuses ${what}`, async () => {
    await failsClearly(() => connect(url as string), "INVALID_ARGUMENT", "url", remedy);
  });
}

test("no message shows a password", async () => {
  for (const url of ["postgress://user:hunter2@host/database", "postgres://user:hunter2@host:notaport/database"]) {
    const error = await connect(url).catch((reason: Error) => reason);
    assert.ok(error instanceof Error && !error.message.includes("hunter2"), String(error));
  }
});

let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), "ashlar-bad-"));
});

after(() => {
  rmSync(folder, { recursive: true });
});

test("sqlite: a folder that does not exist is named, and not created", async () => {
  const file = join(folder, "missing", "data.db");
  await failsClearly(() => connect(`sqlite:${file}`), "INVALID_ARGUMENT", "file", /create it|correct the path/);
  assert.ok(!readdirSync(folder).includes("missing"));
});

test("sqlite: a folder is no file", async () => {
  mkdirSync(join(folder, "sub"));
  await failsClearly(() => connect(`sqlite:${join(folder, "sub")}`), "INVALID_ARGUMENT", "file", /path of a file/);
});

for (const [what, bytes] of [
  ["text", Buffer.from("not a database, but a letter of some length\n".repeat(40))],
  ["noise behind SQLite's first words", Buffer.concat([Buffer.from("SQLite format 3\0"), Buffer.alloc(5000, 0xa5)])],
] as const) {
  test(`sqlite: a file of ${what} is refused and left as it is`, async () => {
    const file = join(folder, "letter.db");
    writeFileSync(file, bytes);
    await failsClearly(() => connect(`sqlite:${file}`), "CORRUPTION", file, /another file|restore/);
    assert.deepEqual(readFileSync(file), bytes);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith("letter")),
      ["letter.db"],
    );
  });
}

test("sqlite: a schema from the future is refused and left as it is", async () => {
  const file = join(folder, "future.db");
  const engine = await connect(`sqlite:${file}`);
  await engine.kv.set(["k"], "kept");
  await engine.close();
  setSchema(file, 99);
  await failsClearly(() => connect(`sqlite:${file}`), "UNSUPPORTED", file, /99.*update ashlar/s);
  setSchema(file, 1);
  await using again = await connect(`sqlite:${file}`);
  assert.equal((await again.kv.get(["k"]))?.value, "kept");
});

function setSchema(file: string, version: number): void {
  const database = new DatabaseSync(file);
  database.prepare("update ashlar_meta set value = ? where name = 'schema'").run(version);
  database.close();
}

test("postgres: a server that is down is named by host and port", async () => {
  const port = await freePort();
  const url = `postgres://user:hunter2@127.0.0.1:${port}/database`;
  const error = await failsClearly(
    () => connect(url),
    "UNAVAILABLE",
    `127.0.0.1:${port}`,
    /is it running|check|start/i,
  );
  assert.ok(!error.message.includes("hunter2"));
});

test("postgres: a host that does not exist is named", async () => {
  await failsClearly(
    () => connect("postgres://user@nowhere.invalid/database"),
    "UNAVAILABLE",
    "nowhere.invalid",
    /check|correct/i,
  );
});

test("postgres: a server that speaks something else is no Postgres", async () => {
  const server = createServer((socket) =>
    socket
      .on("error", () => {})
      .resume()
      .end("HTTP/1.1 400 Bad Request\r\n\r\n"),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  try {
    await failsClearly(
      () => connect(`postgres://user@127.0.0.1:${port}/database`),
      "UNAVAILABLE",
      `127.0.0.1:${port}`,
      /check|correct|PostgreSQL/i,
    );
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

const postgres = storeKinds.find(({ name }) => name === "postgres") as (typeof storeKinds)[number];

test("postgres: a database that does not exist is named", { skip: postgres.skip }, async () => {
  await using store = await postgres.create();
  const url = new URL(store.url as string);
  url.pathname = "/absent";
  await failsClearly(() => connect(url.href), "INVALID_ARGUMENT", '"absent"', /create it|correct/);
});

test("postgres: a user who does not exist is named", { skip: postgres.skip }, async () => {
  await using store = await postgres.create();
  const url = new URL(store.url as string);
  url.username = "nobody_of_this_name";
  await failsClearly(() => connect(url.href), "INVALID_ARGUMENT", '"nobody_of_this_name"', /check user/);
});

test("postgres: a schema from the future is refused and left as it is", { skip: postgres.skip }, async () => {
  await using store = await postgres.create();
  const url = store.url as string;
  const engine = await store.open();
  await engine.kv.set(["k"], "kept");
  await runSql(url, "update ashlar.meta set version = version + 100");
  await failsClearly(() => connect(url), "UNSUPPORTED", '"ashlar"', /version 1\d\d.*upgrade/);
  await runSql(url, "update ashlar.meta set version = version - 100");
  await using again = await connect(url);
  assert.equal((await again.kv.get(["k"]))?.value, "kept");
});

async function runSql(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(text).finally(() => client.end());
}

async function failsClearly(mistake: () => unknown, code: string, argument: string, remedy: RegExp): Promise<Error> {
  try {
    await mistake();
  } catch (error) {
    assert.ok(isAshlarError(error), `not one of our errors: ${error instanceof Error ? error.stack : error}`);
    assert.equal(error.code, code, error.message);
    assert.ok(error.message.includes(argument), `does not name "${argument}": ${error.message}`);
    assert.match(error.message, remedy);
    return error;
  }
  assert.fail("accepted");
}

async function stateOf(engine: Engine): Promise<unknown> {
  const entries = await Array.fromAsync(engine.kv.list({}));
  const records = await engine.log.read("t");
  return { entries, records, blob: await engine.blob.head(["blob"]), none: await engine.blob.head(["b"]) };
}
