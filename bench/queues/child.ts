import { setTimeout as pause } from "node:timers/promises";
import { batch, concurrency, mail, type Place, type QueueContestant, type Work } from "./contestant.ts";
import { now } from "./monotonic.ts";
import { openContestant } from "./open.ts";
import type { ContestantName } from "./plan.ts";
import { serve } from "./serve.ts";

/** What the parent asks of a contestant's process. One request at a time. */
export type Request =
  | { readonly do: "open"; readonly name: ContestantName; readonly place: Place }
  /** Milliseconds to add so many jobs one by one. */
  | { readonly do: "add"; readonly jobs: number }
  /** Milliseconds to add so many jobs a thousand at a time. */
  | { readonly do: "bulk"; readonly jobs: number }
  /** Milliseconds from the start of a worker until so many jobs that wait are settled. */
  | { readonly do: "drain"; readonly jobs: number }
  /** Milliseconds from `add` to the handler, one job at a time. */
  | { readonly do: "idle"; readonly samples: number }
  /** Starts a worker that notes when jobs come, which another process adds by "feed"; "heard" are the milliseconds. */
  | { readonly do: "listen" }
  | { readonly do: "feed"; readonly samples: number }
  | { readonly do: "heard"; readonly samples: number }
  | { readonly do: "close" };

/** Before an idle queue is measured, and between two of its jobs. */
const settle = 500;
const gap = 5;
/** Between jobs whose handler is in another process, so that each finds the queue idle. */
const gapApart = 20;

let contestant: QueueContestant | undefined;
let listener: { readonly work: Work; readonly ms: number[] } | undefined;

serve(answer);

async function answer(request: Request): Promise<number[]> {
  if (request.do === "open") {
    contestant = await openContestant(request.name, request.place);
    return [];
  }
  if (contestant === undefined) throw new Error("the contestant is not open");
  const own = contestant;
  globalThis.gc?.();
  switch (request.do) {
    case "add":
      return [await timed(() => addSingly(own, request.jobs))];
    case "bulk":
      return [await timed(() => addInBulk(own, request.jobs))];
    case "drain":
      return [await drain(own, request.jobs)];
    case "idle":
      return await idle(own, request.samples);
    case "listen": {
      const ms: number[] = [];
      const work = await own.work(({ at }) => ms.push(now() - (at as number)));
      await pause(settle);
      listener = { work, ms };
      return [];
    }
    case "feed":
      for (let i = 0; i < request.samples; i++) {
        await own.add({ ...mail(i), at: now() });
        await pause(gapApart);
      }
      return [];
    case "heard":
      return await heard(request.samples);
    case "close":
      contestant = undefined;
      await own.close();
      return [];
  }
}

async function addSingly(own: QueueContestant, jobs: number): Promise<void> {
  let next = 0;
  const producer = async (): Promise<void> => {
    while (next < jobs) await own.add(mail(next++));
  };
  await Promise.all(Array.from({ length: concurrency }, producer));
}

async function addInBulk(own: QueueContestant, jobs: number): Promise<void> {
  for (let from = 0; from < jobs; from += batch) {
    const count = Math.min(batch, jobs - from);
    await own.addMany(Array.from({ length: count }, (_, i) => mail(from + i)));
  }
}

async function drain(own: QueueContestant, jobs: number): Promise<number> {
  let handled = 0;
  const seen = Promise.withResolvers<void>();
  const start = now();
  const work = await own.work(() => {
    if (++handled === jobs) seen.resolve();
  });
  await seen.promise;
  await work.settled(jobs);
  const took = now() - start;
  await work.stop();
  if (handled !== jobs) throw new Error(`${handled} jobs were handled instead of ${jobs}`);
  return took;
}

async function idle(own: QueueContestant, samples: number): Promise<number[]> {
  let entered = Promise.withResolvers<number>();
  const work = await own.work(() => entered.resolve(now()));
  await pause(settle);
  const ms: number[] = [];
  for (let i = 0; i < samples; i++) {
    entered = Promise.withResolvers<number>();
    const start = now();
    await own.add(mail(i));
    ms.push((await entered.promise) - start);
    await pause(gap);
  }
  await work.stop();
  return ms;
}

async function heard(samples: number): Promise<number[]> {
  if (listener === undefined) throw new Error("nobody listens");
  const { work, ms } = listener;
  listener = undefined;
  const deadline = now() + 10_000;
  while (ms.length < samples && now() < deadline) await pause(10);
  await work.stop();
  if (ms.length !== samples) throw new Error(`${ms.length} jobs came instead of ${samples}`);
  return ms;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = now();
  await work();
  return now() - start;
}
