import {
  ClosedError,
  type Closer,
  createCloser,
  invalidArgument,
  type Key,
  linkSignals,
  sleep,
  throwIfAborted,
} from "../core/index.ts";
import type { Committed, Engine, Mutation, Refused, Sum, Version } from "../engine/index.ts";
import type { ClusterTakeOptions } from "./cluster-limiter.ts";
import type { LeakyBucket, LeakyBucketOptions } from "./local-leaky-bucket.ts";
import { type Policy, toCost, toKey } from "./policy.ts";
import { queueFull, toEvenRate, tooLong, toWaitBounds, type WaitBounds } from "./waiting.ts";

/**
 * A leaky bucket that all processes on one engine share: one commit reserves the next turn, by the engine's clock, and the process waits for it. An abandoned turn goes
 * back only if nobody has queued up behind it; otherwise it passes unused.
 * @throws InvalidArgumentError
 */
export function createLeakyBucket(engine: Engine, name: string, options: LeakyBucketOptions): LeakyBucket {
  if (typeof name !== "string" || name === "") throw invalidArgument("name", name, "a string, not empty");
  return new ClusterLeakyBucket(engine, name, toEvenRate(options), toWaitBounds(options));
}

/** A turn in the line: who has it passes at `startUs` by the engine's clock. */
interface Turn {
  readonly key: Key;
  readonly lengthUs: number;
  readonly waitMs: number;
  readonly version: Version;
}

class ClusterLeakyBucket implements LeakyBucket {
  readonly name: string;
  readonly #engine: Engine;
  readonly #policy: Policy;
  readonly #bounds: WaitBounds;
  readonly #waiting = new Map<string, number>();
  readonly #closing = new AbortController();
  readonly #returns = new Set<Promise<unknown>>();
  readonly #closer: Closer;

  constructor(engine: Engine, name: string, policy: Policy, bounds: WaitBounds) {
    this.name = name;
    this.#engine = engine;
    this.#policy = policy;
    this.#bounds = bounds;
    this.#closer = createCloser(async () => {
      this.#closing.abort(new ClosedError(`the leaky bucket "${name}" was closed while the take waited`));
      while (this.#returns.size > 0) await Promise.all(this.#returns);
    }, `the leaky bucket "${name}"`);
  }

  async take(key: string, options: ClusterTakeOptions = {}): Promise<number> {
    this.#closer.assertOpen();
    const { signal } = options;
    const cost = toCost(options.cost, this.#policy.limit);
    throwIfAborted(signal);
    const waiting = this.#waiting.get(toKey(key)) ?? 0;
    if (waiting > this.#bounds.maxQueue) throw queueFull(this.name, key, this.#bounds.maxQueue);
    this.#waiting.set(key, waiting + 1);
    using scope = linkSignals(signal, this.#closing.signal);
    try {
      const turn = await this.#reserve(key, cost, signal);
      if (turn.waitMs > 0 || scope.signal.aborted) await this.#waitFor(turn, scope.signal);
      return turn.waitMs;
    } finally {
      const left = (this.#waiting.get(key) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(key);
      else this.#waiting.set(key, left);
    }
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #reserve(name: string, cost: number, signal: AbortSignal | undefined): Promise<Turn> {
    const key = ["ratelimit", this.name, "turn", name];
    const lengthUs = cost * this.#policy.intervalUs;
    const plus = Math.floor(this.#bounds.maxWaitMs * 1000) + lengthUs;
    const add = {
      add: key,
      delta: lengthUs,
      floor: { clock: "us" },
      ceiling: { clock: "us", plus },
      ttl: Math.ceil(plus / 1000) + 1,
    } as const;
    const outcome = await this.#commit(add, signal);
    if (!outcome.ok) {
      if (outcome.refusal.reason === "check") throw new TypeError("a reservation has no checks");
      const { value, ceiling } = outcome.refusal;
      throw tooLong(this.name, name, (value - ceiling) / 1000 + this.#bounds.maxWaitMs, this.#bounds.maxWaitMs);
    }
    const { value, ceiling = value } = outcome.adds[0] as Sum;
    const now = ceiling - plus;
    return { key, lengthUs, waitMs: Math.max(0, value - lengthUs - now) / 1000, version: outcome.version };
  }

  async #commit(mutation: Mutation, signal: AbortSignal | undefined): Promise<Committed | Refused> {
    try {
      return await this.#engine.kv.tryCommit({ mutations: [mutation] }, signal ? { signal } : {});
    } catch (error) {
      throwIfAborted(signal);
      throw error;
    }
  }

  async #waitFor(turn: Turn, signal: AbortSignal): Promise<void> {
    try {
      await sleep(this.#engine.runtime, turn.waitMs, { signal });
    } catch (error) {
      this.#giveBack(turn);
      throw error;
    }
  }

  /** Only the last turn of the line can go back: were another taken out, the next to come would share the turn of the last. */
  #giveBack({ key, lengthUs, version }: Turn): void {
    const returning = this.#engine.kv
      .tryCommit({ checks: [{ key, version }], mutations: [{ add: key, delta: -lengthUs }] })
      .catch(() => undefined)
      .finally(() => this.#returns.delete(returning));
    this.#returns.add(returning);
  }
}
