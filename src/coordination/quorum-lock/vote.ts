import { fullJitter, isAshlarError, sleep, withDeadline } from "../../core/index.ts";
import type { Batch, Check, Committed, Engine, Mutation, Refused } from "../../engine/index.ts";
import { type Holder, quorumKeys } from "./keys.ts";

export interface VoteOptions {
  readonly name: string;
  readonly id: string;
  readonly holder: Holder;
  /** Milliseconds. */
  readonly ttl: number;
  /** Milliseconds that the engine has for an answer. */
  readonly timeout: number;
}

/**
 * One engine's vote for one attempt. Every call is one commit and takes at most the timeout; a call whose outcome is unknown counts as failed, and is undone by
 * `release`.
 */
export class Vote {
  readonly #engine: Engine;
  readonly #options: VoteOptions;
  /** Whether a commit of this attempt may arrive later, its answer having been lost. */
  #doubtful = false;
  /** Whether the engine may have the entry. */
  #written = false;
  /** Whether it was released: nothing is taken any more. */
  #over = false;
  /** Resolves when all that was asked so far has been answered or given up. */
  #settled: Promise<unknown> = Promise.resolve();
  /** The engine has no entry after this moment, by the monotonic clock, whatever happens. */
  #until = 0;

  constructor(engine: Engine, options: VoteOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  /** Sets the entry if there is none of anybody. Resolves with the engine's counter, one higher than before; `undefined`: another has the vote. */
  take(): Promise<number | undefined> {
    return this.#tracked(async () => {
      const outcome = await this.#commit(this.#ifAbsent({ add: this.#token, delta: 1 }));
      return outcome.ok ? outcome.adds[0]?.value : undefined;
    });
  }

  /** Raises the counter to the token, while the vote lasts. Resolves with whether it does. */
  raise(token: number): Promise<boolean> {
    return this.#tracked(async () => {
      return (await this.#commit({ checks: this.#own, mutations: [this.#floor(token)] })).ok;
    });
  }

  /** Prolongs the vote, or takes it anew where the engine has lost it and nobody else has it. Resolves with whether this is so. */
  renew(token: number): Promise<boolean> {
    return this.#tracked(async () => {
      const prolonged = await this.#commit({ checks: this.#own, mutations: [this.#entry, this.#floor(token)] });
      if (prolonged.ok || this.#over) return prolonged.ok;
      return (await this.#commit(this.#ifAbsent(this.#floor(token)))).ok;
    });
  }

  /**
   * Takes the vote back; tries again until the entry would have ended by itself.
   * @param onTried called when it is done, or has failed once
   */
  async release(onTried: () => void): Promise<void> {
    const { runtime } = this.#engine;
    this.#over = true;
    // What is under way would come after the delete.
    await this.#settled;
    for (let failures = 0; this.#written; failures++) {
      try {
        await this.#send(this.#undo());
        this.#written = false;
        break;
      } catch (error) {
        // Closed, or broken for good: the entry runs out.
        if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) break;
      }
      onTried();
      if (runtime.clock.monotonic() > this.#until) break;
      await sleep(runtime, fullJitter(runtime, failures, { base: 10, cap: 1000 }), { ref: false });
    }
    onTried();
  }

  #undo(): Batch {
    const { name, id } = this.#options;
    const mutations: Mutation[] = [{ delete: quorumKeys.vote(name, id) }];
    if (this.#doubtful) mutations.push({ set: quorumKeys.voided(id), value: true, ttl: "1h" });
    return { mutations };
  }

  get #token() {
    return quorumKeys.token(this.#options.name);
  }

  get #own(): Check[] {
    return [{ key: quorumKeys.vote(this.#options.name, this.#options.id), present: true }];
  }

  get #entry(): Mutation {
    const { name, id, holder, ttl } = this.#options;
    return { set: quorumKeys.vote(name, id), value: holder, ttl };
  }

  #floor(token: number): Mutation {
    return { add: this.#token, delta: 0, floor: token };
  }

  #ifAbsent(counter: Mutation): Batch {
    const { name, id } = this.#options;
    const checks: Check[] = [{ range: { prefix: quorumKeys.votes(name) }, entries: [] }];
    if (this.#engine.guarantees.unknownOutcomes !== "never")
      checks.push({ key: quorumKeys.voided(id), version: undefined });
    return { checks, mutations: [this.#entry, counter] };
  }

  #tracked<T>(ask: () => Promise<T>): Promise<T> {
    const asking = ask();
    this.#settled = Promise.allSettled([this.#settled, asking]);
    return asking;
  }

  /** A commit that may write the entry. */
  async #commit(batch: Batch): Promise<Committed | Refused> {
    try {
      const outcome = await this.#send(batch);
      if (outcome.ok) {
        this.#written = true;
        this.#until = this.#engine.runtime.clock.monotonic() + this.#options.ttl;
      }
      return outcome;
    } catch (error) {
      if (!isAshlarError(error) || !error.definite) {
        this.#doubtful = true;
        this.#written = true;
        this.#until = this.#engine.runtime.clock.monotonic() + this.#options.ttl;
      }
      throw error;
    }
  }

  async #send(batch: Batch): Promise<Committed | Refused> {
    using scope = withDeadline(this.#engine.runtime, {
      deadlineMs: this.#options.timeout,
      name: "a vote of an engine",
    });
    return await this.#engine.kv.tryCommit(batch, { signal: scope.signal });
  }
}
