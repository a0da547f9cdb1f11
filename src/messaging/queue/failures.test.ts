import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { code, on, onAllStores, until } from "../../../test/on-stores.ts";
import type { StoreKind } from "../../../test/stores.ts";
import { createQueue, drop, park, type QueueMessage } from "./index.ts";
import { collector, quick, untilEmpty } from "./testing/collector.ts";

onAllStores("queues", failing);

function failing(kind: StoreKind): void {
  test(
    "a job that fails is tried again with a pause, until its budget is spent; then it is a dead letter with its history",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q", quick);
      const events: string[] = [];
      const listener = (message: unknown) => {
        const { id: _, queue: name, attempt, outcome } = message as QueueMessage;
        if (name === "q") events.push(`${attempt} ${outcome}`);
      };
      subscribe("ashlar:queue:failed", listener);
      const { id } = await queue.add("x", { headers: { tenant: "t1" } });
      let attempts = 0;
      await using _worker = queue.work(({ attempt, headers, history }) => {
        attempts++;
        assert.deepEqual([attempt, headers, history.length], [attempts, { tenant: "t1" }, attempts - 1]);
        throw new TypeError(`attempt ${attempt}`);
      });
      await until(async () => (await queue.counts()).dead === 1);
      unsubscribe("ashlar:queue:failed", listener);
      assert.equal(attempts, 3);
      assert.deepEqual(events, ["1 retry", "2 retry", "3 dead"]);
      const info = await queue.get(id);
      assert.deepEqual([info?.state, info?.reason, info?.data], ["dead", "attempts", "x"]);
      assert.deepEqual(
        info?.history?.map(({ name, message }) => [name, message]),
        [1, 2, 3].map((n) => ["TypeError", `attempt ${n}`]),
      );
    }),
  );

  test(
    "a handler parks or drops a job, a rule classifies errors, and an error that knows when to come back is heeded",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q", {
        retry: { attempts: 5, backoff: () => 1 },
        classify: (error) => {
          if ((error as Error).message === "rule") throw new Error("the rule is broken");
          return (error as Error).message === "hopeless" ? "park" : { retryAfter: 1 };
        },
      });
      const seen: string[] = [];
      await using _worker = queue.work(({ data, attempt }) => {
        seen.push(`${data} ${attempt}`);
        if (data === "park") throw park("by hand");
        if (data === "drop") throw drop("by hand");
        if (data === "hopeless") throw new Error("hopeless");
        if (data === "flaky" && attempt < 3) throw new Error("again");
      });
      await queue.addMany(["park", "drop", "hopeless", "flaky"]);
      await untilEmpty(queue);
      assert.deepEqual(seen.toSorted(), ["drop 1", "flaky 1", "flaky 2", "flaky 3", "hopeless 1", "park 1"]);
      const dead = await Array.fromAsync(queue.deadLetters.list());
      assert.deepEqual(dead.map(({ data, reason }) => `${data} ${reason}`).toSorted(), [
        "hopeless parked",
        "park parked",
      ]);
    }),
  );

  test(
    "a failed attempt leaves nothing of what it wrote through tx",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q", quick);
      await using _worker = queue.work(({ attempt }, { tx }) => {
        tx.add(["effects"], 1);
        tx.set(["attempt", attempt], true);
        if (attempt < 3) throw new Error("no");
      });
      await queue.add("x");
      await untilEmpty(queue);
      assert.deepEqual((await a.kv.get(["effects"]))?.value, 1);
      assert.deepEqual(
        (await Array.fromAsync(a.kv.list({ prefix: ["attempt"] }))).map(({ key }) => key[1]),
        [3],
      );
    }),
  );

  test(
    "a handler that takes too long is told so, and its attempt has failed",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q", { retry: { attempts: 1 } });
      let reason: unknown;
      await using _worker = queue.work(
        (_, { signal, tx }) => {
          tx.set(["late"], true);
          signal.addEventListener("abort", () => (reason = signal.reason));
          return new Promise<void>(() => {});
        },
        { timeout: 20 },
      );
      await queue.add("x");
      await until(async () => (await queue.counts()).dead === 1);
      assert.ok(code("TIMEOUT")(reason));
      assert.equal(await a.kv.get(["late"]), undefined);
    }),
  );

  test(
    "dead letters are redriven, all or some, with a new budget",
    on(kind, async (a) => {
      const queue = createQueue<number>(a, "q", { retry: { attempts: 1 } });
      let broken = true;
      const done: number[] = [];
      await using _worker = queue.work(({ data, attempt }) => {
        if (broken) throw new Error("broken");
        assert.equal(attempt, 1);
        done.push(data);
      });
      const added = await queue.addMany([1, 2, 3, 4, 5, 6]);
      await until(async () => (await queue.counts()).dead === 6);
      broken = false;
      assert.equal(await queue.deadLetters.redrive({ ids: [added[3]?.id as string, "unknown"] }), 1);
      await untilEmpty(queue);
      assert.deepEqual(done, [4]);
      assert.equal(await queue.deadLetters.redrive({ limit: 2 }), 2);
      assert.equal(await queue.deadLetters.delete(added[5]?.id as string), true);
      assert.equal(await queue.deadLetters.delete(added[5]?.id as string), false);
      assert.equal(await queue.deadLetters.redrive({ limit: 1, per: 1 }), 2);
      await untilEmpty(queue);
      assert.deepEqual(done.toSorted(), [1, 2, 3, 4, 5]);
      assert.equal((await queue.counts()).dead, 0);
    }),
  );

  test(
    "a closed worker ends what it began and gives back the rest, and no job loses an attempt",
    on(kind, async (a, b) => {
      const queue = createQueue<number>(a, "q", { retry: { attempts: 1 } });
      const begun = collector<number>(2);
      const held = Promise.withResolvers<void>();
      const worker = queue.work(
        async ({ data }) => {
          begun.add(data);
          await held.promise;
        },
        { concurrency: 2 },
      );
      await queue.addMany([1, 2, 3, 4]);
      await begun.all;
      const closing = worker.close();
      held.resolve();
      await closing;
      await worker.done;
      assert.deepEqual(begun.items, [1, 2]);
      const stuck = collector<number>(1);
      const slow = createQueue<number>(b, "q", { retry: { attempts: 1 } }).work(
        ({ data }, { signal }) => {
          stuck.add(data);
          return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        },
        { concurrency: 1 },
      );
      await stuck.all;
      await slow.close({ drain: 0 });
      const rest = collector<[number, number]>(2);
      await using _last = queue.work(({ data, attempt }) => rest.add([data, attempt]));
      await rest.all;
      assert.deepEqual(rest.items.toSorted(), [
        [3, 1],
        [4, 1],
      ]);
      assert.equal((await queue.counts()).dead, 0);
    }),
  );

  test(
    "jobs that are not begun in time are dropped",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q", { results: "1m" });
      const { id } = await queue.add("stale", { expires: 1 });
      const fresh = await queue.add("fresh", { expires: "1m" });
      await until(
        async () =>
          (await a.now()) > Date.now() - 1e9 && (await new Promise((r) => setTimeout(() => r(true), 5))) === true,
      );
      const handled: string[] = [];
      await using _worker = queue.work((job) => handled.push(job.data));
      await queue.result(fresh.id);
      await assert.rejects(queue.result(id), /not begun in time/);
      assert.deepEqual(handled, ["fresh"]);
      assert.equal((await queue.get(id))?.state, "expired");
    }),
  );
}
