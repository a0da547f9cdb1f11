import { invalidArgument } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { type Claims, claimsOf } from "./claims.ts";
import type { Hold } from "./hold.ts";
import { whileHeld } from "./holding.ts";
import { type Defaults, type HoldOptions, type LockingOptions, toAcquire, toDefaults, toName } from "./options.ts";
import type { Resource } from "./resource.ts";
import { type LockState, stateOf } from "./state.ts";

/**
 * A number of permits that the holders share. Those who wait are served in the order in which they came: who wants much is not overtaken by those who
 * want little, so it does not starve. Permits of a process that died are free after its lease has ended.
 */
export interface Semaphore {
  readonly permits: number;
  /** Waits for permits. @throws TimeoutError not granted in time; nothing is held */
  acquire(options?: PermitOptions): Promise<Hold>;
  /** Permits if they are free and nobody waits; else `undefined`. */
  tryAcquire(options?: PermitOptions): Promise<Hold | undefined>;
  /** Runs `fn` while permits are held. @throws LeaseLostError lost before `fn` had ended */
  withPermits<T>(fn: (hold: Hold) => T | Promise<T>, options?: PermitOptions): Promise<T>;
  /** Who holds and who waits. */
  inspect(options?: { readonly signal?: AbortSignal }): Promise<LockState>;
}

export interface SemaphoreOptions extends LockingOptions {
  /**
   * How many there are: 1 to 1,000,000. Each process goes by its own number, so when it is to change, the least of those in use holds for those
   * who were given it, until all have the new one.
   */
  readonly permits: number;
}

export interface PermitOptions extends HoldOptions {
  /** How many: 1 to all of them. Default 1. */
  readonly permits?: number;
}

export function createSemaphore(engine: Engine, name: string, options: SemaphoreOptions): Semaphore {
  const { permits } = options;
  if (!Number.isInteger(permits) || permits < 1 || permits > 1_000_000)
    throw invalidArgument("permits", permits, "a whole number from 1 to 1000000");
  const resource: Resource = { kind: "semaphore", name: toName(name), permits };
  return new EngineSemaphore(claimsOf(engine), resource, toDefaults(options, ["permits"]));
}

class EngineSemaphore implements Semaphore {
  readonly #claims: Claims;
  readonly #resource: Resource;
  readonly #defaults: Defaults;

  constructor(claims: Claims, resource: Resource, defaults: Defaults) {
    this.#claims = claims;
    this.#resource = resource;
    this.#defaults = defaults;
  }

  get permits(): number {
    return this.#resource.permits;
  }

  async acquire(options: PermitOptions = {}): Promise<Hold> {
    return (await this.#acquire(options, true)) as Hold;
  }

  tryAcquire(options: PermitOptions = {}): Promise<Hold | undefined> {
    return this.#acquire(options, false);
  }

  async withPermits<T>(fn: (hold: Hold) => T | Promise<T>, options?: PermitOptions): Promise<T> {
    return await whileHeld(await this.acquire(options), fn);
  }

  inspect(options: { readonly signal?: AbortSignal } = {}): Promise<LockState> {
    return stateOf(this.#claims, this.#resource, options);
  }

  async #acquire(options: PermitOptions, wait: boolean): Promise<Hold | undefined> {
    const { permits: weight = 1 } = options;
    if (!Number.isInteger(weight) || weight < 1 || weight > this.permits)
      throw invalidArgument("permits", weight, `a whole number from 1 to ${this.permits}, which is all of them`);
    return await this.#claims.acquire(
      toAcquire([{ resource: this.#resource, weight }], options, this.#defaults, wait, ["permits"]),
    );
  }
}
