import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { skipWithoutPostgres } from "../servers/postgres.ts";
import { type TortureOptions, type TortureResult, torture } from "./rounds.ts";
import { createPostgresStore, createSqliteStore } from "./stores.ts";

test("sqlite loses nothing when writing processes are killed, and watchers live on", async (t) => {
  using store = createSqliteStore();
  holds(await torture(store, short(t, { rounds: 2, victims: ["client"], watched: true })));
});

test("sqlite recovers a file whose writers were killed while nobody else had it open", async (t) => {
  using store = createSqliteStore();
  holds(await torture(store, short(t, { rounds: 2, victims: ["client"], watched: false })));
});

test("postgres loses nothing when clients, the server or both are killed", {
  skip: skipWithoutPostgres(),
}, async (t) => {
  await using store = await createPostgresStore();
  holds(await torture(store, short(t, { rounds: 3, victims: ["client", "server", "both"], watched: true })));
});

test("a server that acknowledges what is not yet durable is found out", { skip: skipWithoutPostgres() }, async (t) => {
  const settings = { synchronous_commit: "off", wal_writer_delay: "10s", wal_writer_flush_after: "1GB" };
  await using store = await createPostgresStore({ settings });
  const { violations } = await torture(store, short(t, { rounds: 10, victims: ["both"], watched: false }));
  assert.ok(
    violations.some(({ kind }) => kind === "lost"),
    "an acknowledged write was lost",
  );
});

function short(t: TestContext, options: Pick<TortureOptions, "rounds" | "victims" | "watched">): TortureOptions {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  return { ...options, seed, writeMs: 150, print: (line) => t.diagnostic(line) };
}

function holds({ violations, acknowledged }: TortureResult): void {
  assert.deepEqual(violations, []);
  assert.ok(acknowledged > 0, "something was written");
}
