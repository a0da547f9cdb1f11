import { type Duration, InvalidStateError, invalidArgument, toMilliseconds, withDeadline } from "../../core/index.ts";
import type { Change, Engine, Transaction } from "../../engine/index.ts";
import { watchUntil } from "../lease/index.ts";

export interface LatchOptions {
  /** How often it must be counted down until it opens: 1 to 1,000,000,000, the same for all who use it. */
  readonly count: number;
  /** How long after the last count it is remembered; afterwards it is as if it had never been used. 1 minute to 10 years. Default "7d". */
  readonly retention?: Duration;
}

/** Opens when it was counted down often enough, and stays open. */
export interface Latch {
  /**
   * Counts once. Harmless once it is open. The count is settled when the call returns: made once, or, if it throws, maybe not at all, so with `by` it can be called again.
   * @param options `by`: who or what is counted, 1 to 200 characters; the same counts once only, however often and from whichever process
   * @throws InvalidStateError others use this latch with another `count`
   */
  countDown(options?: { readonly by?: string; readonly signal?: AbortSignal }): Promise<void>;
  /** As `countDown`, but it counts if and only if the transaction commits. */
  countDownIn(tx: Transaction, options?: { readonly by?: string }): Promise<void>;
  /** How often it must still be counted down; 0: it is open. */
  remaining(options?: { readonly signal?: AbortSignal }): Promise<number>;
  /**
   * Resolves when it is open; waits out an engine that is away.
   * @param options `timeout`: default "30s"; `Infinity`: for as long as it takes
   * @throws TimeoutError not open in time
   */
  wait(options?: { readonly timeout?: Duration; readonly signal?: AbortSignal }): Promise<void>;
}

/**
 * | key, below `["latch"]` | value |
 * |---|---|
 * | `[name, "count"]` | how often it must be counted down |
 * | `[name, "done"]` | how often it was |
 * | `[name, "by", who]` | `true`: who has counted |
 */
export function createLatch(engine: Engine, name: string, options: LatchOptions): Latch {
  if (typeof name !== "string" || name.length === 0 || name.length > 500)
    throw invalidArgument("name", name, "a text of 1 to 500 characters");
  const { count, retention = "7d" } = options;
  if (!Number.isInteger(count) || count < 1 || count > 1e9)
    throw invalidArgument("count", count, "a whole number from 1 to 1,000,000,000");
  const ttl = toMilliseconds(retention, "retention", { min: 60_000, max: 3650 * 24 * 3600 * 1000 });
  return new EngineLatch(engine.scope("latch"), { name, count, ttl });
}

class EngineLatch implements Latch {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #count: number;
  readonly #ttl: number;

  constructor(engine: Engine, options: { readonly name: string; readonly count: number; readonly ttl: number }) {
    this.#engine = engine;
    this.#name = options.name;
    this.#count = options.count;
    this.#ttl = options.ttl;
  }

  async countDown(options: { readonly by?: string; readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal, ...rest } = options;
    await this.#engine.transact((tx) => this.countDownIn(tx, rest), { ...(signal && { signal }) });
  }

  async countDownIn(tx: Transaction, { by }: { readonly by?: string } = {}): Promise<void> {
    if (by !== undefined && (typeof by !== "string" || by.length === 0 || by.length > 200))
      throw invalidArgument("by", by, "a text of 1 to 200 characters");
    const own = this.#engine.join(tx);
    const name = this.#name;
    const ttl = this.#ttl;
    const [count, before] = await own.getMany<number | boolean>([
      [name, "count"],
      [name, "by", by ?? ""],
    ]);
    if (count === undefined) own.set([name, "count"], this.#count, { ttl });
    else this.#assertSame(count);
    if (before) return;
    if (by !== undefined) own.set([name, "by", by], true, { ttl });
    own.add([name, "done"], 1, { ttl });
  }

  async remaining({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const entry = await this.#engine.kv.get<number>([this.#name, "done"], { ...(signal && { signal }) });
    return Math.max(0, this.#count - (entry?.value ?? 0));
  }

  async wait(options: { readonly timeout?: Duration; readonly signal?: AbortSignal } = {}): Promise<void> {
    const { timeout = "30s", signal } = options;
    const deadlineMs = timeout === Number.POSITIVE_INFINITY ? timeout : toMilliseconds(timeout, "timeout");
    using deadline = withDeadline(this.#engine.runtime, {
      deadlineMs,
      name: `latch ${JSON.stringify(this.#name)}`,
      signal,
    });
    deadline.signal.throwIfAborted();
    const open = (changes: readonly Change[]) => changes.some(({ value }) => (value as number) >= this.#count);
    await watchUntil(this.#engine, { key: [this.#name, "done"] }, open, deadline.signal);
  }

  #assertSame(count: unknown): void {
    if (count === this.#count) return;
    throw new InvalidStateError(
      `latch ${JSON.stringify(this.#name)}: others count down from ${count}, and this one from ${this.#count}: use one count, or another name`,
      { details: { name: this.#name, given: this.#count, present: count } },
    );
  }
}
