import { fullJitter, LeaseLostError, type Runtime, type Timer } from "../../core/index.ts";
import { quorumLockChannels } from "./channels.ts";
import type { QuorumSettings } from "./options.ts";
import { poll } from "./poll.ts";
import type { Vote } from "./vote.ts";

/** A lock that a majority of the engines has granted. */
export interface QuorumLock extends AsyncDisposable {
  readonly name: string;
  /**
   * The fencing token: greater than those of all who held the name before, as long as no engine loses what it has acknowledged. Hand it to whatever the lock protects,
   * which must refuse who comes with a smaller one than it has seen. There is no `guard(tx)`: a transaction runs on one engine, which cannot know what the
   * majority says. Compare the token in the transaction instead.
   */
  readonly token: number;
  /** Aborted with a `LeaseLostError` before the validity ends, unless this process stands still at that moment. */
  readonly signal: AbortSignal;
  /** Whether it can be relied on at this moment, asked of the clock: right even after a pause. False after the release. */
  readonly held: boolean;
  /** Milliseconds of validity that are left without another renewal; 0 after the release. */
  readonly remaining: number;
  /**
   * Takes the votes back. Resolves when every engine has answered or was tried once, and a majority has answered or the votes have ended by themselves; what is left goes on
   * in the background. Never throws. Harmless when repeated.
   */
  release(): Promise<void>;
}

export interface HoldParts {
  readonly runtime: Runtime;
  readonly settings: QuorumSettings;
  readonly votes: readonly Vote[];
  readonly quorum: number;
  readonly name: string;
  readonly owner: string;
  readonly token: number;
  /** Before the votes were asked for, by the monotonic clock. */
  readonly sentAt: number;
}

/**
 * Invariant: while `held`, a majority of the engines has the entry of this hold: `validUntil` is the moment before the latest renewal that a majority acknowledged was
 * sent, plus the time to live, less the drift of the clocks.
 */
export class QuorumHold implements QuorumLock {
  readonly name: string;
  readonly token: number;
  readonly #parts: HoldParts;
  readonly #controller = new AbortController();
  #validUntil: number;
  #validity: Timer | undefined;
  #renewal: Timer | undefined;
  #failures = 0;
  #ended = false;
  #releasing: Promise<void> | undefined;

  constructor(parts: HoldParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.token = parts.token;
    this.#validUntil = this.#end(parts.sentAt);
    this.#watchTheClock();
    this.#schedule(parts.sentAt + parts.settings.ttl / 3 - parts.runtime.clock.monotonic());
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get held(): boolean {
    return this.remaining > 0;
  }

  get remaining(): number {
    if (this.#ended) return 0;
    const left = this.#validUntil - this.#parts.runtime.clock.monotonic();
    if (left > 0) return left;
    // A process that was stopped asks before its timers have run.
    this.#lose();
    return 0;
  }

  release(): Promise<void> {
    if (!this.#releasing) {
      this.#stop();
      this.#releasing = releaseAll(this.#parts.votes, this.#parts.quorum);
    }
    return this.#releasing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #schedule(delay: number): void {
    this.#renewal = this.#parts.runtime.timers.after(Math.max(0, delay), () => void this.#renew(), { ref: false });
  }

  async #renew(): Promise<void> {
    if (!this.held) return;
    const { runtime, settings, votes, quorum } = this.#parts;
    const sentAt = runtime.clock.monotonic();
    const { carried } = await poll(
      votes.map((vote) => vote.renew(this.token)),
      quorum,
    );
    // A renewal that comes too late revives nothing: somebody else may have been told that it is free.
    if (!this.held) return;
    if (carried) this.#validUntil = Math.max(this.#validUntil, this.#end(sentAt));
    this.#failures = carried ? 0 : this.#failures + 1;
    const again = { base: settings.ttl / 50, cap: settings.ttl / 6 };
    this.#schedule(
      carried
        ? sentAt + settings.ttl / 3 - runtime.clock.monotonic()
        : again.base + fullJitter(runtime, this.#failures, again),
    );
  }

  #end(sentAt: number): number {
    const { ttl, drift } = this.#parts.settings;
    return sentAt + ttl - drift;
  }

  /** One timer that moves on with each renewal. */
  #watchTheClock(): void {
    const { runtime } = this.#parts;
    this.#validity = runtime.timers.after(
      Math.max(0, this.#validUntil - runtime.clock.monotonic()),
      () => {
        if (this.held) this.#watchTheClock();
      },
      { ref: false },
    );
  }

  #lose(): void {
    if (this.#ended) return;
    this.#stop();
    const { name, token, settings, owner } = this.#parts;
    if (quorumLockChannels.lost.hasSubscribers) quorumLockChannels.lost.publish({ name, owner, token });
    // Others need not wait for what may still stand at some engines.
    this.#releasing = releaseAll(this.#parts.votes, this.#parts.quorum);
    this.#controller.abort(
      new LeaseLostError(
        `quorum lock ${JSON.stringify(name)}: not held any more: no majority of the engines renewed it within its time to live of ${settings.ttl} ms`,
        { details: { name, token, ttl: settings.ttl } },
      ),
    );
  }

  #stop(): void {
    this.#ended = true;
    this.#validity?.cancel();
    this.#renewal?.cancel();
  }
}

/** Resolves when a majority has given the vote back, or has none, and the others were tried. */
export async function releaseAll(votes: readonly Vote[], quorum: number): Promise<void> {
  const tried: Promise<void>[] = [];
  const done = votes.map((vote) => {
    const once = Promise.withResolvers<void>();
    tried.push(once.promise);
    return vote.release(once.resolve).then(() => true);
  });
  await Promise.all(tried);
  await poll(done, quorum);
}
