import {
  AshlarError,
  ClosedError,
  OutcomeUnknownError,
  OverloadedError,
  type Runtime,
  type Timer,
} from "../core/index.ts";
import type { Driver, RawCommit, RawOutcome } from "./driver.ts";

/**
 * Client-side group commit: the commits issued while a flush is in flight are handed to the engine together, so that many logical commits share one
 * fsync, one SQL call, one script call, each with its own outcome.
 *
 * Fairness: commits wait in lanes (one per namespace), in order within a lane; a flush takes from the lanes in turn, so a namespace that
 * queues ten thousand commits delays the others by at most one flush.
 * Bounds: a flush by `driver.flush`; what waits by `maxWaiting*`, beyond which `submit` is refused with `OverloadedError`.
 */
export class GroupCommit {
  readonly #driver: Driver;
  readonly #runtime: Runtime;
  readonly #bounds: WaitingBounds;
  /** Lanes with commits waiting, in the order of their turns. Invariant: a lane is in the map and in the ring, or in neither. */
  readonly #lanes = new Map<string, Lane>();
  readonly #ring: Lane[] = [];
  #turn = 0;
  #waiting = 0;
  #waitingBytes = 0;
  #inFlight = 0;
  #scheduled = false;
  #closed: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(driver: Driver, runtime: Runtime, bounds: WaitingBounds = defaultBounds) {
    this.#driver = driver;
    this.#runtime = runtime;
    this.#bounds = bounds;
  }

  /**
   * Resolves with the commit's outcome once it is durable.
   * @param lane commits of one lane keep their order
   * @param signal withdraws a commit that waits; one that is in flight rejects with `OutcomeUnknownError`
   * @param graceMs how long a commit in flight may still be answered after the abort
   */
  submit(commit: RawCommit, lane: string, signal?: AbortSignal, graceMs = 0): Promise<RawOutcome> {
    if (this.#closed) return Promise.reject(new ClosedError("the engine is closed"));
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#waiting >= this.#bounds.commits || this.#waitingBytes + commit.bytes > this.#bounds.bytes) {
      return Promise.reject(this.#overloaded());
    }
    const { promise, resolve, reject } = Promise.withResolvers<RawOutcome>();
    const waiting: Waiting = { commit, resolve, reject, state: "waiting", unlisten: undefined };
    if (signal) this.#listen(waiting, signal, graceMs);
    this.#enqueue(lane, waiting);
    if (this.#driver.flush.immediate) this.#flush();
    else this.#schedule();
    return promise;
  }

  /** Refuses new commits; resolves when those accepted have settled. */
  close(): Promise<void> {
    this.#closed ??= Promise.withResolvers<void>();
    if (this.#idle()) this.#closed.resolve();
    return this.#closed.promise;
  }

  #idle(): boolean {
    return this.#inFlight === 0 && this.#ring.length === 0;
  }

  #enqueue(name: string, waiting: Waiting): void {
    let lane = this.#lanes.get(name);
    if (!lane) {
      lane = { name, items: [], head: 0 };
      this.#lanes.set(name, lane);
      this.#ring.push(lane);
    }
    lane.items.push(waiting);
    this.#waiting++;
    this.#waitingBytes += waiting.commit.bytes;
  }

  #listen(waiting: Waiting, signal: AbortSignal, graceMs: number): void {
    let grace: Timer | undefined;
    const giveUp = () => {
      waiting.state = "settled";
      waiting.reject(
        new OutcomeUnknownError("the signal was aborted while the commit was in flight; it may be applied", {
          cause: signal.reason,
        }),
      );
    };
    const onAbort = () => {
      if (waiting.state === "waiting") {
        waiting.state = "settled";
        waiting.reject(signal.reason);
      } else if (graceMs > 0) grace = this.#runtime.timers.after(graceMs, giveUp);
      else giveUp();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    waiting.unlisten = () => {
      signal.removeEventListener("abort", onAbort);
      grace?.cancel();
    };
  }

  /** One turn of the event loop gathers what it issues: a commit alone pays microseconds for that, many save an fsync each. */
  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#driver.flush.inFlight) return;
    this.#scheduled = true;
    this.#runtime.timers.immediate(() => {
      this.#scheduled = false;
      if (this.#runtime.maybe("group commit: wait another turn")) this.#schedule();
      else this.#flush();
    });
  }

  #flush(): void {
    while (this.#inFlight < this.#driver.flush.inFlight && this.#ring.length > 0) {
      const batch = this.#gather();
      if (batch.length > 0) this.#send(batch);
    }
    if (this.#closed && this.#idle()) this.#closed.resolve();
  }

  #gather(): Waiting[] {
    const { bytes } = this.#driver.flush;
    const commits = this.#runtime.maybe("group commit: flush one commit alone") ? 1 : this.#mostCommits();
    const batch: Waiting[] = [];
    let size = 0;
    while (batch.length < commits && this.#ring.length > 0) {
      if (this.#turn >= this.#ring.length) this.#turn = 0;
      const lane = this.#ring[this.#turn] as Lane;
      const waiting = lane.items[lane.head] as Waiting;
      if (batch.length > 0 && size + waiting.commit.bytes > bytes) break;
      this.#advance(lane);
      this.#waiting--;
      this.#waitingBytes -= waiting.commit.bytes;
      if (waiting.state !== "waiting") continue;
      waiting.state = "sent";
      size += waiting.commit.bytes;
      batch.push(waiting);
    }
    return batch;
  }

  /**
   * Callers that wait for their commits issue the next ones all at once when a flush is answered. Were those one flush again, engine and process would take turns for ever, each idle while the other works; so they are
   * dealt out to all the flushes that may be in flight, if they are enough to be worth another fsync. Afterwards it stays so by itself.
   */
  #mostCommits(): number {
    const { commits, inFlight } = this.#driver.flush;
    if (this.#inFlight > 0 || this.#waiting < worthSplitting * inFlight) return commits;
    return Math.min(commits, Math.ceil(this.#waiting / inFlight));
  }

  /** Takes the head of the lane off and passes the turn on. */
  #advance(lane: Lane): void {
    lane.items[lane.head++] = undefined;
    if (lane.head === lane.items.length) {
      this.#lanes.delete(lane.name);
      this.#ring.splice(this.#turn, 1);
      return;
    }
    if (lane.head > 1024 && lane.head * 2 > lane.items.length) {
      lane.items.splice(0, lane.head);
      lane.head = 0;
    }
    this.#turn++;
  }

  #send(batch: Waiting[]): void {
    this.#inFlight++;
    let outcomes: RawOutcome[] | Promise<RawOutcome[]>;
    try {
      outcomes = this.#driver.commitMany(batch.map((waiting) => waiting.commit));
    } catch (error) {
      this.#failed(batch, error);
      return;
    }
    if (Array.isArray(outcomes)) this.#answered(batch, outcomes);
    else
      outcomes.then(
        (answered) => this.#answered(batch, answered),
        (error) => this.#failed(batch, error),
      );
  }

  #answered(batch: Waiting[], outcomes: RawOutcome[]): void {
    this.#inFlight--;
    for (let i = 0; i < batch.length; i++) {
      const waiting = batch[i] as Waiting;
      const outcome = outcomes[i];
      waiting.unlisten?.();
      waiting.state = "settled";
      if (outcome) waiting.resolve(outcome);
      else waiting.reject(new OutcomeUnknownError(`the ${this.#driver.name} driver returned no outcome for a commit`));
    }
    this.#afterFlight();
  }

  #failed(batch: Waiting[], error: unknown): void {
    this.#inFlight--;
    // What is not one of our errors is a defect of the driver, and nobody knows how far it came.
    const reason =
      error instanceof AshlarError
        ? error
        : new OutcomeUnknownError(`the ${this.#driver.name} driver failed unexpectedly during a commit`, {
            cause: error,
          });
    for (const waiting of batch) {
      waiting.unlisten?.();
      waiting.state = "settled";
      waiting.reject(reason);
    }
    this.#afterFlight();
  }

  #afterFlight(): void {
    if (this.#ring.length > 0) this.#schedule();
    else if (this.#closed && this.#idle()) this.#closed.resolve();
  }

  #overloaded(): OverloadedError {
    return new OverloadedError(
      `${this.#waiting} commits (${this.#waitingBytes} bytes) wait for the ${this.#driver.name} engine, the most allowed; await commits before issuing more`,
    );
  }
}

/** Commits that are worth a flush of their own. */
const worthSplitting = 16;

/** What may wait for the engine: at these bounds `submit` refuses. */
export interface WaitingBounds {
  readonly commits: number;
  readonly bytes: number;
}

const defaultBounds: WaitingBounds = { commits: 100_000, bytes: 256 * 1024 * 1024 };

interface Lane {
  readonly name: string;
  readonly items: (Waiting | undefined)[];
  head: number;
}

interface Waiting {
  readonly commit: RawCommit;
  readonly resolve: (outcome: RawOutcome) => void;
  readonly reject: (reason: unknown) => void;
  state: "waiting" | "sent" | "settled";
  unlisten: (() => void) | undefined;
}
