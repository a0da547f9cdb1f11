import type { Key } from "../core/index.ts";
import type { Engine, Mutation, Refused, Sum } from "../engine/index.ts";
import type { Algorithm, Attempt, PartRefusal } from "./demand.ts";
import type { Policy } from "./policy.ts";
import type { Verdict } from "./verdict.ts";

/** A debt by penalties is at most so many times what the bucket holds. */
const deepestDebt = 10;

/**
 * The generic cell rate algorithm as virtual scheduling (ITU-T I.371, annex A), one bounded `add` on the engine's clock. The entry is the theoretical arrival
 * time in microseconds: the instant at which the bucket is full again. A take moves it on by `cost` intervals, counted from now at the least, and is refused
 * if it would come to lie further ahead than the bucket is deep.
 */
export class TokenBucket implements Algorithm {
  readonly #engine: Engine;
  readonly #policy: Policy;
  readonly #prefix: Key;
  /** How far ahead of the clock the entry may lie, microseconds. */
  readonly #depthUs: number;
  readonly #capacity: number;

  /** @param depthUs how deep the bucket is in time; default: the policy's capacity */
  constructor(engine: Engine, prefix: Key, policy: Policy, depthUs = policy.capacity * policy.intervalUs) {
    this.#engine = engine;
    this.#prefix = prefix;
    this.#policy = policy;
    this.#depthUs = depthUs;
    this.#capacity = Math.floor(depthUs / policy.intervalUs);
  }

  attempt(key: string, cost: number): Attempt {
    const { intervalUs } = this.#policy;
    return {
      checks: [],
      mutations: [
        {
          add: this.#key(key),
          delta: cost * intervalUs,
          floor: { clock: "us" },
          ceiling: { clock: "us", plus: this.#depthUs },
          ttl: Math.ceil(this.#depthUs / 1000),
        },
      ],
      granted: ([sum]) => {
        const { value, ceiling = value } = sum as Sum;
        return this.#say(value, ceiling, undefined);
      },
      refused: (refusal) => this.#refusal(refusal, cost),
    };
  }

  async peek(key: string, cost: number, signal: AbortSignal | undefined): Promise<Verdict> {
    // A sum that is always refused says where the entry and the clock are, and writes nothing.
    const delta = this.#depthUs + 1;
    const probe: Mutation = {
      add: this.#key(key),
      delta,
      floor: { clock: "us" },
      ceiling: { clock: "us", plus: this.#depthUs },
    };
    const { refusal } = (await this.#engine.kv.tryCommit({ mutations: [probe] }, signal ? { signal } : {})) as Refused;
    const { value, ceiling } = refusal as Extract<PartRefusal, { reason: "ceiling" }>;
    const before = value - delta;
    const after = before + cost * this.#policy.intervalUs;
    return this.#say(before, ceiling, after > ceiling ? (after - ceiling) / 1000 : undefined);
  }

  /** Never fills the bucket beyond full, and leaves a block alone. */
  async refund(key: string, cost: number, signal: AbortSignal | undefined): Promise<void> {
    const delta = cost * this.#policy.intervalUs;
    const ttl = Math.ceil(this.#depthUs / 1000);
    await this.#try(
      {
        add: this.#key(key),
        delta: -delta,
        floor: { clock: "us", plus: delta },
        ceiling: { clock: "us", plus: this.#depthUs },
        ttl,
      },
      signal,
    );
  }

  async penalty(key: string, cost: number, signal: AbortSignal | undefined): Promise<void> {
    const furthest = deepestDebt * this.#depthUs;
    const ttl = Math.ceil(furthest / 1000);
    const bounds = { ceiling: { clock: "us", plus: furthest }, ttl } as const;
    const delta = cost * this.#policy.intervalUs;
    const taken = await this.#try({ add: this.#key(key), delta, floor: { clock: "us" }, ...bounds }, signal);
    if (taken) return;
    // As deep in debt as it gets; a block further ahead refuses this too and stays.
    await this.#try({ add: this.#key(key), delta: 0, floor: { clock: "us", plus: furthest }, ...bounds }, signal);
  }

  /** Drains the bucket so that its first unit comes when the block ends. */
  async block(key: string, durationMs: number, signal: AbortSignal | undefined): Promise<void> {
    const plus = this.#depthUs - this.#policy.intervalUs + Math.ceil(durationMs * 1000);
    const bound = { clock: "us", plus } as const;
    const ttl = Math.ceil(plus / 1000) + 1;
    // Refused if the entry is already further ahead.
    await this.#try({ add: this.#key(key), delta: 0, floor: bound, ceiling: bound, ttl }, signal);
  }

  async reset(key: string, signal: AbortSignal | undefined): Promise<void> {
    await this.#engine.kv.delete(this.#key(key), signal ? { signal } : {});
  }

  #key(key: string): Key {
    return [...this.#prefix, "bucket", key];
  }

  async #try(mutation: Mutation, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.#engine.kv.tryCommit({ mutations: [mutation] }, signal ? { signal } : {})).ok;
  }

  #refusal(refusal: PartRefusal, cost: number): Verdict | "again" {
    if (refusal.reason === "check") return "again";
    const { value, ceiling } = refusal;
    return this.#say(value - cost * this.#policy.intervalUs, ceiling, (value - ceiling) / 1000);
  }

  /** @param at where the entry lies; `ceiling`: the clock plus the depth */
  #say(at: number, ceiling: number, retryAfterMs: number | undefined): Verdict {
    const now = ceiling - this.#depthUs;
    return {
      allowed: retryAfterMs === undefined,
      limit: this.#capacity,
      remaining: Math.max(0, Math.floor((ceiling - at) / this.#policy.intervalUs)),
      resetAfterMs: Math.max(0, at - now) / 1000,
      retryAfterMs,
    };
  }
}
