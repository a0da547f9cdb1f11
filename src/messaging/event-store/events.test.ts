import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError, type StandardSchema } from "../../core/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createEventStore } from "./index.ts";
import { type AccountCommand, type AccountEvent, account, deposited } from "./testing/account.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

test("metadata, ids and time go with each event", async () => {
  await using engine = openMemory();
  const store = createEventStore<unknown, AccountEvent>(engine, "accounts");
  const metadata = { correlation: "c-1", causation: "m-7", user: "ann" };
  await store.append("x", [deposited(1), deposited(2)], { metadata, ids: ["i1", "i2"] });
  await store.append("x", [deposited(3)]);
  const events = await Array.fromAsync(store.read("x"));
  assert.deepEqual(events.map((event) => event.id).slice(0, 2), ["i1", "i2"]);
  assert.deepEqual(events[1]?.metadata, metadata);
  assert.deepEqual(events[2]?.metadata, {});
  const now = await engine.now();
  assert.ok(events.every(({ time }) => time <= now && time > now - 60_000));
});

test("old forms of events are brought up to date, and those of a later program are refused", async () => {
  await using engine = openMemory();
  type Old = { readonly type: "deposited"; readonly cents: number };
  const first = createEventStore<unknown, Old>(engine, "accounts");
  await first.append("x", [{ type: "deposited", cents: 250 }]);
  type New = { readonly type: "deposited"; readonly amount: number; readonly currency: string };
  const second = createEventStore<{ sum: number }, New>(engine, "accounts", {
    initial: () => ({ sum: 0 }),
    evolve: ({ sum }, { amount }) => ({ sum: sum + amount }),
    upcasters: {
      deposited: [
        ({ cents }: Old) => ({ type: "deposited", amount: cents / 100 }),
        (event: { type: string; amount: number }) => ({ ...event, currency: "EUR" }),
      ],
    },
  });
  await second.append("x", [{ type: "deposited", amount: 3, currency: "CHF" }]);
  assert.deepEqual(
    (await Array.fromAsync(second.read("x"))).map(({ data }) => data),
    [
      { type: "deposited", amount: 2.5, currency: "EUR" },
      { type: "deposited", amount: 3, currency: "CHF" },
    ],
  );
  assert.equal((await second.load("x")).state.sum, 5.5);
  await assert.rejects(Array.fromAsync(first.read("x")), code("UNSUPPORTED"));
});

test("a snapshot spares reading, and one of another version is not used", async () => {
  await using engine = openMemory();
  const folded: number[] = [];
  const open = (version: number) =>
    createEventStore<{ balance: number }, AccountEvent, AccountCommand>(engine, "accounts", {
      ...account,
      evolve: (state, event) => {
        folded.push(event.amount);
        return account.evolve(state, event);
      },
      snapshots: { every: 10, version },
    });
  const one = open(1);
  for (let i = 0; i < 25; i++) await one.append("x", [deposited(1)]);
  const count = async (store: typeof one) => {
    folded.length = 0;
    assert.equal((await store.load("x")).state.balance, 25);
    await store.close();
    return folded.length;
  };
  assert.equal(await count(one), 25);
  assert.equal(await count(open(1)), 0);
  assert.equal(await count(open(2)), 25);
  assert.equal(await count(open(2)), 0);
  assert.equal(await count(open(1)), 25);
  await engine.scope("event-store", "accounts").kv.delete(["snapshot", "x"]);
  assert.equal(await count(open(1)), 25);
});

test("a snapshot that was written late, of what has been truncated since, is not used", async () => {
  await using engine = openMemory();
  await using store = createEventStore<{ balance: number }, AccountEvent, AccountCommand>(engine, "accounts", {
    ...account,
    snapshots: { every: 2 },
  });
  await store.append("x", [deposited(1), deposited(2), deposited(4)]);
  const { kv } = engine.scope("event-store", "accounts");
  await store.truncate("x", { before: 3 });
  await kv.set(["snapshot", "x"], { version: 3, form: 1, first: 1, state: { balance: 7 } });
  assert.deepEqual(await store.load("x"), { state: { balance: 4 }, version: 3 });
});

test("large appends are split into rows, and what is too large is refused by its name", async () => {
  await using engine = openMemory();
  const store = createEventStore<unknown, { type: string; text: string }>(engine, "docs");
  const events = Array.from({ length: 300 }, (_, i) => ({ type: "t", text: `${i}`.padEnd(2000, ".") }));
  assert.equal((await store.append("x", events)).version, 300);
  await store.append("x", [{ type: "t", text: "last" }], { expected: 300 });
  assert.equal((await Array.fromAsync(store.read("x", { from: 150, to: 160 }))).length, 11);
  assert.equal(new Set((await Array.fromAsync(store.all())).map(({ id }) => id)).size, 301);
  assert.deepEqual(
    (await Array.fromAsync(store.all())).map(({ version }) => version),
    Array.from({ length: 301 }, (_, i) => i + 1),
  );
  await assert.rejects(store.append("x", [{ type: "t", text: "x".repeat(9_000_000) }]), {
    code: "LIMIT",
    message: /^events\[0\]/,
  });
  const many = Array.from({ length: engine.limits.operations + 1 }, () => ({ type: "t", text: "" }));
  await assert.rejects(store.append("x", many), { code: "LIMIT", message: /^events:/ });
});

test("events that do not satisfy the schema are refused, and its output is stored", async () => {
  await using engine = openMemory();
  const schema: StandardSchema<AccountEvent> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) => {
        const { amount } = value as AccountEvent;
        return amount > 0
          ? { value: { ...(value as AccountEvent), amount: Math.round(amount) } }
          : { issues: [{ message: "must be positive", path: ["amount"] }] };
      },
    },
  };
  const store = createEventStore(engine, "accounts", { ...account, schema });
  await assert.rejects(store.append("x", [deposited(1), deposited(-1)]), /events\[1\].*amount: must be positive/);
  const { state, events } = await store.execute("x", { type: "deposit", amount: 1.9 });
  assert.deepEqual([state.balance, events[0]?.amount], [2, 2]);
  assert.deepEqual((await store.load("x")).state, state);
});
