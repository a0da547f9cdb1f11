import { setTimeout as pause } from "node:timers/promises";
import type { Engine } from "../../src/engine/index.ts";
import { connect } from "../../src/index.ts";
import { createQueue, type Queue, type Worker } from "../../src/messaging/queue/index.ts";
import { batch, concurrency, type Mail, mail } from "./contestant.ts";
import { now } from "./monotonic.ts";
import { serve } from "./serve.ts";

/** How the jobs of the backlog are added: "plain", or "ranked" with a priority each, which makes an entry of every job. */
export type Kind = "plain" | "ranked";

export type Request =
  | { readonly do: "open"; readonly url: string; readonly kind: Kind }
  /** Adds jobs, a thousand at a time. */
  | { readonly do: "fill"; readonly jobs: number }
  /** So many times: a worker starts, handles so many jobs, and closes. As many are added before each. */
  | { readonly do: "claim"; readonly jobs: number; readonly times: number }
  /** Jobs that outrank the backlog while others are handled. */
  | { readonly do: "overtake"; readonly samples: number }
  /** Jobs of another queue of the same store, which is idle. */
  | { readonly do: "beside"; readonly samples: number }
  /** Handles so many jobs. */
  | { readonly do: "drain"; readonly jobs: number }
  /** So many queues with a worker each; what that costs in so many milliseconds without a job. */
  | { readonly do: "crowd"; readonly queues: number; readonly idleMs: number; readonly samples: number }
  | { readonly do: "close" };

/** Milliseconds, and memory in bytes. */
export interface Value {
  /** Of the whole, for "fill" and "drain"; until all workers have started, for "crowd". */
  readonly ms?: number;
  readonly memory?: readonly Memory[];
  /** From the start of a worker to its first handler, for "claim"; from `add` to the handler. */
  readonly first?: readonly number[];
  /** From the first handler until the worker has handled and acknowledged its jobs. */
  readonly rest?: readonly number[];
  /** Of `add` alone. */
  readonly added?: readonly number[];
  /** By how many jobs the backlog has changed. */
  readonly change?: number;
  /** Processor time of this process while nothing happened, in milliseconds for each second. */
  readonly processor?: number;
}

export interface Memory {
  /** Jobs added or handled so far; or queues. */
  readonly at: number;
  /** Of live objects, after a collection. */
  readonly heap: number;
  readonly rss: number;
}

const samplesOfMemory = 20;
let engine: Engine | undefined;
let kind: Kind = "plain";

serve(answer);

async function answer(request: Request): Promise<Value> {
  if (request.do === "open") {
    engine = await connect(request.url);
    kind = request.kind;
    return {};
  }
  if (engine === undefined) throw new Error("nothing is open");
  if (request.do === "close") {
    await engine.close();
    return {};
  }
  const queue = createQueue<Mail>(engine, "backlog");
  switch (request.do) {
    case "fill":
      return await fill(queue, request.jobs);
    case "claim":
      return await claim(queue, request.jobs, request.times);
    case "overtake":
      return await overtake(queue, request.samples);
    case "beside":
      return await beside(createQueue<Mail>(engine, "beside"), request.samples);
    case "drain":
      return await drain(queue, request.jobs);
    case "crowd":
      return await crowd(engine, request.queues, request.idleMs, request.samples);
  }
}

async function fill(queue: Queue<Mail>, jobs: number): Promise<Value> {
  const memory = [measure(0)];
  let ms = 0;
  for (let from = 0; from < jobs; from += batch) {
    const start = now();
    const count = Math.min(batch, jobs - from);
    await addMany(queue, count, from);
    ms += now() - start;
    if (from + count >= (memory.length * jobs) / samplesOfMemory) memory.push(measure(from + count));
  }
  return { ms, memory };
}

async function addMany(queue: Queue<Mail>, count: number, from = 0): Promise<void> {
  const jobs = Array.from({ length: count }, (_, i) => mail(from + i));
  await queue.addMany(jobs, kind === "plain" ? {} : { priority: 1 + ((from / batch) % 10) });
}

async function claim(queue: Queue<Mail>, jobs: number, times: number): Promise<Value> {
  const first: number[] = [];
  const rest: number[] = [];
  let handled = jobs;
  let change = 0;
  for (let i = 0; i < times; i++) {
    await addMany(queue, handled);
    change += handled;
    handled = 0;
    globalThis.gc?.();
    const done = Promise.withResolvers<void>();
    let entered = 0;
    const start = now();
    const worker = queue.work(
      async () => {
        if (handled++ === 0) entered = now();
        if (handled === jobs) done.resolve();
      },
      { concurrency, prefetch: 0 },
    );
    await done.promise;
    await worker.close();
    first.push(entered - start);
    rest.push(now() - entered);
    change -= handled;
  }
  return { first, rest, change };
}

async function overtake(queue: Queue<Mail>, samples: number): Promise<Value> {
  let entered = Promise.withResolvers<number>();
  let change = 0;
  // Four handlers, busy for twenty milliseconds each: up to that long it waits for one of them to be free.
  const worker = queue.work(
    async ({ priority }) => {
      if (priority === 1000) return entered.resolve(now());
      change--;
      await pause(20);
    },
    { concurrency: 4, prefetch: 0 },
  );
  await pause(300);
  const first: number[] = [];
  const added: number[] = [];
  for (let i = 0; i < samples; i++) {
    entered = Promise.withResolvers<number>();
    const start = now();
    await queue.add(mail(i), { priority: 1000 });
    added.push(now() - start);
    first.push((await entered.promise) - start);
    await pause(7 + (i % 5));
  }
  await worker.close();
  return { first, added, change };
}

async function beside(queue: Queue<Mail>, samples: number): Promise<Value> {
  let entered = Promise.withResolvers<number>();
  const worker = queue.work(async () => entered.resolve(now()));
  await pause(300);
  const first: number[] = [];
  const added: number[] = [];
  for (let i = 0; i < samples; i++) {
    entered = Promise.withResolvers<number>();
    const start = now();
    const adding = queue.add(mail(i)).then(() => added.push(now() - start));
    first.push((await entered.promise) - start);
    await adding;
    await pause(5);
  }
  await worker.close();
  return { first, added };
}

async function drain(queue: Queue<Mail>, jobs: number): Promise<Value> {
  const memory = [measure(0)];
  const every = Math.max(1, Math.floor(jobs / samplesOfMemory));
  const seen = Promise.withResolvers<void>();
  let handled = 0;
  const start = now();
  const worker = queue.work(
    async () => {
      if (++handled % every === 0) memory.push(measure(handled));
      if (handled === jobs) seen.resolve();
    },
    { concurrency },
  );
  let before = -1;
  const watch = setInterval(() => {
    if (handled === before) seen.reject(new Error(`no job came for 20 s after ${handled} of ${jobs}`));
    before = handled;
  }, 20_000);
  await Promise.race([seen.promise, worker.done]).finally(() => clearInterval(watch));
  await worker.close();
  if (handled !== jobs) throw new Error(`${handled} jobs were handled instead of ${jobs}`);
  return { ms: now() - start, memory };
}

async function crowd(store: Engine, queues: number, idleMs: number, samples: number): Promise<Value> {
  const memory = [measure(0)];
  let entered = Promise.withResolvers<number>();
  const all: Queue<Mail>[] = [];
  const workers: Worker[] = [];
  const start = now();
  for (let i = 0; i < queues; i++) {
    const queue = createQueue<Mail>(store, `crowd ${i}`);
    all.push(queue);
    workers.push(queue.work(async () => entered.resolve(now())));
  }
  // The worker that began last has taken a job; then others may still be starting.
  await all.at(-1)?.add(mail(0));
  await entered.promise;
  const ms = (await quiet()) - start;
  memory.push(measure(queues));
  const before = process.cpuUsage();
  await pause(idleMs);
  const { user, system } = process.cpuUsage(before);
  const first: number[] = [];
  for (let i = 0; i < samples; i++) {
    entered = Promise.withResolvers<number>();
    const begun = now();
    await all[(i * 7919) % queues]?.add(mail(i));
    first.push((await entered.promise) - begun);
    await pause(5);
  }
  await Promise.all(workers.map((worker) => worker.close()));
  return { ms, memory, first, processor: (user + system) / idleMs };
}

/** Waits for two seconds in a row in which this process used less than a twentieth of a processor, two minutes at most. Resolves with when they began. */
async function quiet(): Promise<number> {
  const end = now() + 120_000;
  let since = now();
  while (now() < end && now() - since < 2000) {
    const before = process.cpuUsage();
    await pause(500);
    const { user, system } = process.cpuUsage(before);
    if (user + system > 25_000) since = now();
  }
  return since;
}

function measure(at: number): Memory {
  globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { at, heap: heapUsed + external, rss };
}
