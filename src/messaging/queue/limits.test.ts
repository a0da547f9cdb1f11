import assert from "node:assert/strict";
import { test } from "node:test";
import { code, on, onAllStores, until } from "../../../test/on-stores.ts";
import type { StoreKind } from "../../../test/stores.ts";
import type { KeyRange } from "../../core/index.ts";
import { isAshlarError } from "../../core/index.ts";
import { countJobs } from "./counts.ts";
import { createQueue } from "./index.ts";
import { ownLane } from "./lane.ts";
import { scopeOf } from "./local.ts";
import { collector, quick, untilEmpty } from "./testing/collector.ts";
import { meddledKv } from "./testing/meddled-kv.ts";

onAllStores("queues", limiting);
onAllStores("queues", administering);

function limiting(kind: StoreKind): void {
  test(
    "no more jobs run at once than the queue allows, over all processes",
    on(kind, async (a, b) => {
      const options = { concurrency: 3 };
      const [here, there] = [createQueue<number>(a, "q", options), createQueue<number>(b, "q", options)];
      await here.addMany(Array.from({ length: 30 }, (_, i) => i));
      let running = 0;
      let most = 0;
      const handler = async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 2));
        running--;
      };
      await using _one = here.work(handler, { concurrency: 10 });
      await using _two = there.work(handler, { concurrency: 10 });
      await untilEmpty(here);
      assert.equal(most, 3);
      assert.equal((await a.kv.get(["queue", "q", "running"]))?.value, 0);
    }),
  );

  test(
    "jobs begin no faster than the rate allows",
    on(kind, async (a) => {
      const queue = createQueue<number>(a, "q", { rateLimit: { limit: 5, per: 100 } });
      await queue.addMany(Array.from({ length: 12 }, (_, i) => i));
      const begun: number[] = [];
      const before = await a.now();
      await using _worker = queue.work(async () => begun.push(await a.now()), { concurrency: 10 });
      await untilEmpty(queue);
      const after = await a.now();
      // Five at once, then one every 20 ms: the twelfth 140 ms after the first.
      assert.ok(after - before >= 135, `${after - before} ms`);
    }),
  );

  test(
    "a full queue refuses, or lets the producer wait",
    on(kind, async (a) => {
      const refusing = createQueue<number>(a, "q", { maxWaiting: 3, whenFull: "refuse" });
      const waiting = createQueue<number>(a, "q", { maxWaiting: 3 });
      await refusing.addMany([1, 2]);
      await refusing.add(3, { priority: 1 });
      await assert.rejects(refusing.add(4), code("OVERLOADED"));
      await assert.rejects(refusing.add(4, { delay: 5 }), code("OVERLOADED"));
      await assert.rejects(
        waiting.add(4, { signal: AbortSignal.timeout(20) }),
        (error) => (error as Error).name === "TimeoutError" || code("OVERLOADED")(error),
      );
      const later = waiting.add(5);
      const got = collector<number>(4);
      await using _worker = waiting.work((job) => got.add(job.data));
      await later;
      await got.all;
      assert.deepEqual(got.items.toSorted(), [1, 2, 3, 5]);
      await untilEmpty(waiting);
      assert.equal((await a.kv.get(["queue", "q", "waiting"]))?.value, 0);
      const flow = waiting.addFlow({ data: 0, children: [{ data: 1 }, { data: 2 }] });
      await flow;
      await untilEmpty(waiting);
    }),
  );
}

function administering(kind: StoreKind): void {
  test(
    "a job is found wherever it is, and cancelled or promoted there",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q", { results: "1m" });
      const [plain, other] = await queue.addMany(["plain", "other"]);
      const delayed = await queue.add("delayed", { delay: "1h" });
      const later = await queue.add("later", { delay: "1h", key: "k" });
      const urgent = await queue.add("urgent", { priority: 3 });
      const keyed = await queue.add("keyed", { key: "k" });
      const flow = await queue.addFlow({ data: "parent", children: [{ data: "child", options: { delay: "1h" } }] });
      const states = async () => {
        const all = [plain, other, delayed, later, urgent, keyed, flow];
        return await Promise.all(all.map(async (each) => (await queue.get(each?.id as string))?.state));
      };
      assert.deepEqual(await states(), ["waiting", "waiting", "delayed", "delayed", "waiting", "blocked", "blocked"]);
      const counts = await queue.counts();
      assert.deepEqual(counts, { waiting: 3, delayed: 3, blocked: 2, active: 0, dead: 0, paused: false });
      for (const each of [plain, delayed, later, urgent, keyed, flow])
        assert.equal(await queue.cancel(each?.id as string), true);
      assert.deepEqual(await states(), [
        "cancelled",
        "waiting",
        "cancelled",
        "cancelled",
        "cancelled",
        "cancelled",
        "cancelled",
      ]);
      assert.equal(await queue.cancel(plain?.id as string), false);
      assert.equal(await queue.cancel("nonsense"), false);
      const soon = await queue.add("soon", { delay: "1h" });
      assert.equal(await queue.promote(soon.id), true);
      assert.equal(await queue.promote(soon.id), false);
      assert.equal((await queue.get(soon.id))?.state, "waiting");
      const got = collector<string>(2);
      await using _worker = queue.work((job) => got.add(job.data));
      await got.all;
      assert.deepEqual(got.items, ["other", "soon"]);
      await until(async () => (await Array.fromAsync(queue.list("finished"))).length === 8);
    }),
  );

  test(
    "a queue whose only job moves on while it is counted is not said to be empty",
    on(kind, async (a) => {
      const queue = createQueue<string>(a, "q");
      const { id } = await queue.add("x", { delay: "1h" });
      const scope = scopeOf(a, "q");
      let read: Promise<unknown> = Promise.resolve();
      const engine = meddledKv(scope, "list", async function* (range, options) {
        const [place] = (range as { prefix: [string] }).prefix;
        const entries = Array.fromAsync(scope.kv.list(range as KeyRange, options as object));
        if (place === "ready") read = entries;
        else await read;
        if (place === "delayed") await queue.promote(id);
        yield* place === "ready" ? await entries : scope.kv.list(range as KeyRange, options as object);
      });
      const counts = await countJobs({ engine, lane: ownLane(scope) }, 100);
      assert.deepEqual(counts, { waiting: 1, delayed: 0, blocked: 0, active: 0, dead: 0, paused: false });
    }),
  );

  test(
    "a running job hears that it is cancelled, in whichever process, and is not tried again",
    on(kind, async (a, b) => {
      const queue = createQueue<string>(a, "q", { ...quick, results: "1m" });
      const begun = Promise.withResolvers<void>();
      await using _worker = queue.work(async (_, { signal, progress }) => {
        await progress({ percent: 40 });
        begun.resolve();
        await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      });
      const { id } = await queue.add("x");
      await begun.promise;
      const elsewhere = createQueue<string>(b, "q", { results: "1m" });
      const info = await elsewhere.get(id);
      assert.deepEqual([info?.state, info?.data, info?.progress], ["active", "x", { percent: 40 }]);
      assert.deepEqual(
        (await Array.fromAsync(elsewhere.list("active"))).map((job) => job.id),
        [id],
      );
      assert.equal(await elsewhere.cancel(id), true);
      await assert.rejects(elsewhere.result(id), /it was cancelled/);
      await untilEmpty(queue);
      assert.deepEqual(await Array.fromAsync(a.kv.list({ prefix: ["queue", "q", "progress"] })), []);
    }),
  );

  test(
    "a paused queue hands out nothing, in any process, until it is resumed",
    on(kind, async (a, b) => {
      const queue = createQueue<number>(a, "q");
      const elsewhere = createQueue<number>(b, "q");
      const handled: number[] = [];
      await using _worker = queue.work((job) => handled.push(job.data));
      await elsewhere.pause();
      await queue.add(1);
      await queue.add(2, { priority: 2 });
      assert.equal((await queue.counts()).paused, true);
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.deepEqual(handled, []);
      await elsewhere.resume();
      await untilEmpty(queue);
      assert.deepEqual(handled.toSorted(), [1, 2]);
    }),
  );

  test(
    "purging takes out what waits",
    on(kind, async (a) => {
      const queue = createQueue<number>(a, "q", { retry: { attempts: 1 }, maxWaiting: 100 });
      const [first] = await queue.addMany([1, 2, 3]);
      await queue.cancel(first?.id as string);
      await queue.add(4, { delay: "1h" });
      await queue.add(5, { key: "k" });
      await queue.add(6, { priority: 1 });
      assert.equal(await queue.purge(), 5);
      assert.deepEqual(await queue.counts(), { waiting: 0, delayed: 0, blocked: 0, active: 0, dead: 0, paused: false });
      await using _worker = queue.work(({ data }) => {
        if (data === 7) throw new Error("x");
      });
      await queue.add(7);
      await queue.add(8, { key: "k" });
      await until(async () => (await queue.counts()).dead === 1);
      assert.equal(await queue.purge({ dead: true }), 1);
      await untilEmpty(queue);
      assert.equal((await queue.counts()).dead, 0);
      assert.equal((await a.kv.get(["queue", "q", "waiting"]))?.value, 0);
    }),
  );

  test(
    "waiting jobs are listed in pages, a large backlog included",
    on(kind, async (a) => {
      const queue = createQueue<number>(a, "q");
      await queue.addMany(Array.from({ length: 2500 }, (_, i) => i));
      const listed = await Array.fromAsync(queue.list("waiting"));
      assert.deepEqual(
        listed.map(({ data }) => data),
        Array.from({ length: 2500 }, (_, i) => i),
      );
      assert.equal((await Array.fromAsync(queue.list("waiting", { limit: 3 }))).length, 3);
      const last = listed.at(-1);
      assert.equal((await queue.get(last?.id as string))?.data, 2499);
      let got = 0;
      await using _worker = queue.work(() => void got++, { concurrency: 20 });
      await untilEmpty(queue);
      assert.equal(got, 2500);
      await until(async () => (await a.scope("queue", "q").log.bounds(["lane"])).first > 0);
    }),
  );

  test(
    "a worker on an engine that is closed ends and says why",
    on(kind, async (a) => {
      const worker = createQueue<number>(a, "q").work(() => {});
      await createQueue<number>(a, "q").add(1);
      await a.close();
      await assert.rejects(worker.done, code("CLOSED"));
      await worker.close();
    }),
  );

  test(
    "wrong arguments are named",
    on(kind, async (a) => {
      const invalid = (name: string) => (error: unknown) =>
        isAshlarError(error, "INVALID_ARGUMENT") && error.message.includes(name);
      assert.throws(() => createQueue(a, ""), invalid("name"));
      assert.throws(() => createQueue(a, "q", { retries: 3 } as object), invalid("options.retries"));
      assert.throws(() => createQueue(a, "q", { retry: { attempts: 0 } }), invalid("retry.attempts"));
      assert.throws(() => createQueue(a, "q", { perKey: 1.5 }), invalid("perKey"));
      const queue = createQueue<unknown>(a, "q");
      assert.throws(() => queue.work(() => {}, { concurrency: 0 }), invalid("concurrency"));
      await assert.rejects(
        queue.add(() => {}),
        invalid("data"),
      );
      await assert.rejects(queue.add(1, { priority: 0.5 }), invalid("priority"));
      await assert.rejects(queue.add(1, { delay: 5, at: 5 }), invalid("at"));
      await assert.rejects(queue.add(1, { prio: 5 } as object), invalid("options.prio"));
      await assert.rejects(queue.add(1, { headers: { a: 1 as unknown as string } }), invalid("headers.a"));
      await assert.rejects(queue.addMany([1, () => {}]), invalid("items[1]"));
      await assert.rejects(queue.add(new Uint8Array(a.limits.valueBytes)), code("LIMIT"));
      assert.equal((await queue.counts()).waiting, 0);
    }),
  );
}
