import type { MaybePromise } from "../../core/index.ts";
import type { Driver, RawCommit, RawOutcome } from "../driver.ts";

/**
 * Lets a layer commit on its own beside the group commit, and still keeps the driver's promise of at most `flush.inFlight` calls of
 * `commitMany` at once: a call that finds no room waits its turn.
 */
export class CommitGate {
  readonly #driver: Driver;
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(driver: Driver) {
    this.#driver = driver;
    this.#free = driver.flush.inFlight;
  }

  commitMany(commits: readonly RawCommit[]): MaybePromise<RawOutcome[]> {
    if (this.#free === 0) return this.#commitLater(commits);
    this.#free--;
    return this.#send(commits);
  }

  /** A commit by itself. */
  async commit(commit: RawCommit): Promise<RawOutcome> {
    const [outcome] = await this.commitMany([commit]);
    return outcome as RawOutcome;
  }

  async #commitLater(commits: readonly RawCommit[]): Promise<RawOutcome[]> {
    await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    return this.#send(commits);
  }

  /** The caller holds one of the places, which this gives back. */
  #send(commits: readonly RawCommit[]): MaybePromise<RawOutcome[]> {
    let outcomes: MaybePromise<RawOutcome[]>;
    try {
      outcomes = this.#driver.commitMany(commits);
    } catch (error) {
      this.#release();
      throw error;
    }
    if (!Array.isArray(outcomes)) return outcomes.finally(() => this.#release());
    this.#release();
    return outcomes;
  }

  /** Hands the place on rather than freeing it, so that nobody overtakes those who wait. */
  #release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}
