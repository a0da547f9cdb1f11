import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError, type StandardSchema } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createQueue, drop, type Job, park, type Queue, type QueueMessage } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`queues on ${kind.name}`, { skip: kind.skip }, () => {
    handling(kind);
    ordering(kind);
    failing(kind);
    limiting(kind);
    administering(kind);
  });
}

function on(kind: StoreKind, fn: (a: Engine, b: Engine) => Promise<void>): () => Promise<void> {
  return async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };
}

/** Collects until there are so many. */
function collector<T>(count: number): { readonly items: T[]; readonly all: Promise<T[]>; add(item: T): void } {
  const { promise, resolve } = Promise.withResolvers<T[]>();
  const items: T[] = [];
  return {
    items,
    all: promise,
    add(item) {
      items.push(item);
      if (items.length === count) resolve(items);
    },
  };
}

const quick = { retry: { attempts: 3, backoff: { base: 1, cap: 2 } } } as const;

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 20_000; !(await holds()); ) {
    assert.ok(performance.now() < end, "waited for 20 s");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function untilEmpty(queue: Pick<Queue<never>, "counts">): Promise<void> {
  await until(async () => {
    const { waiting, delayed, blocked, active } = await queue.counts();
    return waiting + delayed + blocked + active === 0;
  });
}

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
        return left.every(({ key }) => key[2] === "bell" || key[2] === "head");
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
      const first = await here.add(1, { dedupe: { key: "w", window: 150 } });
      const got = collector<string>(2);
      await using worker = here.work((job) => got.add(job.id));
      await got.all;
      await untilEmpty(here);
      assert.deepEqual(new Set(got.items), new Set([adds[0]?.id, first.id]));
      assert.equal((await here.add(2, { dedupe: "d" })).duplicate, undefined);
      assert.deepEqual(await here.add(2, { dedupe: { key: "w", window: 150 } }), { id: first.id, duplicate: true });
      await until(async () => !(await here.add(3, { dedupe: { key: "w", window: 150 } })).duplicate);
      await worker.close();
    }),
  );
}

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
