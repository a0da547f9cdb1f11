import {
  createIds,
  fullJitter,
  isAshlarError,
  type Key,
  keyName,
  OverloadedError,
  sleep,
  withDeadline,
} from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { type Leases, leasesOf } from "../lease/index.ts";
import { acquired, denied, type LockMessage, released } from "./channels.ts";
import { Claim } from "./claim.ts";
import { type Denial, LockCommits } from "./commits.ts";
import { ClaimHold } from "./hold.ts";
import { Queue } from "./queue.ts";
import { LockKeys, type Share } from "./resource.ts";
import { Sweep } from "./sweep.ts";

export interface AcquireOptions {
  readonly shares: readonly Share[];
  /** Milliseconds. */
  readonly ttl: number;
  /** Milliseconds. */
  readonly timeout: number;
  /** Whether to wait if too little is free. */
  readonly wait: boolean;
  readonly owner: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Everything that this process holds or waits for in one namespace. */
export function claimsOf(engine: Engine): Claims {
  const { namespace } = engine;
  return engine.shared(`lock ${keyName(namespace)}`, (root) => new Claims(root, namespace));
}

/** Claims of this process that wait at the same time, at most. */
const maxWaiting = 10_000;

export class Claims implements AsyncDisposable {
  readonly commits: LockCommits;
  readonly leases: Leases;
  readonly root: Engine;
  readonly #queue: Queue;
  readonly #sweep: Sweep;
  readonly #ids: { next(): string };
  #waiting = 0;

  constructor(root: Engine, namespace: Key) {
    this.root = root;
    this.leases = leasesOf(root);
    this.commits = new LockCommits(root, this.leases, new LockKeys(namespace));
    this.#queue = new Queue(root, this.leases, this.commits);
    this.#ids = createIds(root.runtime);
    this.#sweep = new Sweep(root, this.leases, this.commits);
  }

  /**
   * Holds all shares at once, or none. Resolves with `undefined` if it was not to wait and too little is free.
   * @throws TimeoutError it was not granted in time; nothing is held
   */
  async acquire(options: AcquireOptions): Promise<ClaimHold | undefined> {
    const what = options.shares.map(({ resource }) => `${resource.kind} ${JSON.stringify(resource.name)}`).join(", ");
    if (this.#waiting >= maxWaiting) {
      throw new OverloadedError(`${what}: ${maxWaiting} claims of this process wait already`, {
        details: { limit: maxWaiting },
      });
    }
    const { signal, timeout } = options;
    const began = this.root.runtime.clock.monotonic();
    using scope = withDeadline(this.root.runtime, { signal, deadlineMs: timeout, name: `acquire ${what}` });
    this.#waiting++;
    try {
      const hold = await this.#persist(options, scope.signal);
      this.#tell(hold ? acquired : denied, options, { began, ...(hold && { tokens: hold.tokens }) });
      return hold;
    } catch (error) {
      this.#tell(denied, options, { began, error });
      throw error;
    } finally {
      this.#waiting--;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sweep.close();
  }

  /** One attempt after another, each with a claim of its own, until one is decided. */
  async #persist(options: AcquireOptions, signal: AbortSignal): Promise<ClaimHold | undefined> {
    for (let failures = 0; ; failures++) {
      if (signal.aborted) throw signal.reason;
      try {
        const lease = await this.leases.acquire(options.ttl, { signal });
        const claim = new Claim(this.commits.keys, {
          id: this.#ids.next(),
          lease,
          shares: options.shares,
          owner: options.owner,
          since: this.root.runtime.clock.now(),
        });
        let granted: readonly number[] | undefined;
        try {
          granted = await this.#attempt(claim, options.wait, signal);
        } finally {
          if (!granted) void this.#abandon(claim);
        }
        if (granted) return this.#hold(claim, granted);
        if (!options.wait) return undefined;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!isWorthAnother(error)) throw error;
      }
      await sleep(this.root.runtime, fullJitter(this.root.runtime, failures, { base: 5, cap: 1000 }), { signal });
    }
  }

  #hold(claim: Claim, tokens: readonly number[]): ClaimHold {
    const held = { tokens, since: this.root.runtime.clock.monotonic() };
    return new ClaimHold(this.root, {
      claim,
      tokens,
      giveBack: () => this.#giveBack(claim, held),
      giveTo: (owner) => this.commits.handOver(claim, owner),
    });
  }

  /** Resolves with the tokens, or `undefined` if it was not granted. */
  async #attempt(claim: Claim, wait: boolean, signal: AbortSignal): Promise<readonly number[] | undefined> {
    const first = await this.commits.take(claim, signal);
    if ("tokens" in first) return first.tokens;
    if (!wait) {
      return await this.#afterTheDead(claim, first, signal);
    }
    if (first.because === "lease" || first.because === "void") return undefined;
    const place = Math.floor((await this.leases.now()) * 1000);
    if (await this.commits.wait(claim, place, signal)) return undefined;
    return await this.#queue.turn(claim, signal);
  }

  /** What stands in the way, of each share, may have no owner any more. */
  async #afterTheDead(claim: Claim, first: Denial, signal: AbortSignal): Promise<readonly number[] | undefined> {
    let denial = first;
    for (const _ of claim.shares) {
      if (denial.because === "lease" || denial.because === "void") return undefined;
      if (!(await this.#queue.clear(denial.share.resource, signal))) return undefined;
      const outcome = await this.commits.take(claim, signal);
      if ("tokens" in outcome) return outcome.tokens;
      denial = outcome;
    }
    return undefined;
  }

  #tell(
    to: typeof acquired,
    { shares }: Pick<AcquireOptions, "shares">,
    { began, ...more }: { readonly began: number; readonly tokens?: readonly number[]; readonly error?: unknown },
  ): void {
    if (!to.hasSubscribers) return;
    const waitedMs = this.root.runtime.clock.monotonic() - began;
    to.publish({ ...messageOf(shares), ...more, waitedMs } satisfies LockMessage);
  }

  async #giveBack(claim: Claim, held: { readonly tokens: readonly number[]; readonly since: number }): Promise<void> {
    if (released.hasSubscribers) {
      const heldMs = this.root.runtime.clock.monotonic() - held.since;
      released.publish({ ...messageOf(claim.shares), tokens: held.tokens, heldMs } satisfies LockMessage);
    }
    await this.#untilDone(claim, () => this.commits.release(claim).then(() => true));
    claim.lease.release();
  }

  /** Leaves nothing of a claim behind that was not granted, or of which that is not known. */
  async #abandon(claim: Claim): Promise<void> {
    await claim.settled;
    let voided = false;
    if (claim.doubtful || claim.written) {
      await this.#untilDone(claim, async () => {
        if (claim.doubtful && !voided) {
          await this.commits.void(claim);
          voided = true;
        }
        return await this.commits.remove(claim);
      });
    }
    claim.lease.release();
  }

  /** Tries again and again while the lease lasts; afterwards anybody may tidy up. */
  async #untilDone(claim: Claim, attempt: () => Promise<boolean>): Promise<void> {
    const { runtime } = this.root;
    for (let failures = 0; claim.lease.held; failures++) {
      try {
        if (await attempt()) return;
      } catch (error) {
        // Closed, or broken for good: the lease runs out.
        if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) return;
      }
      await sleep(runtime, fullJitter(runtime, failures, { base: 5, cap: 1000 }));
    }
  }
}

/** Whether a new claim may fare better. */
function isWorthAnother(error: unknown): boolean {
  if (!isAshlarError(error)) return false;
  return error.retryable || error.code === "OUTCOME_UNKNOWN" || error.code === "LEASE_LOST";
}

function messageOf(shares: readonly Share[]): LockMessage {
  const [{ resource, weight }] = shares as [Share];
  return { kind: resource.kind, names: shares.map((share) => share.resource.name), weight };
}
