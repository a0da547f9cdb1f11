import type { Lease } from "../../coordination/lease/index.ts";
import { ConflictError, isAshlarError } from "../../core/index.ts";
import type { Engine, Entry, LogRecord, OpenTransaction, Version } from "../../engine/index.ts";
import { Claim, type Slot } from "./claim.ts";
import { claimStands } from "./doubt.ts";
import type { LaneJob } from "./lane.ts";
import { type ClaimValue, type Delayed, type Head, keys, type StoredJob, slotsPerClaim } from "./layout.ts";
import type { LocalQueue } from "./local.ts";
import { awaken, type Desk, placeNew } from "./outcome.ts";
import { settleStirs } from "./stirs.ts";

/** What a look came to. */
export interface Taken {
  readonly slots: readonly Slot[];
  /** When there was nothing: what to wait for besides a ring. */
  readonly wait: Wait | undefined;
}

export interface Wait {
  /** A record of the lane at this offset; `undefined`: the queue is paused, or held up by a limit. */
  readonly lane: number | undefined;
  /** Milliseconds after which something is due. */
  readonly ms: number | undefined;
  /** Whether it is the number of jobs in flight that holds it up. */
  readonly running: boolean;
  /** Whether nothing at all was there that could be taken: a producer may hand over jobs directly. */
  readonly empty: boolean;
}

type KnownHead = Head & { readonly version: Version | undefined };

const mostPromoted = 100;
/** Records read ahead of what is taken. */
const laneReadAhead = 1000;

/** Takes jobs for one worker: looks for what comes first, and claims it under the process's lease. */
export class Taker {
  readonly #engine: Engine;
  readonly #local: LocalQueue;
  readonly #desk: Desk;
  /** As of this taker's latest look or claim. */
  #head: KnownHead | undefined;
  #records: readonly LogRecord[] = [];
  /** The count of rings at which the shelf was found empty, and when the next delayed job is due. */
  #quiet: { readonly rings: number; readonly due: number | undefined } | undefined;

  constructor(local: LocalQueue, desk: Desk) {
    this.#engine = local.engine;
    this.#local = local;
    this.#desk = desk;
  }

  /**
   * Claims up to `most` jobs. Conflicts with others are met by looking again.
   * @param free how many of them would begin at once: jobs that a process died of are not taken to lie in wait beside others
   */
  async take(most: number, free: number, lease: Lease): Promise<Taken> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.#look(most, free, lease);
      } catch (error) {
        if (!(error instanceof Again)) throw error;
        this.#head = undefined;
        this.#quiet = undefined;
        if (await this.#isPaused()) return { slots: [], wait: { ...nothing } };
        if (tries >= 20) return { slots: [], wait: { ...nothing, ms: 10 } };
      }
    }
  }

  /** Records of the lane that have come meanwhile. */
  offer(records: readonly LogRecord[]): void {
    if (this.#records.length === 0) this.#records = records;
  }

  async #isPaused(): Promise<boolean> {
    return (await this.#engine.kv.get(keys.paused)) !== undefined;
  }

  async #look(most: number, free: number, lease: Lease): Promise<Taken> {
    const rings = this.#local.rings;
    const now = await this.#local.leases.now();
    const room = await this.#room(most, now);
    if (room.jobs === 0) return { slots: [], wait: { ...nothing, ms: room.ms, running: room.running } };
    let ready: Entry<true>[] = [];
    let due = this.#quiet?.rings === rings ? this.#quiet.due : undefined;
    if (this.#quiet?.rings !== rings || (due !== undefined && due <= now)) {
      due = await this.#awaken(now);
      // Somebody may have set the position.
      this.#head = undefined;
      const limit = Math.min(room.jobs, this.#shelfMost(), this.#engine.limits.listEntries);
      ready = await Array.fromAsync(this.#engine.kv.list<true>({ prefix: ["ready"] }, { limit }));
      if (ready.length === 0) this.#quiet = { rings, due };
    }
    const lane = await this.#lane(room.jobs);
    const fromShelf = this.#before(ready, lane[0]);
    if (fromShelf.length > 0) return { slots: await this.#takeShelf(fromShelf, free, lease), wait: undefined };
    if (lane.length > 0) return { slots: await this.#takeLane(lane.slice(0, room.jobs), lease), wait: undefined };
    const paused = await this.#isPaused();
    const ms = due === undefined ? undefined : Math.max(1, due - now);
    return {
      slots: [],
      wait: { lane: paused ? undefined : (this.#head?.at ?? 0), ms, running: false, empty: !paused },
    };
  }

  /** Makes ready what is due, and what was waiting for its turn or for children. Returns when the next is due. */
  async #awaken(now: number): Promise<number | undefined> {
    // Four operations each.
    const limit = Math.min(mostPromoted, Math.floor((this.#engine.limits.operations - 2) / 4));
    for (;;) {
      while (await settleStirs(this.#engine, this.#desk, now));
      const delayed = await Array.fromAsync(this.#engine.kv.list<Delayed>({ prefix: ["delayed"] }, { limit }));
      const awake = delayed.filter(({ key }) => (key[1] as number) <= now);
      if (awake.length === 0) return delayed[0]?.key[1] as number | undefined;
      await this.#promote(awake);
    }
  }

  async #promote(delayed: readonly Entry<Delayed>[]): Promise<void> {
    await using open = this.#engine.begin();
    const { tx } = open;
    for (const { key, value, version } of delayed) {
      const [, due, id] = key as ["delayed", number, string];
      tx.check({ key, version }, { otherwise: again });
      tx.delete(key);
      awaken(tx, id, value, due);
    }
    await open.commit();
    this.#local.ring();
  }

  /** The records at the head of the lane, as far as they are at hand; at least one if there is one. */
  async #lane(most: number): Promise<readonly LogRecord[]> {
    if (this.#head === undefined) {
      const entry = await this.#engine.kv.get<Head>(keys.head);
      this.#head = { ...(entry?.value ?? { at: 0, skips: 0 }), version: entry?.version };
    }
    const { at } = this.#head;
    if (this.#records[0]?.offset !== at) {
      const known = this.#records.findIndex(({ offset }) => offset === at);
      this.#records = known < 0 ? [] : this.#records.slice(known);
    }
    if (this.#records.length === 0) {
      const limit = Math.max(most, laneReadAhead);
      this.#records = await this.#local.lane.engine.log.read(this.#local.lane.topic, { from: at, limit });
    }
    return this.#records;
  }

  /** Of what is ready, what comes before the head of the lane: higher priorities, and at the lane's own priority the older. */
  #before(ready: readonly Entry<true>[], lane: LogRecord | undefined): readonly Entry<true>[] {
    if (lane === undefined) return ready;
    return ready.filter(({ key }) => {
      const [, negative, since] = key as ["ready", number, number, string];
      return negative < 0 || (negative === 0 && since <= lane.time);
    });
  }

  async #takeLane(records: readonly LogRecord[], lease: Lease): Promise<Slot[]> {
    const { lane } = this.#local;
    const head = this.#head as KnownHead;
    const chosen = records.slice(0, this.#laneMost());
    const to = (chosen.at(-1) as LogRecord).offset + 1;
    const skipped = head.skips === 0 ? [] : await this.#skipped(head.at, to);
    const wanted = chosen.filter((record) => !skipped.includes(record.offset) && lane.wants(record));
    const jobs = wanted.map((record) => ({ offset: record.offset, ...lane.jobOf(record) }));
    const free = jobs.filter(({ job }) => job.key === undefined);
    const { claims, slots } = this.#claimsOf(free, lease);
    await using open = this.#engine.begin();
    const { tx } = open;
    tx.check({ key: keys.head, version: head.version }, { otherwise: again });
    this.#guard(open, lease, free.length);
    const next: Head = { at: to, skips: head.skips - skipped.length };
    tx.set(keys.head, next);
    for (const offset of skipped) tx.delete(keys.skip(offset));
    const now = await this.#local.leases.now();
    for (const { id, job } of jobs) if (job.key !== undefined) placeNew(tx, id, job, now);
    await this.#claim(open, claims);
    this.#records = this.#records.slice(chosen.length);
    this.#head = open.version === undefined ? undefined : { ...next, version: open.version };
    if (free.length < jobs.length) this.#local.ring();
    return slots;
  }

  /** Claims of so many jobs as one holds, each with the offsets that it stands for. */
  #claimsOf(
    jobs: readonly (LaneJob & { readonly offset: number })[],
    lease: Lease,
  ): { readonly claims: { claim: Claim; value: ClaimValue }[]; readonly slots: Slot[] } {
    const claims: { claim: Claim; value: ClaimValue }[] = [];
    const slots: Slot[] = [];
    for (let i = 0; i < jobs.length; i += slotsPerClaim) {
      const part = jobs.slice(i, i + slotsPerClaim);
      const claim = new Claim(lease.id, this.#local.nextClaim(), part.length);
      const offsets = part.map(({ offset }) => offset);
      const from = offsets[0] as number;
      const to = (offsets.at(-1) as number) + 1;
      claims.push({ claim, value: { lane: { from, to, ...(to - from > part.length && { only: offsets }) } } });
      for (const [index, job] of part.entries()) slots.push(slotOf(claim, index, job));
    }
    return { claims, slots };
  }

  async #skipped(from: number, to: number): Promise<number[]> {
    const entries = this.#engine.kv.list({ start: keys.skip(from), end: keys.skip(to) });
    return (await Array.fromAsync(entries)).map(({ key }) => key[1] as number);
  }

  async #takeShelf(found: readonly Entry<true>[], free: number, lease: Lease): Promise<Slot[]> {
    const jobs = await this.#engine.kv.getMany<StoredJob>(found.map(({ key }) => keys.job(key[3] as string)));
    const suspect = jobs.some((job) => job?.value.deaths !== undefined);
    const ready = suspect ? found.slice(0, Math.max(1, free)) : found;
    const claims: { claim: Claim; value: ClaimValue }[] = [];
    const slots: Slot[] = [];
    await using open = this.#engine.begin();
    this.#guard(open, lease, ready.length);
    for (let i = 0; i < ready.length; i += slotsPerClaim) {
      const part = ready.slice(i, i + slotsPerClaim);
      const claim = new Claim(lease.id, this.#local.nextClaim(), part.length);
      claims.push({ claim, value: { shelf: part.map(({ key }) => key[3] as string) } });
      for (const [index, { key, version }] of part.entries()) {
        open.tx.check({ key, version }, { otherwise: again });
        open.tx.delete(key);
        const job = jobs[i + index];
        // Removed between the two reads: then the check of its entry fails as well.
        if (job === undefined) throw new Again();
        slots.push({ claim, index, id: key[3] as string, job: job.value, stored: true, progressed: false });
      }
    }
    await this.#claim(open, claims);
    return slots;
  }

  /** What every claim stands on: the lease, and that the queue is not paused. */
  #guard({ tx }: OpenTransaction, lease: Lease, jobs: number): void {
    lease.guard(tx);
    tx.check({ key: keys.paused, version: undefined }, { otherwise: again });
    const { concurrency, rate, maxWaiting } = this.#desk.settings;
    if (concurrency !== undefined) tx.add(keys.running, jobs, { ceiling: concurrency });
    if (rate !== undefined) {
      const plus = rate.limit * rate.intervalUs;
      const ttl = Math.ceil(plus / 1000) + 1000;
      tx.add(keys.rate, jobs * rate.intervalUs, { floor: { clock: "us" }, ceiling: { clock: "us", plus }, ttl });
    }
    if (maxWaiting !== undefined) tx.add(keys.waiting, -jobs, { floor: jobs });
  }

  async #claim(open: OpenTransaction, claims: readonly { claim: Claim; value: ClaimValue }[]): Promise<void> {
    const first = claims[0]?.claim.key;
    // A commit that comes late, after this process has made up its mind that it never would, finds the key in use.
    if (first) open.tx.check({ key: first, version: undefined }, { otherwise: again });
    for (const { claim, value } of claims) open.tx.set(claim.key, value);
    try {
      if (!(await open.commit())) throw new Again();
    } catch (error) {
      if (error instanceof ConflictError) throw new Again();
      if (!isAshlarError(error, "OUTCOME_UNKNOWN") || first === undefined) throw error;
      if (!(await claimStands(this.#engine, first))) throw new Again();
    }
  }

  /** How many jobs the limits of the queue allow to take now; if none, when to look again. */
  async #room(
    most: number,
    now: number,
  ): Promise<{ readonly jobs: number; readonly ms: number | undefined; readonly running: boolean }> {
    const { concurrency, rate } = this.#desk.settings;
    let jobs = most;
    let ms: number | undefined;
    if (concurrency !== undefined) {
      const running = (await this.#engine.kv.get<number>(keys.running))?.value ?? 0;
      jobs = Math.min(jobs, concurrency - running);
      if (jobs <= 0) return { jobs: 0, ms: undefined, running: true };
    }
    if (rate !== undefined) {
      const at = Math.max((await this.#engine.kv.get<number>(keys.rate))?.value ?? 0, now * 1000);
      const free = Math.floor((now * 1000 + rate.limit * rate.intervalUs - at) / rate.intervalUs);
      jobs = Math.min(jobs, free);
      if (jobs <= 0) {
        jobs = 0;
        ms = Math.ceil((at + rate.intervalUs - now * 1000 - rate.limit * rate.intervalUs) / 1000) + 1;
      }
    }
    return { jobs: Math.max(0, jobs), ms, running: false };
  }

  #laneMost(): number {
    const { operations } = this.#engine.limits;
    // One with an ordering key costs three operations; of the others, each claim costs one.
    return this.#local.lane.own
      ? Math.min(1000, (operations - 20) * slotsPerClaim)
      : Math.min(1000, Math.floor((operations - 20) / 3));
  }

  #shelfMost(): number {
    return Math.max(1, Math.min(500, Math.floor((this.#engine.limits.operations - 20) / 2.1)));
  }
}

/** A job that has no entry of its own. */
export function slotOf(claim: Claim, index: number, { id, job }: LaneJob): Slot {
  return { claim, index, id, job, stored: false, progressed: false };
}

/** Others changed what was looked at. */
class Again extends Error {}

function again(): Error {
  return new Again("look again");
}

const nothing: Wait = { lane: undefined, ms: undefined, running: false, empty: false };
