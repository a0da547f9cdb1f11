import type { Sizes } from "./plan.ts";

const count = (value: number): string => value.toLocaleString("en");

/** What a reader must know to judge the tables. */
export function preface({ jobs, samples, rounds }: Sizes): string {
  return `Jobs of about fifty bytes, handlers that do nothing. Contestants run in turn within each of ${rounds} rounds (one round before them does not count), each in processes of its own that live for the whole
run, on a store that is empty each time: a new SQLite file, a new Postgres database after a checkpoint, an emptied and rewritten Redis; what others wrote or deleted has reached the disk before (\`sync\`). Servers, producers and workers share the machine's processors. Ratios are
medians of the rounds' ratios, so that what slows the machine for longer than a round meets both sides. Run with \`node bench/queues.ts\`.

- *Add one by one*: ${count(jobs)} calls, 50 in flight, each resolved when the contestant says that the job is kept. Those that need seconds for it add 1,000 (on Postgres) or 5,000 (plainjob with FULL) instead.
  As many before them, on the same store, are not counted: a new store is not what a program adds to for long. (On one, ours on SQLite has a new thread and a write-ahead log that still grows, and adds about three quarters as many.)
- *Add in bulk*: ${count(jobs)} jobs by the contestant's own call for many, 1,000 at a time, one call after another.
- *Work off a backlog*: from the start of a worker, which finds ${count(jobs)} jobs, until all of them are acknowledged: as the store itself says for ours, pg-boss and graphile-worker (asked every 5 ms), and as the
  server has answered the worker for the others. BullMQ on Postgres, stock graphile-worker and plainjob with FULL get 5,000 jobs, pg-boss one by one 500.
- *Idle*: an idle queue gets one job; from the call of \`add\` to the handler's first line, ${samples} times a round, 5 ms apart. Includes making the job durable. In two processes the times are of one monotonic
  clock, and jobs are 20 ms apart.

## What is not equal

- **Durability.** Ours on SQLite is in WAL mode with \`synchronous=FULL\`, on Postgres stock: what \`add\` has resolved, and what has been acknowledged, survives a loss of power. So does Redis with
  \`appendfsync always\`, and Postgres for all on it. Redis with \`everysec\`, the setting that BullMQ recommends, may lose the latest second or two; so may plainjob as it comes
  (\`synchronous=NORMAL\`), for which it stands here a second time with FULL. The row of the same durability is the fair one; goals are set against both.
- **Who batches.** Ours puts adds and acknowledgements that are under way at the same moment into shared commits, without being told to; every call still resolves only when its own job is durable, and every job
  has an end of its own. On Postgres, pg-boss, graphile-worker and BullMQ commit each add by itself. graphile-worker *tuned* fetches 500 jobs into memory under its lock (a crashed worker's jobs stay
  locked for four hours by default) and tells what is complete in batches. pg-boss *batches of 1000* hands a thousand jobs to one call of the handler and completes or fails them together. Redis flushes
  \`always\` once for all commands that came in one turn of its loop. Ours fetches up to 1,000 jobs ahead as far as handlers are quick, under leases of 15 s that are renewed.
- **Who polls.** Ours, BullMQ, bee-queue, graphile-worker and pg-boss are woken when a job comes (pg-boss by LISTEN and NOTIFY, which is an option there). A backlog that was there before wakes nobody in pg-boss one by one: its 50
  workers look twice a second, the shortest interval it allows, hence some hundred jobs a second; and all 50 look when one job comes, which is likely where its latency comes from. plainjob looks once a second, and handles one job at a time in one
  process: its calls block the event loop until the commit is done. It is not in the row of two processes.
- **What stays.** Ours, graphile-worker, and BullMQ and bee-queue as they are set here, delete what is finished; pg-boss and plainjob keep it for days.
- **What else is set.** BullMQ: concurrency 50, \`removeOnComplete\`. bee-queue: concurrency 50, \`removeOnSuccess\`, no events, no jobs kept in memory. Whether BullMQ keeps finished jobs made no difference beyond the noise. Up to 60 connections to Postgres for BullMQ, pg-boss and graphile-worker
  each; ours as it comes. Redis without snapshots beside its append-only file.
- **Where it runs.** Ours on SQLite and plainjob have no server: their store is in the process (ours: in a thread of it). Redis and Postgres are processes of their own on the same machine, and reached through its loopback interface.`;
}
