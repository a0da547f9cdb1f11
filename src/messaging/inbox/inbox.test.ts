import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { Engine } from "../../engine/index.ts";
import { MemoryStore, openMemory } from "../../engine/memory/index.ts";
import { createQueue } from "../queue/index.ts";
import { createInbox, type InboxMessage, type MessageId, type ReceiveContext } from "./index.ts";
import { toKey } from "./message-id.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
const never = () => assert.fail("the handler runs again");

for (const kind of storeKinds) {
  describe(`inboxes on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };
  const count =
    (by = 1) =>
    ({ tx }: ReceiveContext) =>
      void tx.add(["count"], by);

  test(
    "a message takes effect the first time, in whichever process it comes again",
    on(async (a, b) => {
      const [one, two] = [createInbox(a, "stripe"), createInbox(b, "stripe")];
      const handler = async ({ tx, id }: ReceiveContext) => {
        tx.set(["paid", String(id)], true);
        tx.add(["count"], 1);
        return { order: 7 };
      };
      assert.equal(await one.has("evt_1"), false);
      assert.deepEqual(await one.receive("evt_1", handler), { duplicate: false, value: { order: 7 } });
      assert.deepEqual(await two.receive("evt_1", never), { duplicate: true, value: { order: 7 } });
      assert.deepEqual(await one.receive("evt_1", never), { duplicate: true, value: { order: 7 } });
      assert.equal(await two.has("evt_1"), true);
      assert.equal((await b.kv.get(["paid", "evt_1"]))?.value, true);
      assert.equal((await two.receive("evt_2", handler)).duplicate, false);
      assert.equal((await createInbox(b, "github").receive("evt_1", handler)).duplicate, false);
      assert.equal((await createInbox(b.scope("other"), "stripe").receive("evt_1", handler)).duplicate, false);
      assert.equal((await a.kv.get(["count"]))?.value, 3);
      assert.equal((await a.kv.get(["other", "count"]))?.value, 1);
    }),
  );

  test(
    "of receipts of one message at the same time exactly one takes effect, and all are told its value",
    on(async (a, b) => {
      let turn = 0;
      const receive = (engine: Engine) =>
        createInbox(engine, "stripe").receive("evt_1", async ({ tx }) => {
          const value = ++turn;
          tx.set(["winner"], value);
          tx.add(["count"], 1);
          await new Promise((resolve) => setImmediate(resolve));
          return value;
        });
      const receipts = await Promise.all(Array.from({ length: 20 }, (_, i) => receive(i % 2 ? a : b)));
      assert.equal((await a.kv.get(["count"]))?.value, 1);
      assert.equal(receipts.filter(({ duplicate }) => !duplicate).length, 1);
      const winner = (await a.kv.get(["winner"]))?.value;
      assert.deepEqual(new Set(receipts.map(({ value }) => value)), new Set([winner]));
    }),
  );

  test(
    "a handler that throws has not received: nothing is applied, and the message may come again",
    on(async (a) => {
      const inbox = createInbox(a, "stripe");
      for (const error of [new Error("flaky"), new TypeError("a mistake")]) {
        const failing = inbox.receive("evt_1", ({ tx }) => {
          tx.add(["count"], 1);
          throw error;
        });
        await assert.rejects(failing, error);
        assert.equal(await inbox.has("evt_1"), false);
      }
      assert.equal(await a.kv.get(["count"]), undefined);
      assert.equal((await inbox.receive("evt_1", count())).duplicate, false);
      assert.equal((await a.kv.get(["count"]))?.value, 1);
    }),
  );

  test(
    "accept quickly, work later: the job is added once, with the receipt",
    on(async (a, b) => {
      const [inboxes, queue] = [[createInbox(a, "stripe"), createInbox(b, "stripe")], createQueue(a, "payments")];
      const jobs = inboxes.map((inbox, i) => {
        const own = createQueue(i === 0 ? a : b, "payments");
        return inbox.receive("evt_1", async ({ tx }) => (await own.add({ amount: 5 }, { tx })).id);
      });
      const [one, two] = await Promise.all(jobs);
      assert.equal(one?.value, two?.value);
      assert.deepEqual([one?.duplicate, two?.duplicate].sort(), [false, true]);
      assert.equal((await queue.counts()).waiting, 1);
    }),
  );

  test(
    "in someone else's transaction, receipt and effect commit if that does",
    on(async (a) => {
      const inbox = createInbox(a, "stripe");
      const undone = a.transact(async (tx) => {
        assert.equal((await inbox.receive("evt_1", count(), { tx })).duplicate, false);
        throw new Error("undone");
      });
      await assert.rejects(undone, /undone/);
      assert.equal(await inbox.has("evt_1"), false);
      await using open = a.begin();
      assert.equal((await inbox.receive("evt_1", count(), { tx: open.tx })).duplicate, false);
      assert.equal(await open.commit(), true);
      const again = await a.transact((tx) => inbox.receive("evt_1", never, { tx }));
      assert.deepEqual(again, { duplicate: true, value: undefined });
      assert.equal((await a.kv.get(["count"]))?.value, 1);
    }),
  );

  test(
    "two transactions that receive the same message: one of them does not commit",
    on(async (a, b) => {
      const begin = async (engine: Engine) => {
        const open = engine.begin();
        await createInbox(engine, "stripe").receive("evt_1", count(), { tx: open.tx });
        return open;
      };
      await using one = await begin(a);
      await using two = await begin(b);
      assert.deepEqual([await one.commit(), await two.commit()], [true, false]);
      assert.equal((await a.kv.get(["count"]))?.value, 1);
    }),
  );

  test(
    "an id that comes with another message is refused",
    on(async (a) => {
      const inbox = createInbox(a, "stripe");
      await inbox.receive("evt_1", count(), { fingerprint: "body one" });
      assert.equal((await inbox.receive("evt_1", never, { fingerprint: "body one" })).duplicate, true);
      await assert.rejects(inbox.receive("evt_1", never, { fingerprint: "body two" }), code("FINGERPRINT_MISMATCH"));
      await assert.rejects(inbox.receive("evt_1", never, { fingerprint: undefined }), code("FINGERPRINT_MISMATCH"));
    }),
  );

  test(
    "an operator lets a message be received again",
    on(async (a) => {
      const inbox = createInbox(a, "stripe");
      assert.equal(await inbox.forget("evt_1"), false);
      await inbox.receive("evt_1", count());
      assert.equal(await inbox.forget("evt_1"), true);
      assert.equal(await inbox.has("evt_1"), false);
      assert.equal((await inbox.receive("evt_1", count())).duplicate, false);
      assert.equal((await a.kv.get(["count"]))?.value, 2);
    }),
  );
}

test("a message is remembered for the retention, and no longer", async () => {
  const time = createManualRuntime();
  await using engine = openMemory({ store: new MemoryStore(time), runtime: time });
  const inbox = createInbox(engine, "stripe", { retention: "1h" });
  const receive = () => inbox.receive("evt_1", ({ tx }) => void tx.add(["count"], 1));
  assert.equal((await receive()).duplicate, false);
  await time.advance(3_590_000);
  assert.equal((await receive()).duplicate, true);
  await time.advance(11_000);
  assert.equal((await receive()).duplicate, false);
});

test("ids are told apart, whatever they consist of", () => {
  const text = fc.oneof(
    fc.string({ minLength: 1, maxLength: 4 }),
    fc.constantFrom("e1 a b", "a b", "1 a", "h", "m", "a".repeat(600)),
  );
  const id: fc.Arbitrary<MessageId> = fc.oneof(text, fc.record({ source: text, id: text }, { noNullPrototype: true }));
  fc.assert(
    fc.property(id, id, (one, two) => {
      const same = JSON.stringify(one) === JSON.stringify(two);
      assert.equal(toKey(one) === toKey(two), same);
      assert.ok(toKey(one).length <= 500);
    }),
    { numRuns: 2000 },
  );
  assert.notEqual(toKey("x".repeat(4000)), toKey(`${"x".repeat(3999)}y`));
  assert.notEqual(toKey({ source: "a b", id: "c" }), toKey({ source: "a", id: "b c" }));
});

test("bad input is refused, by its name", async () => {
  await using engine = openMemory();
  const inbox = createInbox(engine, "stripe");
  const refused = (run: () => unknown, message: RegExp) =>
    assert.rejects(async () => await run(), { code: "INVALID_ARGUMENT", message });
  await refused(() => createInbox(engine, ""), /^name:/);
  await refused(() => createInbox(engine, "x", { retention: "1s" }), /^retention:/);
  await refused(() => createInbox(engine, "x", { ttl: "1s" } as object), /^options\.ttl:/);
  await refused(() => inbox.receive("", never), /^id:/);
  await refused(() => inbox.receive("x".repeat(4001), never), /^id:/);
  await refused(() => inbox.receive(7 as never, never), /^id:/);
  await refused(() => inbox.receive({ source: "s", id: "" }, never), /^id\.id:/);
  await refused(() => inbox.receive({ source: "", id: "i" }, never), /^id\.source:/);
  await refused(() => inbox.receive("i", undefined as never), /^handler:/);
  await refused(() => inbox.receive("i", never, { retention: "1d" } as object), /^options\.retention:/);
  await refused(() => engine.transact((tx) => inbox.receive("i", never, { tx, deadline: 5 })), /^deadline:/);
  await assert.rejects(inbox.receive("i", never, { signal: AbortSignal.abort(new Error("enough")) }), /enough/);
  await assert.rejects(
    inbox.receive("big", () => "x".repeat(100_000)),
    code("LIMIT"),
  );
  assert.equal(await inbox.has("big"), false);
});

test("listeners learn what was received, what came again, and what failed", async () => {
  await using engine = openMemory();
  const inbox = createInbox(engine, "stripe");
  const heard: [string, InboxMessage][] = [];
  const listen = (message: unknown, name: string | symbol) => heard.push([String(name), message as InboxMessage]);
  const names = ["received", "duplicate", "failed"].map((each) => `ashlar:inbox:${each}`);
  for (const name of names) subscribe(name, listen);
  const error = new Error("no");
  try {
    await assert.rejects(
      inbox.receive("i", () => Promise.reject(error)),
      /no/,
    );
    await inbox.receive({ source: "/s", id: "i" }, () => {});
    await inbox.receive({ source: "/s", id: "i" }, never);
  } finally {
    for (const name of names) unsubscribe(name, listen);
  }
  assert.deepEqual(heard, [
    ["ashlar:inbox:failed", { inbox: "stripe", id: "i", error }],
    ["ashlar:inbox:received", { inbox: "stripe", id: "/s i" }],
    ["ashlar:inbox:duplicate", { inbox: "stripe", id: "/s i" }],
  ]);
});
