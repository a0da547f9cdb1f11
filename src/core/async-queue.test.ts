import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import fc from "fast-check";
import { AsyncQueue } from "./async-queue.ts";
import { InvalidArgumentError } from "./errors.ts";

const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;
const reason = new Error("enough");
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function drain<T>(queue: AsyncQueue<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of queue) items.push(item);
  return items;
}

describe("AsyncQueue", () => {
  it("gives items in the order in which they went in, and refuses more than its capacity", async () => {
    const queue = new AsyncQueue<number>({ capacity: 2 });
    assert.deepEqual([queue.push(1), queue.push(2), queue.push(3)], [true, true, false]);
    assert.equal(queue.size, 2);
    queue.end();
    assert.deepEqual(await drain(queue), [1, 2]);
  });

  it("hands an item to a consumer who waits already", async () => {
    const queue = new AsyncQueue<string>({ capacity: 1 });
    const [first, second] = [queue.next(), queue.next()];
    assert.deepEqual([queue.push("a"), queue.push("b"), queue.push("c"), queue.push("d")], [true, true, true, false]);
    assert.deepEqual(
      [await first, await second],
      [
        { done: false, value: "a" },
        { done: false, value: "b" },
      ],
    );
    assert.equal(queue.size, 1);
  });

  it("lets producers wait for room, in the order in which they came", async () => {
    const queue = new AsyncQueue<number>({ capacity: 1 });
    const order: number[] = [];
    const pushes = [1, 2, 3, 4].map((item) => queue.pushWait(item).then((added) => added && order.push(item)));
    await turn();
    assert.deepEqual(order, [1]);
    const items: number[] = [];
    for await (const item of queue) {
      items.push(item);
      await turn();
      if (item === 4) break;
      assert.deepEqual(order, [1, 2, 3, 4].slice(0, item + 1));
    }
    await Promise.all(pushes);
    assert.deepEqual(items, [1, 2, 3, 4]);
  });

  it("does not let a late push overtake producers who wait", async () => {
    const queue = new AsyncQueue<number>({ capacity: 1 });
    queue.push(1);
    const waiting = queue.pushWait(2);
    assert.equal((await queue.next()).value, 1);
    assert.equal(queue.push(3), false);
    assert.equal(await waiting, true);
    assert.equal((await queue.next()).value, 2);
  });

  it("lets a producer give up: its item never goes in", async () => {
    const queue = new AsyncQueue<number>({ capacity: 1 });
    const controller = new AbortController();
    queue.push(1);
    const waiting = queue.pushWait(2, { signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(waiting, (error) => error === reason);
    await assert.rejects(queue.pushWait(3, { signal: controller.signal }), (error) => error === reason);
    assert.equal(listeners(controller.signal), 0);
    queue.end();
    assert.deepEqual(await drain(queue), [1]);
  });

  it("leaves no listener on the signal of a producer who got room", async () => {
    const queue = new AsyncQueue<number>({ capacity: 1 });
    const { signal } = new AbortController();
    queue.push(1);
    const waiting = queue.pushWait(2, { signal });
    await queue.next();
    assert.equal(await waiting, true);
    assert.equal(listeners(signal), 0);
  });

  it("gives what waits and then the error, once", async () => {
    const queue = new AsyncQueue<number>({ capacity: 5 });
    queue.push(1);
    queue.fail(reason);
    queue.fail(new Error("later"));
    assert.equal(queue.push(2), false);
    assert.deepEqual(await queue.next(), { done: false, value: 1 });
    await assert.rejects(queue.next(), (error) => error === reason);
    assert.deepEqual(await queue.next(), { done: true, value: undefined });
  });

  it("ends consumers who wait: the first of them hears of the error", async () => {
    const ended = new AsyncQueue<number>({ capacity: 1 });
    const next = ended.next();
    ended.end();
    assert.deepEqual(await next, { done: true, value: undefined });

    const failed = new AsyncQueue<number>({ capacity: 1 });
    const [first, second] = [failed.next(), failed.next()];
    failed.fail(reason);
    await assert.rejects(first, (error) => error === reason);
    assert.deepEqual(await second, { done: true, value: undefined });
    assert.deepEqual(await failed.next(), { done: true, value: undefined });
  });

  it("tells producers when the consumer has left, and discards what waits", async () => {
    const queue = new AsyncQueue<number>({ capacity: 1 });
    queue.push(1);
    const waiting = queue.pushWait(2);
    for await (const item of queue) {
      assert.equal(item, 1);
      break;
    }
    assert.equal(await waiting, true);
    assert.equal(queue.ended, true);
    assert.equal(queue.size, 0);
    assert.equal(queue.push(3), false);
    assert.equal(await queue.pushWait(4), false);
    assert.deepEqual(await queue.next(), { done: true, value: undefined });
  });

  it("releases producers who wait when it ends", async () => {
    const queue = new AsyncQueue<number>({ capacity: 1 });
    queue.push(1);
    const waiting = queue.pushWait(2);
    queue.end();
    assert.equal(await waiting, false);
    assert.deepEqual(await drain(queue), [1]);
  });

  it("on an abort discards what waits and rejects with the reason", async () => {
    const controller = new AbortController();
    const queue = new AsyncQueue<number>({ capacity: 2, signal: controller.signal });
    queue.push(1);
    controller.abort(reason);
    await assert.rejects(queue.next(), (error) => error === reason);
    assert.deepEqual(await queue.next(), { done: true, value: undefined });
    assert.equal(listeners(controller.signal), 0);

    const late = new AsyncQueue<number>({ capacity: 2, signal: controller.signal });
    assert.equal(late.push(1), false);
    await assert.rejects(late.next(), (error) => error === reason);
  });

  it("leaves no listener on its signal once it has ended, by whichever way", async () => {
    const { signal } = new AbortController();
    const queues = Array.from({ length: 4 }, () => new AsyncQueue<number>({ capacity: 1, signal }));
    assert.equal(listeners(signal), 4);
    queues[0]?.end();
    queues[1]?.fail(reason);
    await queues[2]?.return();
    await queues[3]?.[Symbol.asyncDispose]();
    assert.equal(listeners(signal), 0);
  });

  it("keeps undefined as an item", async () => {
    const queue = new AsyncQueue<undefined>({ capacity: 2 });
    queue.push(undefined);
    assert.deepEqual(await queue.next(), { done: false, value: undefined });
  });

  it("refuses a capacity below 1", () => {
    for (const capacity of [0, -1, Number.NaN]) assert.throws(() => new AsyncQueue({ capacity }), InvalidArgumentError);
  });

  it("neither loses, doubles nor reorders items, whatever the interleaving", async () => {
    const step = fc.constantFrom<"push" | "pushWait" | "next">("push", "pushWait", "next");
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), async (capacity, steps) => {
        const queue = new AsyncQueue<number>({ capacity });
        const taken: Promise<IteratorResult<number, undefined>>[] = [];
        const added: number[] = [];
        const waits: Promise<unknown>[] = [];
        for (const [i, one] of steps.entries()) {
          if (one === "next") taken.push(queue.next());
          else if (one === "push") {
            if (queue.push(i)) added.push(i);
          } else {
            added.push(i);
            waits.push(queue.pushWait(i).then((ok) => assert.ok(ok)));
          }
          assert.ok(queue.size <= capacity);
        }
        const rest: number[] = [];
        const taker = (async () => {
          while (taken.length + rest.length < added.length) rest.push((await queue.next()).value as number);
        })();
        await Promise.all([taker, ...waits]);
        queue.end();
        const early = (await Promise.all(taken)).filter((result) => !result.done).map((result) => result.value);
        assert.deepEqual([...early, ...rest], added);
      }),
      { numRuns: 200 },
    );
  });

  it("holds long runs of items without slowing down", async () => {
    const queue = new AsyncQueue<number>({ capacity: 100_000 });
    for (let i = 0; i < 100_000; i++) queue.push(i);
    let expected = 0;
    for (let round = 0; round < 150_000; round++) {
      assert.ok((await queue.next()).value === expected++);
      queue.push(100_000 + round);
    }
    assert.equal(queue.size, 100_000);
  });
});
