import assert from "node:assert/strict";
import { test } from "node:test";
import { on, onAllStores, until } from "../../../test/on-stores.ts";
import { leasesOf } from "../../coordination/lease/index.ts";
import type { Engine } from "../../engine/index.ts";
import { Caller } from "./calls.ts";
import { createQueue, type Queue } from "./index.ts";
import { ownLane } from "./lane.ts";
import type { Call } from "./layout.ts";
import { LocalQueue, scopeOf } from "./local.ts";
import { collector, untilEmpty } from "./testing/collector.ts";
import { meddledKv } from "./testing/meddled-kv.ts";

/** Until a worker calls for jobs, which it does once it has found nothing to do. */
const untilCalled = (engine: Engine) =>
  until(async () => (await scopeOf(engine, "work").kv.get(["call"])) !== undefined);

const wasHanded = async (engine: Engine): Promise<boolean> =>
  (await Array.fromAsync(scopeOf(engine, "work").kv.list({ prefix: ["handed"] }))).length > 0;

/** Adds until one was handed over: a producer looks for a call beside its work. */
async function addUntilHanded(engine: Engine, queue: Queue<number>, from = 0): Promise<number> {
  let added = from;
  await until(async () => {
    await queue.add(added++);
    await untilEmpty(queue);
    return wasHanded(engine);
  });
  return added;
}

onAllStores("queues", (kind) => {
  // On the memory engine all is one process, whose producers know its workers.
  if (kind.name === "memory") return;

  test(
    "a worker without work is handed new jobs by the producers of other processes, each once",
    on(kind, async (a, b) => {
      const seen: number[] = [];
      await using _ = createQueue<number>(a, "work").work(({ data }) => void seen.push(data));
      const queue = createQueue<number>(b, "work");
      await queue.add(-1);
      await untilCalled(a);
      const first = await addUntilHanded(a, queue);
      for (let i = 0; i < 40; i++) await queue.add(first + i);
      await Promise.all(Array.from({ length: 200 }, (_, i) => queue.add(first + 40 + i)));
      await untilEmpty(queue);
      const expected = Array.from({ length: first + 241 }, (_, i) => i - 1);
      assert.deepEqual(
        seen.sort((x, y) => x - y),
        expected,
      );
    }),
  );

  test(
    "a worker that is closed while it is handed jobs leaves them to others, and calls no more",
    on(kind, async (a, b) => {
      const seen: number[] = [];
      const here = createQueue<number>(a, "work");
      const queue = createQueue<number>(b, "work");
      let added = 0;
      for (let round = 0; round < 5; round++) {
        const worker = here.work(({ data }) => void seen.push(data));
        await queue.add(added++);
        await untilCalled(a);
        if (round === 0) added = await addUntilHanded(a, queue, added);
        const adding = Promise.all(Array.from({ length: 5 }, () => queue.add(added++)));
        await worker.close();
        await adding;
        assert.equal(await scopeOf(a, "work").kv.get(["call"]), undefined);
      }
      await using _ = here.work(({ data }) => void seen.push(data));
      await untilEmpty(queue);
      assert.deepEqual(
        seen.sort((x, y) => x - y),
        Array.from({ length: added }, (_, i) => i),
      );
    }),
  );

  test(
    "a paused queue is handed nothing",
    on(kind, async (a, b) => {
      const seen: number[] = [];
      await using _ = createQueue<number>(a, "work").work(({ data }) => void seen.push(data));
      const queue = createQueue<number>(b, "work");
      await queue.add(-1);
      await untilCalled(a);
      await addUntilHanded(a, queue);
      await queue.pause();
      const before = seen.length;
      for (let i = 0; i < 10; i++) await queue.add(1000 + i);
      assert.equal((await queue.counts()).waiting, 10);
      assert.equal(seen.length, before);
      await queue.resume();
      await untilEmpty(queue);
      assert.equal(seen.length, before + 10);
    }),
  );

  test(
    "jobs that a worker is handed beyond what it has room for go to others",
    on(kind, async (a, b) => {
      const stuck = Promise.withResolvers<void>();
      const others = collector<number>(8);
      await using _ = createQueue<number>(a, "work").work(
        async ({ data }) => {
          if (data >= 1000) await stuck.promise;
        },
        { concurrency: 2, prefetch: 0 },
      );
      const queue = createQueue<number>(b, "work");
      await queue.add(-1);
      await untilCalled(a);
      await addUntilHanded(a, queue);
      for (let i = 0; i < 10; i++) await queue.add(1000 + i);
      await using __ = queue.work(({ data }) => others.add(data));
      await others.all;
      assert.equal(new Set(others.items).size, 8);
      stuck.resolve();
      await untilEmpty(queue);
    }),
  );

  test(
    "a worker that has lost its lease calls again under its next one",
    on(kind, async (a, b) => {
      const seen: number[] = [];
      await using _ = createQueue<number>(a, "work").work(({ data }) => void seen.push(data));
      const queue = createQueue<number>(b, "work");
      const caller = async () => (await scopeOf(a, "work").kv.get<Call>(["call"]))?.value.lease;
      await queue.add(-1);
      await untilCalled(a);
      const before = await caller();
      await a.kv.delete(leasesOf(a).keyOf(before as string));
      // It finds out when it takes the next one.
      await queue.add(0);
      await until(async () => ![undefined, before].includes(await caller()));
      await addUntilHanded(a, queue, 1);
      assert.equal(new Set(seen).size, seen.length);
    }),
  );

  test(
    "one call stands for a queue: whoever finds another's, or comes too late with its own, calls when that is gone",
    on(kind, async (a, b) => {
      const [here, there] = [localOf(a, a), localOf(b, b)];
      const [one, two] = [await here.leases.acquire(15_000), await there.leases.acquire(15_000)];
      const nothing = { jobs: 1, receive: () => {}, failed: assert.ifError };
      const call = async () => (await scopeOf(a, "work").kv.get<Call>(["call"]))?.value;
      const first = new Caller({ local: here, ...nothing });
      first.idle(one);
      await untilCalled(a);
      const standing = await call();
      // Another worker of the same process.
      let sights = 0;
      const sibling = new Caller({
        local: localOf(
          meddledKv(a, "get", () => void sights++),
          a,
        ),
        ...nothing,
      });
      sibling.idle(one);
      await until(async () => sights > 0);
      await sibling.stop();
      // One that looked before the call of the first was there.
      let looks = 0;
      const blind = meddledKv(b, "get", () => (looks++ === 0 ? Promise.resolve(undefined) : undefined));
      const late = new Caller({ local: localOf(blind, b), ...nothing });
      late.idle(two);
      await until(async () => looks > 0);
      await until(async () => {
        late.idle(two);
        return looks > 2;
      });
      assert.deepEqual(await call(), standing);
      await first.stop();
      await until(async () => {
        late.idle(two);
        return (await call())?.lease === two.id;
      });
      await late.stop();
      assert.equal(await call(), undefined);
      one.release();
      two.release();
    }),
  );
});

/** A process's part of the queue; its keys are read and written through `engine`. */
function localOf(engine: Engine, root: Engine): LocalQueue {
  const scope = scopeOf(engine, "work");
  let claims = 0;
  return new LocalQueue(scope, root, ownLane(scope), { nextClaim: () => claims++, active: () => {} });
}
