import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createEventStore, type EventStore, type ProjectionHandler } from "./index.ts";
import { type AccountCommand, type AccountEvent, account, deposited, withdrawn } from "./testing/account.ts";

type Accounts = EventStore<{ balance: number }, AccountEvent, AccountCommand>;
const open = (engine: Engine): Accounts => createEventStore(engine, "accounts", account);

/** Counts into the view, so that doing an event twice would show. */
const balances: ProjectionHandler<AccountEvent> = ({ stream, data }, { view }) => {
  view.add([stream], data.type === "deposited" ? data.amount : -data.amount);
};

async function viewOf(projection: Awaited<ReturnType<Accounts["project"]>>): Promise<Record<string, number>> {
  const { kv } = await projection.view();
  const entries = await Array.fromAsync(kv.list<number>({ prefix: [] }));
  return Object.fromEntries(entries.map(({ key, value }) => [key.join("/"), value]));
}

for (const kind of storeKinds) {
  describe(`projections on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "a projection takes up what was there and what comes, and tells how far it is",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      for (let i = 0; i < 25; i++) await one.append(`s${i % 2}`, [deposited(1)]);
      await using projection = two.project("balances", balances, { batch: 4 });
      const { position } = await one.append("s0", [withdrawn(3), deposited(1)]);
      await projection.waitFor(position, { timeout: "10s" });
      assert.deepEqual(await viewOf(projection), { s0: 11, s1: 12 });
      assert.deepEqual([await projection.position(), await projection.lag(), projection.status], [27, 0, "live"]);
      await projection.close();
      await one.append("s1", [deposited(5)]);
      assert.equal(await projection.lag(), 1);
      await using again = one.project("balances", balances);
      await again.waitFor(27, { timeout: "10s" });
      assert.deepEqual(await viewOf(again), { s0: 11, s1: 17 });
    }),
  );

  test(
    "of several processes one projects, and the next goes on when it ends",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      await using first = one.project("balances", balances);
      await first.waitFor((await one.append("x", [deposited(1)])).position, { timeout: "10s" });
      await using second = two.project("balances", balances);
      await second.waitFor((await two.append("x", [deposited(2)])).position, { timeout: "10s" });
      assert.deepEqual([first.status, second.status], ["live", "waiting"]);
      await first.close();
      await first.done;
      await second.waitFor((await one.append("x", [deposited(4)])).position, { timeout: "10s" });
      assert.deepEqual([first.status, second.status], ["closed", "live"]);
      assert.deepEqual(await viewOf(second), { x: 7 });
    }),
  );

  test(
    "what the handler wrote for an event that failed is not there, and it is tried again",
    on(async (a) => {
      const store = open(a);
      for (let i = 1; i <= 10; i++) await store.append("x", [deposited(i)]);
      let failures = 0;
      const flaky: ProjectionHandler<AccountEvent> = async (event, context) => {
        await balances(event, context);
        if (event.data.amount === 5 && failures++ < 2) throw new Error("flaky");
      };
      await using projection = store.project("balances", flaky, { backoff: { base: 1, cap: 5 } });
      await projection.waitFor(9, { timeout: "10s" });
      assert.deepEqual([await viewOf(projection), failures], [{ x: 55 }, 3]);
    }),
  );

  test(
    "a higher version is built beside the present one and takes its place; the lower one ends",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      for (let i = 0; i < 20; i++) await one.append("x", [deposited(1)]);
      await using old = one.project("balances", balances);
      await old.waitFor(19, { timeout: "10s" });
      const doubled: ProjectionHandler<AccountEvent> = ({ stream, data }, { view }) =>
        void view.add([stream], 2 * data.amount);
      await using next = two.project("balances", doubled, { version: 2 });
      await old.done;
      assert.equal(old.status, "superseded");
      await next.waitFor((await one.append("x", [deposited(1)])).position, { timeout: "10s" });
      assert.deepEqual([await viewOf(next), (await next.view()).generation], [{ x: 42 }, 2]);
      await using late = one.project("balances", balances);
      await late.done;
      assert.equal(late.status, "superseded");
      await until(
        async () =>
          (await Array.fromAsync(a.kv.list({ prefix: ["event-store", "accounts", "view", "balances", 1] }))).length ===
          0,
      );
    }),
  );

  test(
    "a rebuild takes its place in one commit while events come, and the projection goes on with it",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      for (let i = 0; i < 30; i++) await one.append("x", [deposited(1)]);
      await using live = one.project("balances", balances, { batch: 3 });
      await live.waitFor(29, { timeout: "10s" });
      const appending = (async () => {
        for (let i = 0; i < 40; i++) await two.append(`y${i % 3}`, [deposited(1)]);
      })();
      await using rebuild = two.rebuild("balances", balances, { batch: 3 });
      await appending;
      await rebuild.done;
      await live.waitFor((await one.append("x", [deposited(5)])).position, { timeout: "10s" });
      assert.equal((await live.view()).generation, 2);
      assert.deepEqual(await viewOf(live), { x: 35, y0: 14, y1: 13, y2: 13 });
      await until(async () => live.status === "live");
    }),
  );

  if (kind.name === "memory") return;

  test(
    "tables of the user's own commit with the position",
    on(async (a) => {
      const store = open(a);
      const mark = kind.name === "postgres" ? (n: number) => `$${n}` : () => "?";
      const sql = (text: string) => a.transact(async (tx) => void (await tx.sql.run(text)));
      await sql("create table balance (account text primary key, amount bigint not null, events bigint not null)");
      for (let i = 0; i < 30; i++) await store.append(`s${i % 3}`, [deposited(i)]);
      let failed = false;
      await using projection = store.project(
        "table",
        async ({ stream, data, position }, { tx }) => {
          await tx.sql.run(
            `insert into balance values (${mark(1)}, ${mark(2)}, 1) on conflict (account) do update set amount = balance.amount + excluded.amount, events = balance.events + 1`,
            [stream, data.amount],
          );
          if (position === 17 && !failed) {
            failed = true;
            throw new Error("flaky");
          }
        },
        { batch: 10, backoff: { base: 1, cap: 5 } },
      );
      await projection.waitFor(29, { timeout: "10s" });
      const rows = await a.transact((tx) => tx.sql.all("select account, amount, events from balance order by account"));
      assert.deepEqual(
        rows.map(({ account: name, amount, events }) => [name, Number(amount), Number(events)]),
        [
          ["s0", 135, 10],
          ["s1", 145, 10],
          ["s2", 155, 10],
        ],
      );
    }),
  );
}

test("a projection gives up after so many failures with one event, and says so", async () => {
  await using engine = openMemory();
  const store = open(engine);
  await store.append("x", [deposited(1), deposited(2)]);
  const heard: unknown[] = [];
  const listen = (message: unknown) => heard.push((message as { failures: number }).failures);
  subscribe("ashlar:event-store:projection-failed", listen);
  const error = new Error("poison");
  const projection = store.project(
    "p",
    ({ data }) => {
      if (data.amount === 2) throw error;
    },
    { attempts: 3, backoff: { base: 1, cap: 2 } },
  );
  await assert.rejects(projection.done, error);
  unsubscribe("ashlar:event-store:projection-failed", listen);
  assert.deepEqual([projection.status, heard, await projection.position()], ["failed", [1, 2, 3], 1]);
  await projection.close();
});

test("a handler whose transaction conflicts runs again at once, and its effect happens once", async () => {
  await using engine = openMemory();
  const store = open(engine);
  await store.append("x", [deposited(1)]);
  let runs = 0;
  await using projection = store.project("p", async (_, { tx }) => {
    const count = (await tx.get<number>(["count"])) ?? 0;
    if (++runs < 3) await engine.kv.set(["count"], count + 10);
    tx.set(["count"], count + 1);
  });
  await projection.waitFor(0, { timeout: "5s" });
  assert.deepEqual([runs, (await engine.kv.get(["count"]))?.value], [3, 21]);
});

test("only the types asked for are handed out, and the position passes over the others", async () => {
  await using engine = openMemory();
  const store = open(engine);
  for (let i = 1; i <= 10; i++) await store.append("x", [i % 2 ? deposited(i) : withdrawn(i)]);
  const seen: number[] = [];
  await using projection = store.project("p", ({ data }) => void seen.push(data.amount), {
    types: ["withdrawn"],
    from: 2,
  });
  await projection.waitFor(9, { timeout: "5s" });
  assert.deepEqual([seen, await projection.position()], [[4, 6, 8, 10], 10]);
});

test("closing waits for the handler under way for the time to drain, then aborts its signal", async () => {
  await using engine = openMemory();
  const store = open(engine);
  await store.append("x", [deposited(1)]);
  const began = Promise.withResolvers<void>();
  let reason: unknown;
  const projection = store.project(
    "p",
    async (_, { signal }) => {
      began.resolve();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      reason = signal.reason;
      signal.throwIfAborted();
    },
    { drain: 10 },
  );
  await began.promise;
  await store.close();
  assert.match(String(reason), /time to drain/);
  assert.deepEqual([projection.status, await projection.position()], ["closed", 0]);
  await assert.rejects(projection.waitFor(0), /closed/);
});

test("a commit that is too large for the engine is made of fewer events", async () => {
  await using engine = openMemory();
  const store = open(engine);
  const events = 40;
  await store.append(
    "x",
    Array.from({ length: events }, () => deposited(1)),
  );
  await using projection = store.project("p", ({ version }, { view }) => {
    for (let i = 0; i < 300; i++) view.set([version, i], true);
  });
  await projection.waitFor(events - 1, { timeout: "10s" });
  assert.equal(Object.keys(await viewOf(projection)).length, 300 * events);
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await holds())) {
    assert.ok(performance.now() < end, "it does not come to hold");
    await new Promise((resolve) => setImmediate(resolve));
  }
}
