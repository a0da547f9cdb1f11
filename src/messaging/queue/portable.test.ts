import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../../../test/on-stores.ts";
import { sleep, systemRuntime } from "../../core/index.ts";
import { createEngine, portableLimits } from "../../engine/index.ts";
import { createKeyedDriver } from "../../engine/layers/testing/keyed-driver.ts";
import { MemoryStore } from "../../engine/memory/index.ts";
import { createTopic } from "../topic/index.ts";
import { createQueue, park } from "./index.ts";
import { untilEmpty } from "./testing/collector.ts";

test("queues and topics keep within the limits that every engine has", async () => {
  await using engine = createEngine(createKeyedDriver(new MemoryStore(), { limits: portableLimits }));
  const queue = createQueue<string>(engine, "q", {
    retry: { attempts: 2, backoff: { base: 1, cap: 1 } },
    results: "1m",
    concurrency: 60,
    maxWaiting: 5000,
    perKey: 20,
  });
  const many = (name: string, count = 300) => Array.from({ length: count }, (_, i) => `${name} ${i}`);
  await queue.addMany(many("plain", 500));
  await queue.addMany(many("keyed"), { key: "k" });
  await queue.addMany(many("delayed"), { delay: 5 });
  await queue.addMany(many("urgent"), { priority: 1 });
  await queue.addMany(many("bad", 50));
  const family = Math.floor((engine.limits.operations - 12) / 5);
  const children = many("child", family).map((data) => ({ data }));
  await queue.addFlow({ data: "parent", children });
  await assert.rejects(
    queue.addFlow({ data: "parent", children: [...children, { data: "one more" }] }),
    new RegExp(`over the limit of ${family} `),
  );
  let handled = 0;
  {
    await using _worker = queue.work(
      ({ data }, { tx }) => {
        handled++;
        if (data.startsWith("bad")) throw park("bad");
        if (data.endsWith("7")) tx.set(["seen", data], true);
      },
      { concurrency: 100 },
    );
    await untilEmpty(queue);
  }
  assert.equal((await queue.counts()).dead, 50);
  assert.equal(handled, 1451 + family);
  assert.equal(await queue.deadLetters.redrive(), 50);
  assert.equal(await queue.purge(), 50);

  const topic = createTopic<number>(engine, "t", { retention: 0 });
  let seen = 0;
  await using subscriber = topic.subscribe("s", () => void seen++, { order: "key", concurrency: 50 });
  await subscriber.ready;
  await topic.publishMany(
    Array.from({ length: 300 }, (_, i) => i),
    { key: "k" },
  );
  await topic.publishMany(Array.from({ length: 300 }, (_, i) => i));
  await until(async () => seen === 600);
  await subscriber.close();
  await sleep(systemRuntime, 1);
  await topic.subscription("s").delete();
});
