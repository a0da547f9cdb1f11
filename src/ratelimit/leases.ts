import diagnostics from "node:diagnostics_channel";
import { raceAbort } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import { takeTogether } from "./demand.ts";
import type { Policy } from "./policy.ts";
import type { TokenBucket } from "./token-bucket.ts";
import type { Verdict } from "./verdict.ts";

export interface LeaseBounds {
  /** How long a chunk may be spent, milliseconds. */
  readonly lifeMs: number;
  readonly maxChunk: number;
  readonly maxKeys: number;
}

/** Units taken from the engine's bucket, to be spent by this process. */
interface Lease {
  tokens: number;
  /** When the lease was asked for: it was granted at that time or later. */
  readonly askedAt: number;
  readonly until: number;
}

interface KeyState {
  /** Oldest first. */
  leases: Lease[];
  /** How many units to ask for next. */
  chunk: number;
  /** The lease that is being asked for; resolves with whether it was granted. */
  pending: Promise<boolean> | undefined;
  /** Costs of the takes that wait for it. */
  waiting: number;
  lastLeaseAt: number;
  /** What the bucket held besides, at the last answer, and in how long it would be full. */
  remaining: number;
  resetAfterMs: number;
  /** The engine's last refusal: nothing is to be had before `until`. */
  refused:
    | { readonly until: number; readonly since: number; readonly cost: number; readonly verdict: Verdict }
    | undefined;
}

/** A process's clock may run so much slower than the engine's: chunks are dropped that much earlier. */
const drift = 0.02;

const channel = diagnostics.channel("ashlar:ratelimit:lease");

/**
 * Chunks of a token bucket, taken in one commit each and spent without asking.
 *
 * Never over the limit: what is spent at some time was taken from the bucket at most `lifeMs` before. The bucket is kept shallower by what it gains in that time: so
 * what is taken from it in a window and the `lifeMs` before it is at most what the limit allows in the window alone.
 */
export class Leases {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #policy: Policy;
  readonly #bucket: TokenBucket;
  readonly #bounds: LeaseBounds;
  readonly #keys = new Map<string, KeyState>();

  constructor(engine: Engine, name: string, policy: Policy, bucket: TokenBucket, bounds: LeaseBounds) {
    this.#engine = engine;
    this.#name = name;
    this.#policy = policy;
    this.#bucket = bucket;
    this.#bounds = bounds;
  }

  async take(key: string, cost: number, signal: AbortSignal | undefined): Promise<Verdict> {
    const state = this.#keys.get(key) ?? this.#add(key);
    if (state === undefined) return this.#direct(key, cost, signal);
    for (let granted = true; ; ) {
      const now = this.#engine.runtime.clock.monotonic();
      if (this.#spend(state, cost, now)) {
        this.#prefetch(key, state, now);
        return this.#say(state, undefined);
      }
      const { refused } = state;
      if (refused !== undefined && cost >= refused.cost && (now < refused.until || !granted))
        return this.#refuse(state, cost, now);
      state.waiting += cost;
      try {
        state.pending ??= this.#lease(key, state, cost);
        granted = await raceAbort(state.pending, signal);
      } finally {
        state.waiting -= cost;
      }
    }
  }

  /** Units that this process may spend on the key. */
  held(key: string): number {
    const state = this.#keys.get(key);
    return state === undefined ? 0 : this.#held(state, this.#engine.runtime.clock.monotonic());
  }

  /** Drops what is held of the key. */
  forget(key: string): void {
    const state = this.#keys.get(key);
    if (state === undefined) return;
    state.leases = [];
    state.refused = undefined;
  }

  /** What a refund or the end of a block may have made possible is asked for again. */
  hope(key: string): void {
    const state = this.#keys.get(key);
    if (state !== undefined) state.refused = undefined;
  }

  /**
   * Gives back what was not spent. Less than that where time has passed: the bucket may have been full in between, and then what was taken from it
   * would have been lost anyway.
   */
  async close(): Promise<void> {
    const keys = [...this.#keys];
    this.#keys.clear();
    await Promise.allSettled(keys.map(([, { pending }]) => pending));
    const now = this.#engine.runtime.clock.monotonic();
    for (const [key, state] of keys) {
      for (const { tokens, askedAt } of state.leases) {
        const gained = ((now - askedAt) * 1000 * (1 + drift)) / this.#policy.intervalUs;
        const unspent = Math.floor(tokens - gained);
        if (unspent > 0) await this.#bucket.refund(key, unspent, undefined).catch(ignore);
      }
    }
  }

  #add(key: string): KeyState | undefined {
    if (this.#keys.size >= this.#bounds.maxKeys) this.#sweep();
    if (this.#keys.size >= this.#bounds.maxKeys) return undefined;
    const state: KeyState = {
      leases: [],
      chunk: 1,
      pending: undefined,
      waiting: 0,
      lastLeaseAt: Number.NEGATIVE_INFINITY,
      remaining: 0,
      resetAfterMs: 0,
      refused: undefined,
    };
    this.#keys.set(key, state);
    return state;
  }

  #sweep(): void {
    const now = this.#engine.runtime.clock.monotonic();
    for (const [key, state] of this.#keys) {
      if (state.pending === undefined && this.#held(state, now) === 0) this.#keys.delete(key);
    }
  }

  /** Without a place for another key each take is a commit of its own. */
  async #direct(key: string, cost: number, signal: AbortSignal | undefined): Promise<Verdict> {
    const outcome = await takeTogether(this.#engine, [{ algorithm: this.#bucket, key, cost }], signal);
    return outcome.allowed ? (outcome.verdicts[0] as Verdict) : outcome.verdict;
  }

  #held(state: KeyState, now: number): number {
    let held = 0;
    let expired = 0;
    for (const lease of state.leases) {
      if (lease.until <= now) {
        expired++;
        // Demand is lower than it was thought to be.
        if (lease.tokens * 2 > state.chunk) state.chunk = Math.max(1, Math.floor(state.chunk / 2));
      } else held += lease.tokens;
    }
    if (expired > 0) state.leases.splice(0, expired);
    return held;
  }

  #spend(state: KeyState, cost: number, now: number): boolean {
    if (this.#held(state, now) < cost) return false;
    for (let left = cost; left > 0; ) {
      const lease = state.leases[0] as Lease;
      const spent = Math.min(left, lease.tokens);
      lease.tokens -= spent;
      left -= spent;
      if (lease.tokens === 0) state.leases.shift();
    }
    return true;
  }

  /** Asks for the next chunk before this one is used up. */
  #prefetch(key: string, state: KeyState, now: number): void {
    if (state.pending !== undefined || state.chunk === 1 || this.#held(state, now) * 2 > state.chunk) return;
    if (state.refused !== undefined && now < state.refused.until) return;
    state.pending = this.#lease(key, state, 1);
    // A failure is met by the first take that needs the engine.
    state.pending.catch(ignore);
  }

  /** Takes a chunk, or what there is of one, but at least `needed`. */
  async #lease(key: string, state: KeyState, needed: number): Promise<boolean> {
    // Everything that takes time happens after this function has returned, so `pending` is set by then.
    try {
      const { lifeMs, maxChunk } = this.#bounds;
      const askedAt = this.#engine.runtime.clock.monotonic();
      const quick = askedAt - state.lastLeaseAt < lifeMs / 2;
      if (quick) state.chunk = Math.min(maxChunk, state.chunk * 2);
      state.lastLeaseAt = askedAt;
      const held = this.#held(state, askedAt);
      const least = Math.max(1, needed - held);
      let wanted = Math.max(least, Math.min(maxChunk, Math.max(state.chunk, state.waiting)));
      for (let attempt = 1; ; attempt++) {
        const asked = this.#engine.runtime.clock.monotonic();
        const verdict = await this.#direct(key, wanted, undefined);
        if (channel.hasSubscribers)
          channel.publish({ limiter: this.#name, key, tokens: wanted, granted: verdict.allowed });
        state.remaining = verdict.remaining;
        state.resetAfterMs = verdict.resetAfterMs;
        if (verdict.allowed) {
          state.leases.push({ tokens: wanted, askedAt: asked, until: asked + lifeMs * (1 - drift) });
          state.refused = undefined;
          return true;
        }
        if (verdict.remaining >= least && attempt < 3) {
          wanted = verdict.remaining;
          continue;
        }
        this.#noteRefusal(state, { wanted, needed: least + held, least, verdict, asked });
        return false;
      }
    } finally {
      state.pending = undefined;
    }
  }

  #noteRefusal(
    state: KeyState,
    refusal: { wanted: number; least: number; needed: number; verdict: Verdict; asked: number },
  ): void {
    const { wanted, least, needed, verdict, asked } = refusal;
    const earlier = ((wanted - least) * this.#policy.intervalUs) / 1000;
    const retryAfterMs = Math.max(1e-3, (verdict.retryAfterMs ?? 0) - earlier);
    const until = asked + retryAfterMs;
    state.refused = { until, since: asked, cost: needed, verdict: { ...verdict, retryAfterMs } };
  }

  #refuse(state: KeyState, cost: number, now: number): Verdict {
    const { refused } = state;
    const more = ((cost - (refused?.cost ?? cost)) * this.#policy.intervalUs) / 1000;
    return this.#say(state, Math.max(0, (refused?.until ?? now) - now) + more);
  }

  #say(state: KeyState, retryAfterMs: number | undefined): Verdict {
    let held = 0;
    for (const { tokens } of state.leases) held += tokens;
    return {
      allowed: retryAfterMs === undefined,
      limit: this.#policy.capacity,
      remaining: held + state.remaining,
      resetAfterMs: Math.max(state.resetAfterMs, retryAfterMs ?? 0),
      retryAfterMs,
    };
  }
}

function ignore(): void {}
