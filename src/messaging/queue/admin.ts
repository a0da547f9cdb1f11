import { refuseUnknown, sleep, toMilliseconds } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import type { Counts, DeadLetters, JobInfo, ListedState } from "./contract.ts";
import { countJobs } from "./counts.ts";
import { bytesOfJob, fitting } from "./fitting.ts";
import { cancelsTopic, type Death, type Delayed, type Head, keys, type StoredJob } from "./layout.ts";
import { type DeadLetter, describe, listDead, listJobs, pageOf, readDead } from "./listing.ts";
import type { LocalQueue } from "./local.ts";
import { type Location, locate } from "./locate.ts";
import { whole } from "./options.ts";
import { type Desk, type End, placeNew, placeReady, ring, writeEnd } from "./outcome.ts";

/** How long a running job is remembered as cancelled, should its process die. */
const cancelledTtl = "1d";
/** Operations of one job that is taken out, at most. */
const operationsEach = 12;

const cancelled: End = { kind: "end", state: "cancelled", failure: undefined };

/** What is done to a queue from outside: looking, taking out, holding up. */
export class Admin<T> implements DeadLetters<T> {
  readonly #engine: Engine;
  readonly #local: LocalQueue;
  readonly #desk: Desk;

  constructor(local: LocalQueue, desk: Desk) {
    this.#engine = local.engine;
    this.#local = local;
    this.#desk = desk;
  }

  async get(id: string): Promise<JobInfo<T> | undefined> {
    const found = await locate(this.#local, id);
    if (!found) return undefined;
    const info = describe<T>(id, found);
    if (found.in !== "claim") return info;
    const progress = await this.#engine.kv.get(keys.progress(id));
    return progress === undefined ? info : { ...info, progress: progress.value };
  }

  listState(
    state: ListedState,
    options: { readonly limit?: number; readonly signal?: AbortSignal },
  ): AsyncIterableIterator<JobInfo<T>> {
    return listJobs<T>(this.#local, state, options);
  }

  list(options: { readonly limit?: number; readonly signal?: AbortSignal } = {}): AsyncIterableIterator<JobInfo<T>> {
    return listJobs<T>(this.#local, "dead", options);
  }

  counts(options: { readonly upTo?: number }): Promise<Counts> {
    refuseUnknown(options, ["upTo"]);
    return countJobs(this.#local, whole(options.upTo ?? 10_000, "upTo", 1, Number.MAX_SAFE_INTEGER));
  }

  async cancel(id: string): Promise<boolean> {
    for (;;) {
      const found = await locate(this.#local, id);
      if (!found || found.in === "finished" || found.in === "dead") return false;
      if (found.in === "claim") {
        await this.#write((tx) => {
          tx.set(keys.cancelled(id), true, { ttl: cancelledTtl });
          tx.append(cancelsTopic, [id]);
        });
        await this.#trimCancels();
        return true;
      }
      if (await this.#takeOut(id, found)) return true;
    }
  }

  async promote(id: string): Promise<boolean> {
    for (;;) {
      const found = await locate(this.#local, id);
      if (found?.in !== "delayed") return false;
      const now = await this.#local.leases.now();
      await using open = this.#engine.begin();
      const { tx } = open;
      const delayed = await tx.get<Delayed>(found.entry);
      if (delayed === undefined) continue;
      tx.delete(found.entry);
      const job: StoredJob = { ...found.job, due: now };
      if (typeof delayed === "number") {
        tx.set(keys.job(id), job);
        placeReady(tx, id, job, now);
      } else placeNew(tx, id, job, now);
      if (!(await open.commit())) continue;
      this.#local.ring();
      return true;
    }
  }

  async pause(): Promise<void> {
    await this.#write((tx) => tx.set(keys.paused, true));
  }

  async resume(): Promise<void> {
    await this.#write((tx) => {
      tx.delete(keys.paused);
      ring(tx);
    });
    this.#local.ring();
  }

  async purge(options: { readonly dead?: boolean; readonly signal?: AbortSignal }): Promise<number> {
    refuseUnknown(options, ["dead", "signal"]);
    if (options.dead) return await this.#purgeDead(options.signal);
    let jobs = await this.#purgeLane();
    for (const shelf of ["ready", "delayed", "chain"] as const) jobs += await this.#purgeShelf(shelf, options.signal);
    this.#local.ring();
    return jobs;
  }

  async redrive(
    options: {
      readonly ids?: readonly string[];
      readonly limit?: number;
      readonly per?: string | number;
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<number> {
    refuseUnknown(options, ["ids", "limit", "per", "signal"]);
    const { ids, signal } = options;
    const limit = options.limit === undefined ? Number.POSITIVE_INFINITY : whole(options.limit, "limit", 1, 1e9);
    const per = options.per === undefined ? undefined : toMilliseconds(options.per as number, "per", { min: 1 });
    let total = 0;
    let window = 0;
    for await (const page of this.#deadPages(ids, signal)) {
      for (let i = 0; i < page.length; ) {
        const most = Math.min(this.#most(), limit - window);
        const some = fitting(page.slice(i, i + most), this.#engine.limits, most, ({ job }) => bytesOfJob(job));
        total += await this.#redrive(some);
        i += some.length;
        window += some.length;
        if (window < limit) continue;
        if (per === undefined) return total;
        await sleep(this.#engine.runtime, per, signal ? { signal } : {});
        window = 0;
      }
    }
    return total;
  }

  async delete(id: string): Promise<boolean> {
    const entry = await this.#engine.kv.get(keys.dead(id));
    if (entry === undefined) return false;
    const outcome = await this.#engine.kv.tryCommit({
      checks: [{ key: entry.key, version: entry.version }],
      mutations: [{ delete: entry.key }, { delete: keys.job(id) }],
    });
    return outcome.ok;
  }

  /** Unlike a plain commit, one whose answer is lost is settled, and does not come after what its caller does next. */
  async #write(write: (tx: Transaction) => void): Promise<void> {
    await using open = this.#engine.begin();
    write(open.tx);
    await open.commit();
  }

  #most(): number {
    return Math.max(1, Math.floor((this.#engine.limits.operations - 5) / operationsEach));
  }

  /** False: it has moved meanwhile. */
  async #takeOut(
    id: string,
    found: Extract<Location, { in: "lane" | "ready" | "delayed" | "chain" | "children" }>,
  ): Promise<boolean> {
    const now = await this.#local.leases.now();
    await using open = this.#engine.begin();
    const { tx } = open;
    if (found.in === "lane") {
      const head = (await tx.get<Head>(keys.head)) ?? { at: 0, skips: 0 };
      if (head.at > found.offset || (await tx.get(keys.skip(found.offset))) !== undefined) return false;
      tx.set(keys.skip(found.offset), true);
      tx.set(keys.head, { at: head.at, skips: head.skips + 1 } satisfies Head);
    } else {
      const job = await tx.get<StoredJob>(keys.job(id));
      if (job === undefined) return false;
      // Its children may have ended meanwhile: then it waits elsewhere.
      if (found.in === "children") {
        if (job.due !== undefined) return false;
      } else {
        if ((await tx.get(found.entry)) === undefined) return false;
        tx.delete(found.entry);
      }
    }
    const slot = { id, job: found.job, stored: found.in !== "lane", progressed: false };
    writeEnd(tx, this.#desk, slot, cancelled, now);
    this.#countOut(tx, 1);
    return await open.commit();
  }

  #countOut(tx: Transaction, jobs: number): void {
    if (this.#desk.settings.maxWaiting !== undefined && jobs > 0) tx.add(keys.waiting, -jobs, { floor: jobs });
  }

  async #purgeLane(): Promise<number> {
    for (;;) {
      const { next } = await this.#local.lane.engine.log.bounds(this.#local.lane.topic);
      await using open = this.#engine.begin();
      const { tx } = open;
      const head = (await tx.get<Head>(keys.head)) ?? { at: 0, skips: 0 };
      if (head.at >= next) return 0;
      // Marks of cancelled records are left to be found by nobody: there may be more than a commit holds.
      tx.set(keys.head, { at: next, skips: 0 } satisfies Head);
      const jobs = next - head.at - head.skips;
      this.#countOut(tx, jobs);
      if (!(await open.commit())) continue;
      if (head.skips > 0) await this.#forgetSkips(next);
      return jobs;
    }
  }

  async #forgetSkips(before: number): Promise<void> {
    for await (const { key } of this.#engine.kv.list({ start: ["skip"], end: keys.skip(before) }))
      await this.#engine.kv.delete(key);
  }

  async #purgeShelf(shelf: "ready" | "delayed" | "chain", signal: AbortSignal | undefined): Promise<number> {
    let total = 0;
    for (;;) {
      signal?.throwIfAborted();
      const entries = await Array.fromAsync(this.#engine.kv.list({ prefix: [shelf] }, { limit: this.#most() }));
      if (entries.length === 0) return total;
      const ids = entries.map(({ key }) => key.at(-1) as string);
      const jobs = await this.#engine.kv.getMany<StoredJob>(ids.map(keys.job));
      const now = await this.#local.leases.now();
      await using open = this.#engine.begin();
      for (const [i, { key, version }] of entries.entries()) {
        const job = jobs[i]?.value;
        open.tx.check({ key, version });
        open.tx.delete(key);
        if (job)
          writeEnd(open.tx, this.#desk, { id: ids[i] as string, job, stored: true, progressed: false }, cancelled, now);
      }
      this.#countOut(open.tx, entries.length);
      if (await open.commit()) total += entries.length;
    }
  }

  async #purgeDead(signal: AbortSignal | undefined): Promise<number> {
    let total = 0;
    for await (const page of this.#deadPages(undefined, signal)) {
      const most = Math.floor(this.#engine.limits.operations / 2);
      for (let i = 0; i < page.length; i += most) {
        const some = page.slice(i, i + most);
        const mutations = some.flatMap(({ id }) => [{ delete: keys.dead(id) }, { delete: keys.job(id) }]);
        await this.#engine.kv.commit({ mutations });
        total += some.length;
      }
    }
    return total;
  }

  async *#deadPages(
    ids: readonly string[] | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<readonly DeadLetter[]> {
    if (ids === undefined) {
      yield* listDead(this.#engine, signal);
      return;
    }
    const most = pageOf(this.#engine);
    for (let i = 0; i < ids.length; i += most) {
      const entries = await this.#engine.kv.getMany<Death>(ids.slice(i, i + most).map(keys.dead));
      yield await readDead(
        this.#engine,
        entries.filter((entry) => entry !== undefined),
      );
    }
  }

  /** Those that are still there. */
  async #redrive(entries: readonly DeadLetter[]): Promise<number> {
    const now = await this.#local.leases.now();
    await using open = this.#engine.begin();
    const { tx } = open;
    for (const { id, version, job } of entries) {
      const { deaths: _, dedupe: __, expires: ___, children: ____, ...anew } = job;
      tx.check({ key: keys.dead(id), version });
      tx.delete(keys.dead(id));
      placeNew(tx, id, { ...anew, failures: 0 }, now);
    }
    if (await open.commit()) {
      this.#local.ring();
      return entries.length;
    }
    if (entries.length === 1) return 0;
    // Somebody else has taken one of them: one by one, then.
    let redriven = 0;
    for (const entry of entries) redriven += await this.#redrive([entry]);
    return redriven;
  }

  /** Nobody needs to hear of old cancellations. */
  async #trimCancels(): Promise<void> {
    const { first, next } = await this.#engine.log.bounds(cancelsTopic);
    if (next - first > 2000) await this.#engine.log.trim(cancelsTopic, next - 1000);
  }
}
