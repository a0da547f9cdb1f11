import assert from "node:assert/strict";
import { test } from "node:test";
import { on, onAllStores, until } from "../../../test/on-stores.ts";
import { createQueue, park } from "./index.ts";
import { collector, untilEmpty } from "./testing/collector.ts";

onAllStores("queues", (kind) => {
  test(
    "jobs as large as they may be are handed over, fail, die, are redriven and given back",
    on(kind, async (a) => {
      const queue = createQueue<Uint8Array>(a, "q", { retry: { attempts: 2, backoff: { base: 1, cap: 1 } } });
      // In memory, several of them are more than one commit holds; elsewhere that would take its time.
      const most = kind.name === "memory" ? 3 * 1024 * 1024 : 900 * 1024;
      const large = new Uint8Array(Math.min(most, a.limits.valueBytes - 40 * 1024)).fill(7);
      let fails = true;
      const ended = collector<number>(8);
      const worker = queue.work(
        ({ data }) => {
          assert.equal(data.length, large.length);
          if (fails) throw new Error("x".repeat(5000));
          ended.add(data[0] as number);
        },
        { concurrency: 30 },
      );
      await until(async () => (await queue.counts()).active === 0);
      // Some are handed over directly, the others wait in the lane.
      await Promise.all(Array.from({ length: 4 }, () => queue.add(large)));
      await queue.addMany(Array.from({ length: 4 }, () => large));
      await until(async () => (await queue.counts()).dead === 8);
      fails = false;
      assert.equal(await queue.deadLetters.redrive(), 8);
      await ended.all;
      await untilEmpty(queue);
      await worker.close();
      const stuck = queue.work(
        (_, { signal }) =>
          new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
        {
          concurrency: 2,
        },
      );
      await queue.addMany(Array.from({ length: 4 }, () => large));
      await until(() => Promise.resolve(stuck.running === 2));
      await stuck.close({ drain: 0 });
      assert.equal((await queue.counts()).waiting, 4);
      await assert.rejects(queue.add(new Uint8Array(a.limits.valueBytes)), /data/);
      await using _last = queue.work(() => {
        throw park("enough");
      });
      await until(async () => (await queue.counts()).dead === 4);
    }),
  );
});
