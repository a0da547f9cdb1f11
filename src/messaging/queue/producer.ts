import { type Leases, watchUntil } from "../../coordination/lease/index.ts";
import {
  createIds,
  decodeValue,
  Encoded,
  type Ids,
  isAshlarError,
  OverloadedError,
  type Runtime,
} from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import { Batcher } from "./batcher.ts";
import { Callers, firstHanded } from "./calls.ts";
import { Claim, type Slot } from "./claim.ts";
import { claimStands } from "./doubt.ts";
import { fromRecord } from "./lane.ts";
import {
  type ClaimValue,
  type Headers,
  keys,
  type LaneRecord,
  laneTopic,
  type StoredJob,
  slotsPerClaim,
} from "./layout.ts";
import type { LocalQueue } from "./local.ts";
import { mayBeHanded, type Order, type Settings, sizeOf } from "./options.ts";
import { placeNew } from "./outcome.ts";
import { slotOf } from "./taker.ts";
import type { QueueWorker } from "./worker.ts";

/** A job on its way into the lane. */
export interface Sized {
  readonly record: LaneRecord;
  readonly encoded: Encoded;
  readonly bytes: number;
}

/** Jobs of one commit that are handed to a worker of another process at most: more are a burst, for all workers. */
const mostCalled = 10;

/** Writes jobs into the queue. */
export class Producer {
  readonly #engine: Engine;
  readonly #local: LocalQueue<QueueWorker>;
  readonly #leases: Leases;
  readonly #settings: Settings;
  readonly #runtime: Runtime;
  readonly #ids: Ids;
  /** The engine's clock less this process's, as of the latest look. */
  #skew = 0;
  readonly #batcher: Batcher<Sized>;
  readonly #callers: Callers;

  constructor(local: LocalQueue<QueueWorker>, settings: Settings) {
    this.#engine = local.engine;
    this.#local = local;
    this.#leases = local.leases;
    this.#settings = settings;
    this.#runtime = local.engine.runtime;
    this.#batcher = new Batcher(local.engine.limits, (records) => this.#commitPending(records));
    this.#callers = new Callers(local.engine);
    // Ids tell about when a job was added, by the engine's clock.
    const now = () => this.#runtime.clock.now() + this.#skew;
    this.#ids = createIds({
      random: this.#runtime.random,
      clock: { now, monotonic: () => this.#runtime.clock.monotonic() },
    });
  }

  nextId(): string {
    return this.#ids.next();
  }

  /**
   * A job as the lane has it. Encoded once: for its size, and for the commit. Its id is as good as the latest look at the engine's clock: jobs of one key, whose order is that of their ids, want one
   * right before.
   * @throws InvalidArgumentError LimitError the data cannot be stored
   */
  prepare(data: unknown, headers: Headers | undefined, name: string): Sized {
    const id = this.nextId();
    const record: LaneRecord = headers ? [id, data, headers] : [id, data];
    let encoded: Encoded;
    try {
      encoded = new Encoded(record, name);
    } catch (error) {
      // What is wrong is named by its path in the data.
      sizeOf(data, this.#settings, name);
      throw error;
    }
    const bytes = encoded.bytes.length;
    if (bytes > this.#settings.maxBytes) sizeOf(data, this.#settings, name);
    return { record, encoded, bytes };
  }

  /** To the end of the lane, together with whatever else is added at this moment; or to a worker of this process that waits for it. */
  addPlain(sized: Sized, signal: AbortSignal | undefined): Promise<void> {
    return this.#batcher.add(sized, sized.bytes, signal);
  }

  /** To the end of the lane, in order; each commit as large as it may be. */
  async addLane(jobs: readonly Sized[], signal?: AbortSignal): Promise<void> {
    const sized = jobs.map((record) => ({ record, bytes: record.bytes }));
    await this.#batcher.addAll(sized, signal);
  }

  /** As part of a transaction: `tx` is of the queue's scope. */
  writeLane(tx: Transaction, jobs: readonly Sized[]): void {
    tx.append(
      laneTopic,
      jobs.map(({ encoded }) => encoded),
    );
    this.#countWaiting(tx, jobs.length);
  }

  /** Onto the shelf. */
  writeShelf(tx: Transaction, id: string, job: StoredJob, now: number): void {
    placeNew(tx, id, job, now);
    this.#countWaiting(tx, 1);
  }

  toJob(data: unknown, order: Order, now: number): StoredJob {
    const due = order.at ?? (order.delay ? now + order.delay : undefined);
    return {
      data,
      added: now,
      failures: 0,
      ...(order.headers && { headers: order.headers }),
      ...(order.priority !== 0 && { priority: order.priority }),
      ...(order.key !== undefined && { key: order.key }),
      ...(due !== undefined && { due: Math.ceil(due) }),
      ...(order.expires !== undefined && { expires: now + order.expires }),
      ...(order.dedupe && order.dedupe.window === undefined && { dedupe: order.dedupe.key }),
    };
  }

  /** The engine's clock; also sets what ids are made of. */
  async now(): Promise<number> {
    const now = await this.#leases.now();
    this.#skew = now - this.#runtime.clock.now();
    return now;
  }

  /**
   * Runs a commit; one that finds the queue full waits for room, or is refused.
   * @throws OverloadedError the queue is full, and the option `whenFull` is `"refuse"`
   */
  async whenRoom(commit: () => Promise<unknown>, signal?: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await commit();
        return;
      } catch (error) {
        const { maxWaiting, whenFull } = this.#settings;
        const isFull =
          maxWaiting !== undefined && isAshlarError(error, "CONFLICT") && error.details["reason"] === "ceiling";
        if (!isFull) throw error;
        if (whenFull === "refuse")
          throw new OverloadedError(`the queue is full: ${maxWaiting} jobs wait`, { details: { limit: maxWaiting } });
        await this.#untilRoom(maxWaiting, signal ?? new AbortController().signal);
      }
    }
  }

  async #untilRoom(most: number, signal: AbortSignal): Promise<void> {
    const hasRoom = (changes: readonly { readonly value?: unknown }[], first: boolean): boolean =>
      (first && changes.length === 0) || changes.some(({ value }) => value === undefined || (value as number) < most);
    await watchUntil(this.#engine, { key: keys.waiting }, hasRoom, signal);
  }

  #countWaiting(tx: Transaction, jobs: number): void {
    const { maxWaiting } = this.#settings;
    if (maxWaiting !== undefined) tx.add(keys.waiting, jobs, { ceiling: maxWaiting });
  }

  async #commitPending(sized: readonly Sized[]): Promise<void> {
    if (!mayBeHanded(this.#settings)) return await this.#commitLane(sized, undefined);
    const worker = this.#hungry();
    if (!worker && sized.length <= mostCalled && (await this.#answerCall(sized))) return;
    const direct = worker ? this.#portion(sized, Math.min(worker.appetite, slotsPerClaim)) : 0;
    if (worker?.lease && direct > 0 && (await this.#handOver(worker, sized.slice(0, direct), sized.slice(direct))))
      return;
    await this.#commitLane(sized, undefined);
  }

  /** How many from the beginning one claim holds. */
  #portion(sized: readonly Sized[], most: number): number {
    let count = 0;
    for (let bytes = 0; count < sized.length && count < most; count++) {
      bytes += sized[count]?.bytes ?? 0;
      if (bytes > this.#engine.limits.valueBytes / 2) break;
    }
    return count;
  }

  /** A worker that has found the queue empty, in this process. */
  #hungry(): QueueWorker | undefined {
    for (const worker of this.#local.idle) if (worker.appetite > 0) return worker;
    return undefined;
  }

  /** Adds and claims in one commit. False: that cannot be now, and nothing was added. */
  async #handOver(worker: QueueWorker, direct: readonly Sized[], rest: readonly Sized[]): Promise<boolean> {
    const lease = worker.lease;
    if (!lease) return false;
    // Handlers get what is stored, not what the producer may go on changing.
    const records = direct.map(({ encoded }) => decodeValue(encoded.bytes) as LaneRecord);
    worker.reserve(records.length);
    try {
      const at = await this.#leases.now();
      const claim = new Claim(lease.id, this.#local.nextClaim(), records.length);
      await using open = this.#engine.begin();
      const { tx } = open;
      let refused = false;
      const otherwise = () => {
        refused = true;
        return new Refused();
      };
      tx.check({ key: keys.paused, version: undefined }, { otherwise });
      tx.check({ key: claim.key, version: undefined }, { otherwise });
      lease.guard(tx);
      tx.set(claim.key, { inline: records, at } satisfies ClaimValue);
      if (rest.length > 0)
        tx.append(
          laneTopic,
          rest.map(({ encoded }) => encoded),
        );
      try {
        await open.commit();
      } catch (error) {
        if (refused || isAshlarError(error, "LEASE_LOST")) return false;
        if (!isAshlarError(error, "OUTCOME_UNKNOWN")) throw error;
        if (!(await claimStands(this.#engine, claim.key))) return false;
      }
      const slots: Slot[] = records.map((record, index) =>
        slotOf(claim, index, { id: record[0], job: fromRecord(record, at) }),
      );
      worker.receive(slots);
      return true;
    } finally {
      worker.release(records.length);
    }
  }

  /** Adds and claims in one commit, for a worker of another process that calls for jobs. False: none calls any more, and nothing was added. */
  async #answerCall(sized: readonly Sized[]): Promise<boolean> {
    const known = this.#callers.known;
    if (!known || sized.length > known.call.jobs || this.#portion(sized, sized.length) < sized.length) return false;
    const { lease } = known.call;
    const at = await this.#leases.now();
    const number = firstHanded + Math.floor(this.#runtime.random.next() * 2 ** 50);
    const key = keys.claim(lease, number);
    await using open = this.#engine.begin();
    const { tx } = open;
    tx.check({ key: keys.call, version: known.version });
    tx.check({ key: keys.paused, version: undefined });
    tx.check({ key, version: undefined });
    this.#local.root.join(tx).check({ key: this.#leases.keyOf(lease), present: true });
    const inline = sized.map(({ record }) => record);
    tx.set(key, { inline, at } satisfies ClaimValue);
    tx.set(keys.handed(lease), number);
    // One that stays unanswered may have been worked off already: nobody can say afterwards that it was not.
    if (await open.commit()) return true;
    this.#callers.refuse();
    return false;
  }

  async #commitLane(sized: readonly Sized[], signal: AbortSignal | undefined): Promise<void> {
    await this.whenRoom(async () => {
      await using open = this.#engine.begin();
      this.writeLane(open.tx, sized);
      await open.commit(signal ? { signal } : {});
    }, signal);
    this.#local.wake();
  }
}

class Refused extends Error {}
