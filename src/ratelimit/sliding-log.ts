import type { Key } from "../core/index.ts";
import type { Engine, Entry } from "../engine/index.ts";
import type { Algorithm, Attempt } from "./demand.ts";
import type { EngineClock } from "./engine-clock.ts";
import type { Policy } from "./policy.ts";
import { append, giveBack, prune, type TakeLog, totalOf, waitFor } from "./take-log.ts";
import type { Verdict } from "./verdict.ts";

/** The stored state of a key. Times are microseconds of the engine's clock. */
interface Stored {
  readonly log: TakeLog;
  /** Until when everything is refused; 0: not at all. */
  readonly blockedUntil: number;
}

const empty: Stored = { log: [], blockedUntil: 0 };

/**
 * The sliding log: one entry with the time of each take that still counts, replaced by compare-and-set. A read, a look at the engine's clock and a commit for
 * each attempt, and another attempt whenever somebody else took from the same key in between.
 *
 * A take is dated by the clock reading of its attempt, or by the latest take in the log if that is later; either lies between the call and its commit, so
 * that pruning by one attempt never hides from another what lies within its window.
 */
export class SlidingLog implements Algorithm {
  readonly #engine: Engine;
  readonly #policy: Policy;
  readonly #prefix: Key;
  readonly #clock: EngineClock;
  readonly #lengthUs: number;

  constructor(engine: Engine, prefix: Key, policy: Policy, clock: EngineClock) {
    this.#engine = engine;
    this.#prefix = prefix;
    this.#policy = policy;
    this.#clock = clock;
    this.#lengthUs = Math.round(policy.perMs * 1000);
  }

  async attempt(key: string, cost: number, signal: AbortSignal | undefined): Promise<Attempt | Verdict> {
    const { entry, stored, now } = await this.#read(key, signal);
    const verdict = this.#judge(stored, now, cost);
    if (!verdict.allowed) return verdict;
    const log = append(stored.log, now, cost, this.#policy.limit);
    return {
      checks: [{ key: this.#key(key), version: entry?.version }],
      mutations: [this.#write(key, { ...stored, log })],
      granted: () => this.#judge({ ...stored, log }, now, 0),
      refused: () => "again",
    };
  }

  async peek(key: string, cost: number, signal: AbortSignal | undefined): Promise<Verdict> {
    const { stored, now } = await this.#read(key, signal);
    return this.#judge(stored, now, cost);
  }

  refund(key: string, cost: number, signal: AbortSignal | undefined): Promise<void> {
    return this.#update(key, signal, (stored) => ({ ...stored, log: giveBack(stored.log, cost) }));
  }

  penalty(key: string, cost: number, signal: AbortSignal | undefined): Promise<void> {
    const { limit } = this.#policy;
    return this.#update(key, signal, (stored, now) => ({ ...stored, log: append(stored.log, now, cost, limit) }));
  }

  block(key: string, durationMs: number, signal: AbortSignal | undefined): Promise<void> {
    return this.#update(key, signal, (stored, now) => ({
      ...stored,
      blockedUntil: Math.max(stored.blockedUntil, now + Math.ceil(durationMs * 1000)),
    }));
  }

  async reset(key: string, signal: AbortSignal | undefined): Promise<void> {
    await this.#engine.kv.delete(this.#key(key), signal ? { signal } : {});
  }

  async #read(key: string, signal: AbortSignal | undefined) {
    const options = signal ? { signal } : {};
    const [read, entry] = await Promise.all([
      this.#clock.read(signal),
      this.#engine.kv.get<Stored>(this.#key(key), options) as Promise<Entry<Stored> | undefined>,
    ]);
    const { log, blockedUntil } = entry?.value ?? empty;
    const now = Math.max(read, log.at(-2) ?? 0);
    return { entry, now, stored: { log: prune(log, now, this.#lengthUs), blockedUntil } };
  }

  async #update(
    key: string,
    signal: AbortSignal | undefined,
    change: (stored: Stored, now: number) => Stored,
  ): Promise<void> {
    await this.#engine.transact(
      async (tx) => {
        const read = await this.#clock.read(tx.signal);
        const { log, blockedUntil } = (await tx.get<Stored>(this.#key(key))) ?? empty;
        const now = Math.max(read, log.at(-2) ?? 0);
        const next = change({ log: prune(log, now, this.#lengthUs), blockedUntil }, now);
        tx.set(this.#key(key), next, { ttl: this.#ttl(next, now) });
      },
      signal ? { signal } : {},
    );
  }

  #write(key: string, stored: Stored) {
    return { set: this.#key(key), value: stored, ttl: this.#policy.perMs + 1000 } as const;
  }

  #ttl({ blockedUntil }: Stored, now: number): number {
    return Math.max(this.#policy.perMs, (blockedUntil - now) / 1000) + 1000;
  }

  #key(key: string): Key {
    return [...this.#prefix, "log", key];
  }

  /** What to tell somebody who wants `cost`; with 0, somebody who has taken. */
  #judge({ log, blockedUntil }: Stored, now: number, cost: number): Verdict {
    const { limit } = this.#policy;
    const blockedFor = Math.max(0, blockedUntil - now);
    const wait = cost === 0 ? 0 : Math.max(blockedFor, waitFor(log, now, this.#lengthUs, cost, limit));
    const last = log.at(-2);
    const reset = Math.max(blockedFor, last === undefined ? 0 : last + this.#lengthUs - now);
    return {
      allowed: wait === 0,
      limit,
      remaining: blockedFor > 0 ? 0 : Math.max(0, limit - totalOf(log)),
      resetAfterMs: reset / 1000,
      retryAfterMs: wait === 0 ? undefined : wait / 1000,
    };
  }
}
