import { LeaseLostError, linkSignals } from "../../core/index.ts";
import type { Engine, Fence, Transaction } from "../../engine/index.ts";
import type { Claim } from "./claim.ts";

/** Permits that are held: a lock, a reader's or a writer's part of a read–write lock, or permits of a semaphore. */
export interface Hold extends Fence, AsyncDisposable {
  /**
   * The fencing token: greater than all that were given out for this name before. Hand it to what is outside of the store (a file server, an API) so that it may refuse
   * who comes with a smaller one. Inside of the store, use the hold as a fence instead: `engine.transact(fn, { fence: hold })`.
   */
  readonly token: number;
  /**
   * Aborted with a `LeaseLostError` when the hold can no longer be relied on: before anyone else can have it, unless this process stands still at that moment
   * or the engine's clock is set forward. What is fenced is safe even then.
   */
  readonly signal: AbortSignal;
  /** Whether it can be relied on at this moment, asked of the clock: right even after a pause. False after the release. */
  readonly held: boolean;
  /** Milliseconds for which it can surely be relied on without another renewal; 0 after the release. */
  readonly remaining: number;
  /** The id of the lease under which it is held, for those who wait for its end. */
  readonly lease: string;
  /**
   * Gives it back. Tries again while the engine is away, until the lease would have ended anyhow; never throws for that. Harmless when repeated: all calls
   * resolve when it is given back.
   */
  release(): Promise<void>;
}

export class ClaimHold implements Hold {
  readonly tokens: readonly number[];
  readonly #root: Engine;
  readonly #claim: Claim;
  readonly #giveBack: () => Promise<void>;
  readonly #giveTo: (owner: string) => Promise<boolean>;
  /** Made when somebody asks for it: most holds are given back before anybody does. */
  #linked: { readonly signal: AbortSignal; readonly own: AbortController; readonly unlink: () => void } | undefined;
  #taken: LeaseLostError | undefined;
  #releasing: Promise<void> | undefined;

  constructor(
    root: Engine,
    options: {
      readonly claim: Claim;
      readonly tokens: readonly number[];
      readonly giveBack: () => Promise<void>;
      readonly giveTo: (owner: string) => Promise<boolean>;
    },
  ) {
    this.#root = root;
    this.#claim = options.claim;
    this.tokens = options.tokens;
    this.#giveBack = options.giveBack;
    this.#giveTo = options.giveTo;
  }

  get signal(): AbortSignal {
    if (!this.#linked) {
      const own = new AbortController();
      if (this.#taken) own.abort(this.#taken);
      const linked = linkSignals(this.#claim.lease.signal, own.signal);
      this.#linked = { signal: linked.signal, own, unlink: () => linked[Symbol.dispose]() };
      if (this.#releasing) this.#linked.unlink();
    }
    return this.#linked.signal;
  }

  get lease(): string {
    return this.#claim.lease.id;
  }

  get token(): number {
    return this.tokens[0] as number;
  }

  get held(): boolean {
    return this.#releasing === undefined && this.#taken === undefined && this.#claim.lease.held;
  }

  get remaining(): number {
    return this.held ? this.#claim.lease.remaining : 0;
  }

  guard(tx: Transaction): void {
    if (this.#releasing) throw this.#error("it was released before");
    if (this.#taken) throw this.#taken;
    this.#claim.lease.guard(tx);
    const own = this.#root.join(tx);
    for (const share of this.#claim.shares)
      own.check({ key: this.#claim.heldKey(share), present: true }, { otherwise: () => this.#lost() });
  }

  /**
   * Gives it to the first in the queue who goes by this name, ahead of the others. Resolves with whether there was one; if not, it is held as before.
   * @throws OutcomeUnknownError the answer was lost: release it in any case
   */
  async handOver(owner: string): Promise<boolean> {
    if (!this.held) throw this.#error("there is nothing to hand over");
    if (!(await this.#giveTo(owner))) return false;
    // What is left to do is to let go of the lease.
    await this.release();
    return true;
  }

  release(): Promise<void> {
    if (!this.#releasing) {
      this.#linked?.unlink();
      this.#releasing = this.#giveBack();
    }
    return this.#releasing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #lost(): LeaseLostError {
    this.#taken ??= this.#error("it was taken away");
    this.#linked?.own.abort(this.#taken);
    return this.#taken;
  }

  #error(why: string): LeaseLostError {
    const names = this.#claim.shares.map(({ resource }) => `${resource.kind} ${JSON.stringify(resource.name)}`);
    return new LeaseLostError(`${names.join(", ")}: not held any more: ${why}`, {
      details: { names: this.#claim.shares.map(({ resource }) => resource.name), claim: this.#claim.id },
    });
  }
}
