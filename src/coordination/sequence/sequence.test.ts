import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError, OutcomeUnknownError, UnavailableError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createSequence } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
const times = <T>(count: number, fn: () => Promise<T>) => Promise.all(Array.from({ length: count }, fn));
const ascending = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

for (const kind of storeKinds) {
  describe(`sequences on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "numbers start with 1, ascend over all processes, and none is given out twice",
    on(async (a, b) => {
      const [one, two] = [createSequence(a, "orders"), createSequence(b, "orders")];
      assert.equal(await one.last(), undefined);
      assert.deepEqual([await one.next(), await two.next(), await one.next()], [1, 2, 3]);
      assert.equal(await two.last(), 3);
      const many = await Promise.all([times(50, () => one.next()), times(50, () => two.next())]);
      assert.deepEqual(ascending(many.flat()), upTo(103).slice(3));
      assert.equal(await createSequence(a, "invoices").next(), 1);
    }),
  );

  test(
    "blocks: unique over all processes, ascending within each, at a fraction of the commits",
    on(async (a, b) => {
      const [one, two] = [createSequence(a, "ids", { blockSize: 10 }), createSequence(b, "ids", { blockSize: 10 })];
      const [ofOne, ofTwo] = await Promise.all([times(45, () => one.next()), times(45, () => two.next())]);
      assert.deepEqual(ascending(ofOne), ofOne);
      assert.deepEqual(ascending(ofTwo), ofTwo);
      assert.equal(new Set([...ofOne, ...ofTwo]).size, 90);
      assert.ok(((await one.last()) as number) <= 120);
    }),
  );

  test(
    "reserve gives consecutive numbers",
    on(async (a) => {
      const sequence = createSequence(a, "ids", { start: 100 });
      const block = await sequence.reserve(5);
      assert.deepEqual([block.first, block.last, [...block]], [100, 104, [100, 101, 102, 103, 104]]);
      assert.equal(await sequence.next(), 105);
    }),
  );

  test(
    "in transactions there is no gap: a number that was not committed is given out again",
    on(async (a, b) => {
      const [one, two] = [createSequence(a, "invoices"), createSequence(b, "invoices")];
      const invoice = (engine: Engine, sequence = one) =>
        engine.transact(async (tx) => {
          const number = await sequence.nextIn(tx);
          tx.set(["invoice", number], "paid");
          return number;
        });
      await assert.rejects(
        a.transact(async (tx) => {
          await one.nextIn(tx);
          throw new Error("changed my mind");
        }),
        /changed my mind/,
      );
      const numbers = await Promise.all([times(10, () => invoice(a)), times(10, () => invoice(b, two))]);
      assert.deepEqual(ascending(numbers.flat()), upTo(20));
      assert.equal(
        await a.transact(async (tx) => {
          await one.nextIn(tx);
          return await one.nextIn(tx);
        }),
        22,
      );
    }),
  );

  test(
    "the end is the end, and what is left before it is given out to the last",
    on(async (a) => {
      const short = createSequence(a, "short", { start: 5, end: 16, blockSize: 10 });
      assert.deepEqual(await times(12, () => short.next()), upTo(16).slice(4));
      await assert.rejects(short.next(), code("LIMIT"));
      await assert.rejects(short.reserve(1), code("LIMIT"));
      await assert.rejects(
        a.transact((tx) => short.nextIn(tx)),
        code("LIMIT"),
      );
      const other = createSequence(a, "other", { end: 4 });
      await assert.rejects(other.reserve(5), code("LIMIT"));
      assert.equal((await other.reserve(4)).last, 4);
    }),
  );
}

/** An engine whose `add` first does what each of the given functions says: throw, or let it pass. */
function failingEngine(engine: Engine, before: (() => void)[]): { engine: Engine; adds: () => number } {
  let adds = 0;
  const wrap = (inner: Engine): Engine =>
    new Proxy(inner, {
      get(target, name) {
        if (name === "scope") return (...parts: string[]) => wrap(target.scope(...parts));
        if (name !== "kv") return Reflect.get(target, name, target);
        return new Proxy(target.kv, {
          get(kv, method) {
            const found: unknown = Reflect.get(kv, method, kv);
            if (method !== "add" || typeof found !== "function") return found;
            return async (...args: unknown[]) => {
              adds++;
              const sum: unknown = await found.apply(kv, args);
              before.shift()?.();
              return sum;
            };
          },
        });
      },
    });
  return { engine: wrap(engine), adds: () => adds };
}

test("a commit whose outcome is unknown costs numbers, never uniqueness", async () => {
  await using memory = openMemory();
  const lose = () => {
    throw new OutcomeUnknownError("the answer was lost");
  };
  const { engine } = failingEngine(memory, [lose, lose]);
  assert.equal(await createSequence(engine, "ids").next(), 3);
});

test("an engine that is away fails the caller, and is not asked again ahead of need", async () => {
  await using memory = openMemory();
  const away = () => {
    throw new UnavailableError("away");
  };
  const { engine, adds } = failingEngine(memory, [() => {}, away, away]);
  const sequence = createSequence(engine, "ids", { blockSize: 8 });
  const numbers: number[] = [];
  for (let i = 0; i < 8; i++) numbers.push(await sequence.next());
  assert.deepEqual(numbers, upTo(8));
  // The block ahead of need has been asked for, in vain.
  await new Promise(setImmediate);
  assert.equal(adds(), 2);
  await assert.rejects(sequence.next(), code("UNAVAILABLE"));
  assert.equal(adds(), 3);
  // The two blocks whose answers never came are gaps.
  assert.equal(await sequence.next(), 25);
});

test("a caller that gives up takes no number from those who wait", async () => {
  await using engine = openMemory();
  const sequence = createSequence(engine, "ids", { blockSize: 4 });
  const controller = new AbortController();
  const waiting = sequence.next({ signal: controller.signal });
  const other = sequence.next();
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  assert.equal(await other, 1);
  await assert.rejects(sequence.next({ signal: controller.signal }), /enough/);
  await assert.rejects(createSequence(engine, "ids").next({ signal: controller.signal }), /enough/);
});

test("what was reserved is announced", async () => {
  await using engine = openMemory();
  const messages: unknown[] = [];
  const listen = (message: unknown) => messages.push(message);
  subscribe("ashlar:sequence:reserved", listen);
  await createSequence(engine, "announced").reserve(3);
  unsubscribe("ashlar:sequence:reserved", listen);
  assert.deepEqual(messages, [{ name: "announced", first: 1, last: 3 }]);
});

test("bad options are refused", async () => {
  await using engine = openMemory();
  assert.throws(() => createSequence(engine, ""), /name/);
  for (const blockSize of [0, 1.5, 1_000_001])
    assert.throws(() => createSequence(engine, "s", { blockSize }), /blockSize/);
  for (const start of [0, -1, 2 ** 53]) assert.throws(() => createSequence(engine, "s", { start }), /start/);
  assert.throws(() => createSequence(engine, "s", { start: 5, end: 4 }), /end/);
  await assert.rejects(createSequence(engine, "s").reserve(0), /count/);
});
