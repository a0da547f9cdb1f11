import { invalidArgument } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { type AcquireOptions, type Claims, claimsOf } from "./claims.ts";
import type { ClaimHold, Hold } from "./hold.ts";
import { whileHeld } from "./holding.ts";
import { type Defaults, type HoldOptions, type LockingOptions, toAcquire, toDefaults, toName } from "./options.ts";
import type { Resource } from "./resource.ts";
import { type LockState, stateOf } from "./state.ts";

/**
 * Locks by name. At most one holder of a name at a time; those who wait are served in the order in which they came (by the engine's clock, as each process estimates it).
 * A lock belongs to a lease: when its process dies, the next has it after the time to live.
 */
export interface Locks {
  /**
   * Waits for the lock, or for several at once: they are granted together, in one commit, so claims that name the same locks in different
   * orders never wait for each other. The same process may not take a lock twice: it would wait for itself.
   * @throws TimeoutError not granted in time; nothing is held
   */
  acquire(names: string | readonly string[], options?: HoldOptions): Promise<Lock>;
  /**
   * Takes the lock if it is free and nobody waits for it; else `undefined`.
   * @param options `timeout`: how long the engine may take to answer
   */
  tryAcquire(names: string | readonly string[], options?: HoldOptions): Promise<Lock | undefined>;
  /**
   * Runs `fn` while the lock is held, and releases it. `fn` should stop when `lock.signal` aborts, and fence its transactions with the lock.
   * @throws LeaseLostError the lock was lost before `fn` had ended
   */
  withLock<T>(names: string | readonly string[], fn: (lock: Lock) => T | Promise<T>, options?: HoldOptions): Promise<T>;
  /** Who holds the lock and who waits for it. */
  inspect(name: string, options?: { readonly signal?: AbortSignal }): Promise<LockState>;
}

export interface Lock extends Hold {
  /** The names that are held. */
  readonly names: readonly string[];
  /** The fencing token of each name; `token` is that of the first. */
  readonly tokens: Readonly<Record<string, number>>;
  /**
   * Gives the lock to the first in the queue whose `owner` this is, ahead of all others. Resolves with whether there was one; if not, it is held as before.
   * @throws InvalidStateError it is several locks at once
   * @throws OutcomeUnknownError the answer was lost; release the lock then in any case
   */
  handOver(owner: string): Promise<boolean>;
}

/** Locks of one commit at most. */
const maxNames = 16;

export function createLocks(engine: Engine, options: LockingOptions = {}): Locks {
  return new EngineLocks(claimsOf(engine), toDefaults(options));
}

class EngineLocks implements Locks {
  readonly #claims: Claims;
  readonly #defaults: Defaults;

  constructor(claims: Claims, defaults: Defaults) {
    this.#claims = claims;
    this.#defaults = defaults;
  }

  async acquire(names: string | readonly string[], options: HoldOptions = {}): Promise<Lock> {
    return (await this.#acquire(names, options, true)) as Lock;
  }

  tryAcquire(names: string | readonly string[], options: HoldOptions = {}): Promise<Lock | undefined> {
    return this.#acquire(names, options, false);
  }

  async withLock<T>(
    names: string | readonly string[],
    fn: (lock: Lock) => T | Promise<T>,
    options?: HoldOptions,
  ): Promise<T> {
    return await whileHeld(await this.acquire(names, options), fn);
  }

  async inspect(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<LockState> {
    return await stateOf(this.#claims, toResource(toName(name)), options);
  }

  async #acquire(given: string | readonly string[], options: HoldOptions, wait: boolean): Promise<Lock | undefined> {
    const names = toNames(given);
    const shares = names.map((name) => ({ resource: toResource(name), weight: 1 }));
    const acquire: AcquireOptions = toAcquire(shares, options, this.#defaults, wait);
    const hold = await this.#claims.acquire(acquire);
    return hold && new HeldLock(names, hold);
  }
}

class HeldLock implements Lock {
  readonly names: readonly string[];
  readonly tokens: Readonly<Record<string, number>>;
  readonly #hold: ClaimHold;

  constructor(names: readonly string[], hold: ClaimHold) {
    this.names = names;
    this.tokens = Object.fromEntries(names.map((name, i) => [name, hold.tokens[i] as number]));
    this.#hold = hold;
  }

  get token(): number {
    return this.#hold.token;
  }

  get signal(): AbortSignal {
    return this.#hold.signal;
  }

  get held(): boolean {
    return this.#hold.held;
  }

  get remaining(): number {
    return this.#hold.remaining;
  }

  get lease(): string {
    return this.#hold.lease;
  }

  handOver(owner: string): Promise<boolean> {
    return this.#hold.handOver(owner);
  }

  guard(tx: Parameters<Hold["guard"]>[0]): void {
    this.#hold.guard(tx);
  }

  release(): Promise<void> {
    return this.#hold.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#hold.release();
  }
}

function toResource(name: string): Resource {
  return { kind: "lock", name, permits: 1 };
}

function toNames(given: string | readonly string[]): readonly string[] {
  const names: readonly unknown[] = Array.isArray(given) ? given : [given];
  if (names.length === 0 || names.length > maxNames)
    throw invalidArgument("names", given, `a name, or an array of 1 to ${maxNames} names`);
  const checked = names.map((name, i) => toName(name, names.length === 1 ? "name" : `names[${i}]`));
  if (new Set(checked).size < checked.length) throw invalidArgument("names", given, "names that are all different");
  return checked;
}
