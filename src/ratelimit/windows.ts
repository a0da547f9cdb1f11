import type { Key } from "../core/index.ts";
import type { Check, Engine, Mutation, Sum, Version } from "../engine/index.ts";
import type { Algorithm, Attempt, PartRefusal } from "./demand.ts";
import type { EngineClock } from "./engine-clock.ts";
import type { Policy } from "./policy.ts";
import type { Verdict } from "./verdict.ts";
import { ceilingOf, remainingOf, resetAfter, retryAfter, type WindowState } from "./window-arithmetic.ts";

/** The window before, as it was read; it no longer changes, which the commit checks. */
interface Previous {
  readonly window: number;
  readonly count: number;
  readonly version: Version | undefined;
}

/** Keys whose window before is remembered; the oldest are forgotten and read again. */
const mostRemembered = 10_000;

/**
 * Fixed windows and sliding window counters, aligned to the engine's clock. The process works with an estimate of that clock, and two guards in the commit hold the
 * estimate to the truth: the sum at "since" is refused if the estimate is ahead of the clock, the sum at "seen" if the clock has left the window. So the
 * window is the right one, and a ceiling computed for the estimate is at most what it would be at the commit: never more is admitted than the algorithm
 * allows. "since" also holds the end of a block.
 */
export class Windows implements Algorithm {
  readonly #engine: Engine;
  readonly #policy: Policy;
  readonly #prefix: Key;
  readonly #clock: EngineClock;
  readonly #lengthUs: number;
  readonly #previous = new Map<string, Previous>();

  constructor(engine: Engine, prefix: Key, policy: Policy, clock: EngineClock) {
    this.#engine = engine;
    this.#prefix = prefix;
    this.#policy = policy;
    this.#clock = clock;
    this.#lengthUs = Math.round(policy.perMs * 1000);
  }

  async attempt(key: string, cost: number, signal: AbortSignal | undefined): Promise<Attempt> {
    const now = await this.#clock.estimate(signal);
    const window = Math.floor(now / this.#lengthUs);
    const previous = await this.#readPrevious(key, window, signal);
    const checks: Check[] =
      previous === undefined ? [] : [{ key: this.#count(key, window - 1), version: previous.version }];
    const ceiling = ceilingOf(this.#policy, this.#state(previous?.count ?? 0, 0, now));
    const mutations = this.#mutations(key, cost, now, ceiling);
    return {
      checks,
      mutations,
      granted: (sums) => {
        const [since, , count] = sums as [Sum, Sum, Sum];
        const at = since.ceiling ?? now;
        this.#clock.observe(at);
        return this.#say(this.#state(previous?.count ?? 0, count.value, at), undefined);
      },
      refused: (refusal) => {
        if (refusal.reason === "check") {
          this.#previous.delete(key);
          return "again";
        }
        return this.#refusal(refusal, previous?.count ?? 0, cost, now);
      },
    };
  }

  async peek(key: string, cost: number, signal: AbortSignal | undefined): Promise<Verdict> {
    const now = await this.#clock.read(signal);
    const window = Math.floor(now / this.#lengthUs);
    const keys = [this.#count(key, window - 1), this.#count(key, window), this.#key("since", key)];
    const entries = await this.#engine.kv.getMany<number>(keys, signal ? { signal } : {});
    const [previous = 0, current = 0, since = 0] = entries.map((entry) => entry?.value);
    const state = this.#state(previous, current, now);
    if (since > now) return this.#blocked(state, since - now);
    const wait = retryAfter(this.#policy, state, cost);
    return this.#say(state, wait === 0 ? undefined : wait);
  }

  async refund(key: string, cost: number, signal: AbortSignal | undefined): Promise<void> {
    await this.#change(key, -cost, signal);
  }

  async penalty(key: string, cost: number, signal: AbortSignal | undefined): Promise<void> {
    await this.#change(key, cost, signal);
  }

  async block(key: string, durationMs: number, signal: AbortSignal | undefined): Promise<void> {
    const bound = { clock: "us", plus: Math.ceil(durationMs * 1000) } as const;
    const ttl = Math.max(durationMs, 1) + this.#ttl;
    // Refused if a block that lasts longer is there.
    const add: Mutation = { add: this.#key("since", key), delta: 0, floor: bound, ceiling: bound, ttl };
    await this.#engine.kv.tryCommit({ mutations: [add] }, signal ? { signal } : {});
  }

  async reset(key: string, signal: AbortSignal | undefined): Promise<void> {
    const options = signal ? { signal } : {};
    const mutations: Mutation[] = [{ delete: this.#key("since", key) }, { delete: this.#key("seen", key) }];
    const counts = this.#engine.kv.list({ prefix: this.#key("window", key) }, { ...options, limit: 10 });
    for await (const entry of counts) mutations.push({ delete: entry.key });
    await this.#engine.kv.commit({ mutations }, options);
    this.#previous.delete(key);
  }

  /** Counts of two windows are needed at most, and clocks are asked in whole milliseconds. */
  get #ttl(): number {
    return 2 * this.#policy.perMs + 1000;
  }

  #mutations(key: string, cost: number, now: number, ceiling: number | undefined): Mutation[] {
    const ttl = this.#ttl;
    const window = Math.floor(now / this.#lengthUs);
    const end = (window + 1) * this.#lengthUs;
    return [
      { add: this.#key("since", key), delta: 0, floor: now, ceiling: { clock: "us" }, ttl },
      { add: this.#key("seen", key), delta: 0, floor: { clock: "us" }, ceiling: end - 1, ttl },
      {
        add: this.#count(key, window),
        delta: cost,
        // A count does not fall below 0.
        floor: Math.max(0, -cost),
        ...(ceiling !== undefined && { ceiling }),
        ttl,
      },
    ];
  }

  /** Adds to the count of the present window without a ceiling. A block refuses it: what would be counted is refused anyway. */
  async #change(key: string, delta: number, signal: AbortSignal | undefined): Promise<void> {
    for (let attempt = 1; attempt <= 5; attempt++) {
      const now = await this.#clock.estimate(signal);
      const mutations = this.#mutations(key, delta, now, undefined);
      const outcome = await this.#engine.kv.tryCommit({ mutations }, signal ? { signal } : {});
      if (outcome.ok || outcome.refusal.reason === "check") return;
      if (!this.#misjudged(outcome.refusal, now)) return;
    }
  }

  /** Whether a guard says that the estimate was wrong; if so, the clock is known now. */
  #misjudged({ mutation, value, ceiling }: Extract<PartRefusal, { reason: "ceiling" }>, now: number): boolean {
    if (mutation === 0 && value === now) this.#clock.observe(ceiling);
    else if (mutation === 1) this.#clock.observe(value);
    else return false;
    return true;
  }

  #refusal(
    refusal: Extract<PartRefusal, { reason: "ceiling" }>,
    previous: number,
    cost: number,
    now: number,
  ): Verdict | "again" {
    if (this.#misjudged(refusal, now)) return "again";
    const { mutation, value, ceiling } = refusal;
    if (mutation === 0) {
      this.#clock.observe(ceiling);
      return this.#blocked(this.#state(previous, 0, ceiling), value - ceiling);
    }
    const state = this.#state(previous, value - cost, now);
    // The ceiling was computed for an instant before the commit; the wait counts from there, and is never 0.
    return this.#say(state, Math.max(1, retryAfter(this.#policy, state, cost)));
  }

  async #readPrevious(key: string, window: number, signal: AbortSignal | undefined): Promise<Previous | undefined> {
    if (this.#policy.algorithm === "fixed-window") return undefined;
    const known = this.#previous.get(key);
    if (known?.window === window - 1) return known;
    const entry = await this.#engine.kv.get<number>(this.#count(key, window - 1), signal ? { signal } : {});
    const previous: Previous = { window: window - 1, count: entry?.value ?? 0, version: entry?.version };
    this.#previous.delete(key);
    this.#previous.set(key, previous);
    if (this.#previous.size > mostRemembered) this.#previous.delete(this.#previous.keys().next().value as string);
    return previous;
  }

  #key(kind: string, key: string): Key {
    return [...this.#prefix, kind, key];
  }

  #count(key: string, window: number): Key {
    return [...this.#prefix, "window", key, window];
  }

  #state(previous: number, current: number, now: number): WindowState {
    const length = this.#lengthUs;
    return { previous, current, elapsed: now - Math.floor(now / length) * length, length };
  }

  #blocked(state: WindowState, leftUs: number): Verdict {
    const resetAfterMs = Math.max(leftUs, resetAfter(this.#policy, state)) / 1000;
    return {
      allowed: false,
      limit: this.#policy.limit,
      remaining: 0,
      resetAfterMs,
      retryAfterMs: leftUs / 1000,
    };
  }

  #say(state: WindowState, retryAfterUs: number | undefined): Verdict {
    return {
      allowed: retryAfterUs === undefined,
      limit: this.#policy.limit,
      remaining: remainingOf(this.#policy, state),
      resetAfterMs: resetAfter(this.#policy, state) / 1000,
      retryAfterMs: retryAfterUs === undefined ? undefined : retryAfterUs / 1000,
    };
  }
}
