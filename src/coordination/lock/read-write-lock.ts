import type { Engine } from "../../engine/index.ts";
import { type Claims, claimsOf } from "./claims.ts";
import type { Hold } from "./hold.ts";
import { whileHeld } from "./holding.ts";
import { type Defaults, type HoldOptions, type LockingOptions, toAcquire, toDefaults, toName } from "./options.ts";
import type { Resource } from "./resource.ts";
import { type LockState, stateOf } from "./state.ts";

/**
 * Many readers or one writer. All wait in one queue, in the order in which they came, so neither readers nor writers starve: a reader
 * that comes after a writer waits behind it.
 */
export interface ReadWriteLock {
  /** Waits for a reader's part. @throws TimeoutError not granted in time; nothing is held */
  read(options?: HoldOptions): Promise<Hold>;
  /** Waits to be the only one. @throws TimeoutError not granted in time; nothing is held */
  write(options?: HoldOptions): Promise<Hold>;
  /** A reader's part if no writer holds or waits; else `undefined`. */
  tryRead(options?: HoldOptions): Promise<Hold | undefined>;
  /** The whole if nobody holds or waits; else `undefined`. */
  tryWrite(options?: HoldOptions): Promise<Hold | undefined>;
  /** Runs `fn` as a reader. @throws LeaseLostError lost before `fn` had ended */
  withRead<T>(fn: (hold: Hold) => T | Promise<T>, options?: HoldOptions): Promise<T>;
  /** Runs `fn` as the writer. @throws LeaseLostError lost before `fn` had ended */
  withWrite<T>(fn: (hold: Hold) => T | Promise<T>, options?: HoldOptions): Promise<T>;
  /** Who holds and who waits. A writer has the weight of all readers that there could be: 2^20. */
  inspect(options?: { readonly signal?: AbortSignal }): Promise<LockState>;
}

/** Readers at a time, at most; a writer takes as many. */
const all = 2 ** 20;

export function createReadWriteLock(engine: Engine, name: string, options: LockingOptions = {}): ReadWriteLock {
  const resource: Resource = { kind: "read-write", name: toName(name), permits: all };
  return new EngineReadWriteLock(claimsOf(engine), resource, toDefaults(options));
}

class EngineReadWriteLock implements ReadWriteLock {
  readonly #claims: Claims;
  readonly #resource: Resource;
  readonly #defaults: Defaults;

  constructor(claims: Claims, resource: Resource, defaults: Defaults) {
    this.#claims = claims;
    this.#resource = resource;
    this.#defaults = defaults;
  }

  async read(options: HoldOptions = {}): Promise<Hold> {
    return (await this.#acquire(1, options, true)) as Hold;
  }

  async write(options: HoldOptions = {}): Promise<Hold> {
    return (await this.#acquire(all, options, true)) as Hold;
  }

  tryRead(options: HoldOptions = {}): Promise<Hold | undefined> {
    return this.#acquire(1, options, false);
  }

  tryWrite(options: HoldOptions = {}): Promise<Hold | undefined> {
    return this.#acquire(all, options, false);
  }

  async withRead<T>(fn: (hold: Hold) => T | Promise<T>, options?: HoldOptions): Promise<T> {
    return await whileHeld(await this.read(options), fn);
  }

  async withWrite<T>(fn: (hold: Hold) => T | Promise<T>, options?: HoldOptions): Promise<T> {
    return await whileHeld(await this.write(options), fn);
  }

  inspect(options: { readonly signal?: AbortSignal } = {}): Promise<LockState> {
    return stateOf(this.#claims, this.#resource, options);
  }

  async #acquire(weight: number, options: HoldOptions, wait: boolean): Promise<Hold | undefined> {
    return await this.#claims.acquire(toAcquire([{ resource: this.#resource, weight }], options, this.#defaults, wait));
  }
}
