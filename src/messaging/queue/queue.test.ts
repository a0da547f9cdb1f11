import assert from "node:assert/strict";
import { test } from "node:test";
import { code, on, onAllStores, until } from "../../../test/on-stores.ts";
import type { StoreKind } from "../../../test/stores.ts";
import type { StandardSchema } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createQueue, drop, type Job, park } from "./index.ts";
import { collector, quick, untilEmpty } from "./testing/collector.ts";

onAllStores("queues", handling);
onAllStores("queues", ordering);

function handling(kind: StoreKind): void {
  test(
    "jobs added in one process are handled in another, each by one worker",
    on(kind, async (a, b) => {
      const [here, there] = [createQueue<number>(a, "q"), createQueue<number>(b, "q")];
      const got = collector<number>(200);
      await using one = here.work((job) => got.add(job.data), { concurrency: 3 });
      await using two = there.work((job) => got.add(job.data), { concurrency: 3 });
      await Promise.all(Array.from({ length: 100 }, (_, i) => here.add(i)));
      await there.addMany(Array.from({ length: 100 }, (_, i) => 100 + i));
      await got.all;
      await untilEmpty(here);
      assert.deepEqual(
        got.items.toSorted((x, y) => x - y),
        Array.from({ length: 200 }, (_, i) => i),
      );
      assert.deepEqual([one.running, two.running], [0, 0]);
    }),
  );

  test(
    "what a handler writes through tx commits with the acknowledgement, once, though it conflicts with others",
    on(kind, async (a, b) => {
      const [here, there] = [createQueue<number>(a, "q"), createQueue<number>(b, "q")];
      await here.addMany(Array.from({ length: 60 }, (_, i) => i));
      const handler = async (
        { data }: Job<number>,
        { tx }: { tx: Parameters<Parameters<Engine["transact"]>[0]>[0] },
      ) => {
        const sum = (await tx.get<number>(["sum"])) ?? 0;
        tx.set(["sum"], sum + data);
        tx.add(["times", data], 1);
      };
      await using _one = here.work(handler, { concurrency: 4 });
      await using _two = there.work(handler, { concurrency: 4 });
      await untilEmpty(here);
      assert.equal((await a.kv.get(["sum"]))?.value, 1770);
      for await (const { key, value } of a.kv.list<number>({ prefix: ["times"] })) assert.equal(value, 1, String(key));
      await until(async () => (await Array.fromAsync(a.kv.list({ prefix: ["queue", "q", "claim"] }))).length === 0);
    }),
  );

  test(
    "a job added within a transaction exists if that commits, and not else",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q", { results: "1m" });
      const failing = a.transact(async (tx) => {
        await queue.add("never", { tx });
        await queue.add("nor this", { tx, key: "k" });
        throw new Error("no");
      });
      await assert.rejects(failing, /no/);
      const ids = await a.transact(async (tx) => {
        tx.set(["order", 1], "placed");
        const one = await queue.add("plain", { tx });
        const two = await queue.add("keyed", { tx, key: "k" });
        const three = await queue.addMany(["x", "y"], { tx });
        return [one, two, ...three].map(({ id }) => id);
      });
      const got = collector<string>(4);
      await using _worker = queue.work((job) => {
        got.add(job.data);
        return job.id;
      });
      assert.deepEqual((await got.all).toSorted(), ["keyed", "plain", "x", "y"]);
      for (const id of ids) assert.equal(await queue.result(id), id);
    }),
  );

  test(
    "a producer awaits results, and hears why there is none",
    on(kind, async (a, b) => {
      const queue = createQueue<string>(a, "q", { ...quick, results: "1m" });
      const elsewhere = createQueue<string>(b, "q", { results: "1m" });
      const waiting = queue.add("ok").then(({ id }) => elsewhere.result(id));
      await using _worker = queue.work(({ data, attempt }) => {
        if (data === "bad") throw new Error(`bad ${attempt}`);
        if (data === "parked") throw park("look at this");
        if (data === "dropped") throw drop("of no use");
        return { said: data };
      });
      assert.deepEqual(await waiting, { said: "ok" });
      const reasons = {
        bad: /failed for good: Error: bad 3/,
        parked: /Parked: look at this/,
        dropped: /it was dropped/,
      };
      for (const [data, reason] of Object.entries(reasons)) {
        const { id } = await queue.add(data);
        await assert.rejects(
          elsewhere.result(id),
          (error) => code("INVALID_STATE")(error) && reason.test(String(error)),
        );
      }
      await assert.rejects(queue.result("01ARZ3NDEKTSV4RRFFQ69G5FAV"), /not known/);
      await assert.rejects(createQueue(a, "other").result("x"), /keeps no results/);
    }),
  );

  test(
    "a parent of a flow runs after its children, and finds their results",
    on(kind, async (a) => {
      const resize = createQueue<number>(a, "resize", quick);
      const album = createQueue<string>(a, "album", { results: "1m" });
      await using _resizer = resize.work((job) => job.data * 2);
      await using _binder = album.work(async (_job, { children }) => {
        const done = await children();
        return done.map(({ result, state, queue }) => `${queue} ${state} ${result}`);
      });
      const children = [1, 2, 3].map((data) => ({ queue: resize, data }));
      const { id } = await album.addFlow({ data: "holiday", children });
      const lines = await album.result<string[]>(id);
      assert.deepEqual(lines.toSorted(), ["resize done 2", "resize done 4", "resize done 6"]);
      assert.deepEqual(await Array.fromAsync(a.kv.list({ prefix: ["queue", "album", "job"] })), []);
      await until(
        async () => (await Array.fromAsync(a.kv.list({ prefix: ["queue", "album", "parent"] }))).length === 0,
      );
    }),
  );

  test(
    "a child that fails for good fails its parent, or is seen by it",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q", { ...quick, results: "1m" });
      await using _worker = queue.work(async ({ data }, { children }) => {
        if (data === "bad") throw park("broken");
        return (await children()).map(({ state, reason }) => [state, reason]);
      });
      const children = [{ data: "bad" }, { data: "good" }];
      const strict = await queue.addFlow({ data: "strict", children });
      await assert.rejects(queue.result(strict.id), /child .* failed: broken/);
      const lenient = await queue.addFlow({ data: "lenient", children, onChildFailure: "run" });
      const seen = await queue.result<[string, string][]>(lenient.id);
      assert.deepEqual(seen.toSorted(), [
        ["done", undefined],
        ["failed", "broken"],
      ]);
    }),
  );

  test(
    "data satisfy the schema when they are added and when they are handled",
    on(kind, async (a) => {
      const schema: StandardSchema<number> = {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value) =>
            typeof value === "number" && value < 10
              ? { value: value * 100 }
              : { issues: [{ message: "a small number" }] },
        },
      };
      const strict = createQueue<number>(a, "q", { schema });
      await assert.rejects(strict.add(11), code("INVALID_ARGUMENT"));
      await strict.add(1);
      await createQueue<unknown>(a, "q").add("from an older program");
      const got = collector<number>(1);
      await using _worker = strict.work((job) => got.add(job.data));
      assert.deepEqual(await got.all, [100]);
      await until(async () => (await strict.counts()).dead === 1);
      const [dead] = await Array.fromAsync(strict.deadLetters.list());
      assert.deepEqual([dead?.data, dead?.reason], ["from an older program", "parked"]);
    }),
  );

  test(
    "a queue is known by its name and namespace",
    on(kind, async (a) => {
      await createQueue(a, "q").add("here");
      assert.equal((await createQueue(a.scope("tenant"), "q").counts()).waiting, 0);
      assert.equal((await createQueue(a, "p").counts()).waiting, 0);
      assert.equal((await createQueue(a, "q").counts()).waiting, 1);
    }),
  );
}

function ordering(kind: StoreKind): void {
  test(
    "plain jobs come in the order of their adding, higher priorities first, delayed ones not before their time",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q");
      await queue.addMany(["a", "b", "c"]);
      await queue.add("low", { priority: -1 });
      await queue.add("high", { priority: 7 });
      await queue.add("higher", { priority: 8 });
      const due = (await a.now()) + 500;
      await queue.add("later", { at: due });
      await queue.add("soon", { delay: 400 });
      const got = collector<[string, number]>(8);
      await using _worker = queue.work(async ({ data }) => got.add([data, await a.now()]), {
        concurrency: 1,
        prefetch: 0,
      });
      await got.all;
      assert.deepEqual(
        got.items.map(([data]) => data),
        ["higher", "high", "a", "b", "c", "low", "soon", "later"],
      );
      assert.ok((got.items[7]?.[1] as number) >= due - 2);
    }),
  );

  test(
    "jobs of one key run one after another in the order of their adding, while others go on",
    on(kind, async (a, b) => {
      const [here, there] = [createQueue<number>(a, "q", quick), createQueue<number>(b, "q", quick)];
      for (let i = 0; i < 12; i++) await here.add(i, { key: `k${i % 3}` });
      const order: Record<string, number[]> = { k0: [], k1: [], k2: [] };
      const running = new Set<string>();
      let failed = false;
      const handler = async ({ data, key = "" }: Job<number>) => {
        assert.ok(!running.has(key), `two of ${key} at one time`);
        running.add(key);
        await new Promise((resolve) => setTimeout(resolve, 2));
        running.delete(key);
        if (data === 4 && !failed) {
          failed = true;
          throw new Error("once");
        }
        order[key]?.push(data);
      };
      await using _one = here.work(handler, { concurrency: 5 });
      await using _two = there.work(handler, { concurrency: 5 });
      await untilEmpty(here);
      assert.deepEqual(order, { k0: [0, 3, 6, 9], k1: [1, 4, 7, 10], k2: [2, 5, 8, 11] });
      await until(async () => {
        const left = await Array.fromAsync(a.kv.list({ prefix: ["queue", "q"] }));
        return left.every(({ key }) => ["bell", "call", "handed", "head"].includes(key[2] as string));
      });
    }),
  );

  test(
    "as many jobs of a key run at once as perKey says, and a busy key leaves room for others",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q", { perKey: 2 });
      for (let i = 0; i < 8; i++) await queue.add("busy", { key: "busy" });
      await queue.add("quiet", { key: "quiet" });
      const running = new Map<string, number>();
      let most = 0;
      const order: string[] = [];
      await using _worker = queue.work(
        async ({ key = "" }) => {
          running.set(key, (running.get(key) ?? 0) + 1);
          most = Math.max(most, running.get("busy") ?? 0);
          await new Promise((resolve) => setTimeout(resolve, 5));
          running.set(key, (running.get(key) ?? 0) - 1);
          order.push(key);
        },
        { concurrency: 3 },
      );
      await untilEmpty(queue);
      assert.equal(most, 2);
      assert.ok(order.indexOf("quiet") < 4, order.join());
    }),
  );

  test(
    "while a job with the deduplication key is unfinished, or for a window, another is not added",
    on(kind, async (a, b) => {
      const [here, there] = [createQueue<number>(a, "q", quick), createQueue<number>(b, "q", quick)];
      const adds = await Promise.all(
        Array.from({ length: 8 }, (_, i) => (i % 2 ? here : there).add(i, { dedupe: "d" })),
      );
      assert.equal(new Set(adds.map(({ id }) => id)).size, 1);
      assert.equal(adds.filter(({ duplicate }) => !duplicate).length, 1);
      const first = await here.add(1, { dedupe: { key: "w", window: 1500 } });
      const got = collector<string>(2);
      await using worker = here.work((job) => got.add(job.id));
      await got.all;
      await untilEmpty(here);
      assert.deepEqual(new Set(got.items), new Set([adds[0]?.id, first.id]));
      assert.equal((await here.add(2, { dedupe: "d" })).duplicate, undefined);
      assert.deepEqual(await here.add(2, { dedupe: { key: "w", window: 1500 } }), { id: first.id, duplicate: true });
      await until(async () => !(await here.add(3, { dedupe: { key: "w", window: 1500 } })).duplicate);
      await worker.close();
    }),
  );
}
