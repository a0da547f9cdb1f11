import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createEventStore, type EventStore, type RecordedEvent } from "./index.ts";
import { type AccountCommand, type AccountEvent, account, deposited, withdrawn } from "./testing/account.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
const conflict = (expected: unknown, actual: number) => (error: unknown) => {
  assert.ok(isAshlarError(error, "CONFLICT"));
  assert.deepEqual([error.details["expected"], error.details["actual"]], [expected, actual]);
  return true;
};
const brief = ({ version, data }: RecordedEvent<AccountEvent>) => `${version}:${data.type}:${data.amount}`;
const read = async (store: EventStore<unknown, AccountEvent, never>, stream: string, options = {}) =>
  (await Array.fromAsync(store.read(stream, options))).map(brief);

for (const kind of storeKinds) {
  describe(`event stores on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };
  const open = (engine: Engine, options = {}) =>
    createEventStore<{ balance: number }, AccountEvent, AccountCommand>(engine, "accounts", { ...account, ...options });

  test(
    "versions are dense from 1, positions over all streams from 0, and both are told",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      assert.deepEqual(await one.append("x", [deposited(1), deposited(2)]), { version: 2, position: 1 });
      assert.deepEqual(await two.append("y", [deposited(3)]), { version: 1, position: 2 });
      assert.deepEqual(await two.append("x", [deposited(4)], { expected: 2 }), { version: 3, position: 3 });
      assert.deepEqual(await read(two, "x"), ["1:deposited:1", "2:deposited:2", "3:deposited:4"]);
      const all = await Array.fromAsync(one.all());
      assert.deepEqual(
        all.map(({ position, stream, version }) => [position, stream, version]),
        [
          [0, "x", 1],
          [1, "x", 2],
          [2, "y", 1],
          [3, "x", 3],
        ],
      );
      assert.equal(await two.end(), 4);
      assert.equal(new Set(all.map(({ id }) => id)).size, 4);
      assert.deepEqual(await read(one, "z"), []);
    }),
  );

  test(
    "an append to a stream that is not as expected is a conflict that tells both versions",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      await assert.rejects(one.append("x", [deposited(1)], { expected: "exists" }), conflict("exists", 0));
      await assert.rejects(one.append("x", [deposited(1)], { expected: 1 }), conflict(1, 0));
      await one.append("x", [deposited(1)], { expected: "none" });
      await assert.rejects(two.append("x", [deposited(1)], { expected: "none" }), conflict(0, 1));
      await two.append("x", [deposited(2), deposited(3)], { expected: 1 });
      // What the first has remembered is out of date.
      await assert.rejects(one.append("x", [deposited(9)], { expected: 1 }), conflict(1, 3));
      await assert.rejects(one.append("x", [deposited(9)], { expected: 2 }), conflict(2, 3));
      await assert.rejects(one.append("x", [deposited(9)], { expected: 4 }), conflict(4, 3));
      assert.equal((await one.append("x", [deposited(4)], { expected: "exists" })).version, 4);
      assert.equal((await two.append("x", [deposited(5)])).version, 5);
      assert.equal(await one.end(), 5);
    }),
  );

  test(
    "of appends that expect the same version at the same time one succeeds; those that expect any all do",
    on(async (a, b) => {
      const stores = [open(a), open(b)];
      const pick = (i: number) => stores[i % 2] as (typeof stores)[number];
      const settled = await Promise.allSettled(
        Array.from({ length: 20 }, (_, i) => pick(i).append("x", [deposited(i)], { expected: "none" })),
      );
      assert.equal(settled.filter(({ status }) => status === "fulfilled").length, 1);
      const versions = await Promise.all(
        Array.from({ length: 40 }, (_, i) => pick(i).append("x", [deposited(i), withdrawn(i)])),
      );
      assert.deepEqual(
        versions.map(({ version }) => version).sort((x, y) => x - y),
        Array.from({ length: 40 }, (_, i) => 3 + 2 * i),
      );
      const events = await Array.fromAsync(pick(0).read("x"));
      assert.deepEqual(
        events.map(({ version }) => version),
        Array.from({ length: 81 }, (_, i) => i + 1),
      );
    }),
  );

  test(
    "a stream is read from and to a version, backwards, and so many",
    on(async (a) => {
      const store = open(a);
      for (let i = 1; i <= 9; i += 3) await store.append("x", [deposited(i), deposited(i + 1), deposited(i + 2)]);
      await store.append("xx", [deposited(100)]);
      const versions = async (options: object) =>
        (await Array.fromAsync(store.read("x", options))).map(({ data }) => data.amount);
      assert.deepEqual(await versions({ from: 5 }), [5, 6, 7, 8, 9]);
      assert.deepEqual(await versions({ from: 2, to: 5 }), [2, 3, 4, 5]);
      assert.deepEqual(await versions({ from: 3, limit: 2 }), [3, 4]);
      assert.deepEqual(await versions({ reverse: true, limit: 4 }), [9, 8, 7, 6]);
      assert.deepEqual(await versions({ reverse: true, from: 5, to: 3 }), [5, 4, 3]);
      assert.deepEqual(await versions({ from: 10 }), []);
      assert.deepEqual(await versions({ from: 5, to: 4 }), []);
    }),
  );

  test(
    "an append made again with the same ids is answered like the first",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      const ids = ["a", "b"];
      const events = [deposited(1), deposited(2)];
      assert.deepEqual(await one.append("x", events, { ids, expected: "none" }), { version: 2, position: 1 });
      await one.append("x", [deposited(3)], { ids: ["c"] });
      for (const store of [one, two]) {
        for (const expected of ["none", "any", "exists"] as const) {
          const again = await store.append("x", events, { ids, expected });
          assert.deepEqual([again.version, again.duplicate], [2, true]);
          assert.ok(again.position >= 1);
        }
        assert.equal((await store.append("x", [deposited(3)], { ids: ["c"], expected: 2 })).duplicate, true);
      }
      const inside = await b.transact((tx) => two.append("x", events, { ids, expected: "none", tx }));
      assert.deepEqual([inside.version, inside.duplicate], [2, true]);
      await assert.rejects(one.append("x", events, { ids: ["d", "e"], expected: "none" }), conflict(0, 3));
      assert.equal(await one.end(), 3);
    }),
  );

  test(
    "in a transaction, events, state and what else is written commit together or not at all",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      await one.append("x", [deposited(10)]);
      const done = await a.transact(async (tx) => {
        const { state, version } = await one.load("x", { tx });
        tx.set(["seen"], state.balance);
        const appended = await one.append("x", [withdrawn(3)], { tx, expected: version });
        const { state: after } = await one.load("x", { tx });
        assert.deepEqual([appended.version, after.balance], [2, 7]);
        await one.execute("x", { type: "withdraw", amount: 2 }, { tx });
        await one.append("y", [deposited(5)], { tx });
        return appended;
      });
      assert.equal(done.position, 1);
      assert.deepEqual((await two.load("x")).state, { balance: 5 });
      assert.equal((await b.kv.get(["seen"]))?.value, 10);
      await assert.rejects(
        a.transact(async (tx) => {
          await one.append("x", [deposited(1)], { tx });
          throw new Error("undone");
        }),
        /undone/,
      );
      await assert.rejects(
        a.transact((tx) => one.append("x", [deposited(1)], { tx, expected: 1 })),
        conflict(1, 3),
      );
      assert.equal(await one.end(), 4);
    }),
  );

  test(
    "a transaction that loaded a stream does not commit when others have appended to it",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      await one.append("x", [deposited(10)]);
      await using loading = a.begin();
      await one.load("x", { tx: loading.tx });
      loading.tx.set(["k"], 1);
      await using appending = a.begin();
      await one.append("x", [deposited(1)], { tx: appending.tx, expected: 1 });
      await two.append("x", [deposited(2)]);
      assert.deepEqual([await loading.commit(), await appending.commit()], [false, false]);
      assert.equal((await two.load("x")).state.balance, 12);
    }),
  );

  test(
    "commands are decided one after another: what is refused leaves no events",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      await one.execute("x", { type: "deposit", amount: 10 });
      const outcomes = await Promise.allSettled(
        Array.from({ length: 16 }, (_, i) =>
          (i % 2 ? one : two).execute("x", { type: "withdraw", amount: 1 }, { attempts: 1000 }),
        ),
      );
      assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 10);
      for (const outcome of outcomes)
        if (outcome.status === "rejected") assert.match(String(outcome.reason), /not enough/);
      assert.deepEqual(await one.load("x"), { state: { balance: 0 }, version: 11 });
      const nothing = await one.execute("x", { type: "deposit", amount: 0 });
      assert.deepEqual([nothing.events, nothing.version, nothing.position], [[], 11, undefined]);
    }),
  );

  test(
    "truncation forgets what lies before, everywhere, and the stream keeps its version",
    on(async (a, b) => {
      const [one, two] = [open(a, { snapshots: { every: 2 } }), open(b)];
      for (let i = 1; i <= 5; i++) await one.append("x", [deposited(i), deposited(10 * i)]);
      await one.load("x");
      await two.truncate("x", { before: 6 });
      assert.deepEqual(await read(one, "x"), [
        "6:deposited:30",
        "7:deposited:4",
        "8:deposited:40",
        "9:deposited:5",
        "10:deposited:50",
      ]);
      assert.deepEqual(await read(one, "x", { reverse: true, limit: 1 }), ["10:deposited:50"]);
      assert.deepEqual(await one.load("x"), { state: { balance: 129 }, version: 10 });
      assert.deepEqual(
        (await Array.fromAsync(two.all())).map(({ position }) => position),
        [5, 6, 7, 8, 9],
      );
      await two.truncate("x", { before: 100 });
      assert.deepEqual([await read(one, "x"), await Array.fromAsync(one.all())], [[], []]);
      assert.deepEqual(await one.load("x"), { state: { balance: 0 }, version: 10 });
      await assert.rejects(two.append("x", [deposited(1)], { expected: "none" }), conflict(0, 10));
      assert.equal((await one.append("x", [deposited(7)], { expected: 10 })).version, 11);
      assert.deepEqual(await read(two, "x"), ["11:deposited:7"]);
      await two.truncate("x", { before: 3 });
      assert.deepEqual(await two.load("x"), { state: { balance: 7 }, version: 11 });
    }),
  );

  test(
    "a deleted stream is gone, and stays so",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      for (let i = 1; i <= 3; i++) await one.append("x", [deposited(i)]);
      await two.append("y", [deposited(9)]);
      assert.equal(await two.delete("z"), false);
      await assert.rejects(two.delete("x", { expected: 2 }), conflict(2, 3));
      assert.equal(await two.delete("x", { expected: 3 }), true);
      assert.equal(await one.delete("x"), true);
      assert.deepEqual(await read(one, "x"), []);
      // The first remembers the stream's end.
      for (const expected of ["any", "none", "exists", 3, 4] as const)
        for (const store of [one, two])
          await assert.rejects(
            store.append("x", [deposited(1)], { expected }),
            (error) =>
              isAshlarError(error, "INVALID_STATE") ||
              (isAshlarError(error, "CONFLICT") && typeof expected !== "string"),
          );
      await assert.rejects(
        a.transact((tx) => one.append("x", [deposited(1)], { tx })),
        code("INVALID_STATE"),
      );
      assert.deepEqual(
        (await Array.fromAsync(one.all())).map(({ stream }) => stream),
        ["y"],
      );
    }),
  );

  test(
    "who follows live gets what was there and what comes, each once and in order",
    on(async (a, b) => {
      const [one, two] = [open(a), open(b)];
      for (let i = 0; i < 30; i++) await one.append(`s${i % 3}`, [deposited(i)]);
      const stop = new AbortController();
      const seen: number[] = [];
      const following = (async () => {
        for await (const { position } of two.all({ live: true, signal: stop.signal })) {
          seen.push(position);
          if (seen.length === 90) return;
        }
      })();
      await Promise.all(Array.from({ length: 60 }, (_, i) => (i % 2 ? one : two).append(`s${i % 7}`, [deposited(i)])));
      await following;
      assert.deepEqual(
        seen,
        Array.from({ length: 90 }, (_, i) => i),
      );
      const fromEnd = two.all({ from: "end", live: true, signal: stop.signal });
      const first = fromEnd.next();
      stop.abort(new Error("enough"));
      await assert.rejects(first, /enough/);
      assert.equal((await Array.fromAsync(one.all({ from: 85, types: ["deposited"] }))).length, 5);
      assert.equal((await Array.fromAsync(one.all({ types: ["withdrawn"] }))).length, 0);
    }),
  );
}

test("bad input is refused, by its name", async () => {
  await using engine = openMemory();
  const store = createEventStore(engine, "accounts", account);
  const refused = (run: () => unknown, message: RegExp) =>
    assert.rejects(async () => await run(), { code: "INVALID_ARGUMENT", message });
  await refused(() => createEventStore(engine, ""), /^name:/);
  await refused(() => createEventStore(engine, "x", { evolve: account.evolve } as object), /^initial:/);
  await refused(() => createEventStore(engine, "x", { snapshots: { every: 5 } }), /^snapshots:/);
  await refused(() => createEventStore(engine, "x", { ...account, snapshots: { every: 0 } }), /^snapshots\.every:/);
  await refused(() => createEventStore(engine, "x", { snapshot: {} } as object), /^options\.snapshot:/);
  await refused(() => createEventStore(engine, "x", { upcasters: { a: [1] } } as object), /^upcasters\.a:/);
  await refused(() => store.append("", [deposited(1)]), /^stream:/);
  await refused(() => store.append("x", []), /^events:/);
  await refused(() => store.append("x", [{} as AccountEvent]), /^events\[0\]\.type:/);
  await refused(() => store.append("x", [deposited(1)], { expected: -1 }), /^expected:/);
  await refused(
    () => store.append("x", [deposited(1)], { expectedVersion: 1 } as object),
    /^options\.expectedVersion:/,
  );
  await refused(() => store.append("x", [deposited(1)], { ids: [] }), /^ids:/);
  await refused(() => store.append("x", [deposited(1), deposited(1)], { ids: ["a", "a"] }), /^ids:/);
  await refused(() => store.append("x", [deposited(1)], { metadata: { correlation: 1 as never } }), /^metadata\.corr/);
  await refused(() => store.read("x", { from: 0 }), /^from:/);
  await refused(() => store.all({ from: -1 }), /^from:/);
  await refused(() => store.truncate("x", { before: 0 }), /^before:/);
  await refused(() => store.project("p", undefined as never), /^handler:/);
  await refused(() => store.project("p", () => {}, { batch: 0 }), /^batch:/);
  await refused(() => store.project("p", () => {}, { types: [] }), /^types:/);
  await assert.rejects(createEventStore(engine, "y").load("x"), code("INVALID_STATE"));
  await assert.rejects(createEventStore(engine, "y").execute("x", 1), code("INVALID_STATE"));
  const aborted = { signal: AbortSignal.abort(new Error("enough")) };
  await assert.rejects(store.append("x", [deposited(1)], aborted), /enough/);
  await store.close();
  await store.close();
  await assert.rejects(store.append("x", [deposited(1)]), code("CLOSED"));
});
