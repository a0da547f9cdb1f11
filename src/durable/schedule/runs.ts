import { leasesOf } from "../../coordination/lease/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import { createQueue, type Queue, type Worker } from "../../messaging/queue/index.ts";
import type { Tick, TickHandler } from "./contract.ts";
import { type Definition, keyOf, type RunSettings } from "./definition.ts";
import { keys, type Ran, type RunData } from "./layout.ts";
import { jitterOf } from "./ticks.ts";

/** The queue of a schedule's runs. */
export function queueOf(user: Engine, name: string, settings?: RunSettings): Queue<RunData> {
  return createQueue<RunData>(
    user,
    `schedule/${name}`,
    settings && {
      retry: { attempts: settings.attempts, backoff: { base: settings.base, cap: settings.cap } },
      lease: settings.lease,
    },
  );
}

/** Where runs are put, and in which order they go. */
export class Runs {
  readonly queue: Queue<RunData>;
  readonly #name: string;

  constructor(queue: Queue<RunData>, name: string) {
    this.queue = queue;
    this.#name = name;
  }

  /** Those of ticks, as part of the transaction. */
  async add(tx: Transaction, ticks: readonly RunData[], definition: Definition, now: number): Promise<void> {
    for (const tick of ticks) {
      const delay = tick.kind === "scheduled" ? tick.time + jitterOf(this.#name, tick.time, definition) - now : 0;
      const key = keyOf(definition);
      await this.queue.add(tick, { tx, ...(key && { key }), ...(delay > 0 && { delay }) });
    }
  }

  /** Runs that have not ended, as far as `upTo`. */
  async open(upTo: number): Promise<number> {
    const { waiting, delayed, blocked, active } = await this.queue.counts({ upTo });
    return waiting + delayed + blocked + active;
  }

  /** Ends those of earlier ticks. Backfills are nobody's predecessors. */
  async cancelBefore(time: number): Promise<void> {
    for (const state of ["active", "waiting", "blocked", "delayed"] as const)
      for await (const { id, data } of this.queue.list(state))
        if (data && data.kind !== "backfill" && data.time < time) await this.queue.cancel(id);
  }
}

/** Carries runs out in this process. */
export function workOff(
  {
    user,
    engine,
    queue,
    settings,
    overlap,
  }: {
    readonly user: Engine;
    /** The scope of the schedule. */
    readonly engine: Engine;
    readonly queue: Queue<RunData>;
    readonly settings: RunSettings;
    readonly overlap: Definition["overlap"];
  },
  handler: TickHandler,
): Worker {
  const leases = leasesOf(user);
  return queue.work(
    async ({ id, data, attempt }, { tx, signal }) => {
      const tick: Tick = { id, time: data.time, kind: data.kind, attempt, ...("data" in data && { data: data.data }) };
      await handler(tick, { tx, signal });
      const ran: Ran = { kind: data.kind, attempts: attempt, ended: await leases.now() };
      engine.join(tx).set(keys.ran(data.time, id), ran, { ttl: settings.retention });
    },
    {
      concurrency: overlap === "allow" ? settings.concurrency : 1,
      drain: settings.drain,
      ...(settings.timeout !== undefined && { timeout: settings.timeout }),
    },
  );
}
