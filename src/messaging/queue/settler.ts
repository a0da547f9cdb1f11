import { patiently } from "../../coordination/lease/index.ts";
import { encodeValue, isAshlarError, LeaseLostError, sleep } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import { bitOf, type Claim, type Slot } from "./claim.ts";
import { bytesOfJob, fitting } from "./fitting.ts";
import { type Desk, type Outcome, writeOutcome } from "./outcome.ts";

/** What a settlement costs at most: ten operations of its outcome, and its share of the claim's. */
const operationsEach = 14;

interface Item {
  readonly slot: Slot;
  readonly outcome: Outcome;
  readonly bytes: number;
  readonly settled: (applied: boolean) => void;
}

/**
 * Records what has become of jobs: those that end while one commit is under way share the next. Each commit holds only if the claims are still there: whoever slept through
 * its lease finds them gone, and its jobs are others' by then.
 */
export class Settler {
  readonly #engine: Engine;
  readonly #desk: Desk;
  readonly #now: () => Promise<number>;
  readonly #signal: AbortSignal;
  #items: Item[] = [];
  /** Claims all of whose jobs were settled by commits that could not know it. */
  #closing = new Set<Claim>();
  readonly #orphaned: (claim: Claim, error: unknown) => void;
  #running: Promise<void> | undefined;

  /**
   * @param orphaned told of claims of which it is not known what is settled: to be recovered
   * @param signal ends it, at the end of the engine: what is not recorded by then is not
   */
  constructor(
    engine: Engine,
    desk: Desk,
    now: () => Promise<number>,
    orphaned: (claim: Claim, error: unknown) => void,
    signal: AbortSignal,
  ) {
    this.#engine = engine;
    this.#desk = desk;
    this.#now = now;
    this.#orphaned = orphaned;
    this.#signal = signal;
  }

  /** Resolves with whether it was recorded; false: the job was not ours any more. */
  settle(slot: Slot, outcome: Outcome): Promise<boolean> {
    return new Promise((settled) => {
      this.#items.push({ slot, outcome, bytes: bytesOf(slot, outcome), settled });
      this.#running ??= this.#run();
    });
  }

  /**
   * Puts one settlement into a transaction of its own: for handlers that wrote into it. After its commit, `confirm` is to be called.
   * @throws LeaseLostError from the commit: the job is not ours any more
   */
  async write(tx: Transaction, slot: Slot, outcome: Outcome): Promise<void> {
    const { claim } = slot;
    tx.check({ key: claim.key, present: true }, { otherwise: lostJob });
    writeOutcome(tx, this.#desk, slot, outcome, await this.#now());
    claim.marked = true;
    tx.add(claim.doneKey, bitOf(slot.index));
  }

  confirm({ claim }: Slot): void {
    if (++claim.settled < claim.size) return;
    this.#closing.add(claim);
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is left to record. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    // What ends in the same turn of the event loop goes together.
    await undefined;
    try {
      while (this.#items.length > 0 || this.#closing.size > 0) await this.#flush();
    } finally {
      this.#running = undefined;
    }
  }

  async #flush(): Promise<void> {
    const items = this.#takeItems();
    const closing = [...this.#closing].slice(0, this.#most());
    for (const claim of closing) this.#closing.delete(claim);
    try {
      await this.#commit(items, closing);
    } catch (error) {
      // The engine was closed, or an answer is lost for good: whoever looks after the claims finds out what is settled.
      for (const claim of new Set([...items.map(({ slot }) => slot.claim), ...closing])) {
        if (claim.lost) continue;
        claim.lost = true;
        this.#orphaned(claim, error);
      }
      for (const { settled } of items) settled(false);
    }
  }

  #most(): number {
    return Math.max(1, Math.floor(this.#engine.limits.operations / operationsEach));
  }

  #takeItems(): Item[] {
    const part = fitting(this.#items, this.#engine.limits, this.#most(), ({ bytes }) => bytes);
    this.#items.splice(0, part.length);
    return [...part];
  }

  async #commit(given: readonly Item[], closing: readonly Claim[]): Promise<void> {
    let items = given;
    for (;;) {
      for (const { slot, settled } of items) if (slot.claim.lost) settled(false);
      items = items.filter(({ slot }) => !slot.claim.lost);
      const live = closing.filter(({ lost }) => !lost);
      if (items.length === 0 && live.length === 0) return;
      const closed = await this.#attempt(items, live);
      if (closed) {
        this.#applied(items, closed);
        return;
      }
      await this.#findLost([...items.map(({ slot }) => slot.claim), ...live]);
    }
  }

  /** The claims that it closed; `undefined`: refused. */
  async #attempt(items: readonly Item[], closing: readonly Claim[]): Promise<ReadonlySet<Claim> | undefined> {
    for (let failures = 0; ; failures++) {
      try {
        const now = await this.#now();
        await using open = this.#engine.begin();
        const closed = this.#write(open.tx, items, closing, now);
        return (await open.commit({ signal: this.#signal })) ? closed : undefined;
      } catch (error) {
        if (this.#signal.aborted || !isAshlarError(error) || !error.retryable) throw error;
      }
      const pause = Math.min(1000, 10 * 2 ** failures);
      await sleep(this.#engine.runtime, pause, { signal: this.#signal, ref: false });
    }
  }

  #write(tx: Transaction, items: readonly Item[], closing: readonly Claim[], now: number): ReadonlySet<Claim> {
    const closed = new Set(closing);
    for (const [claim, settled] of Map.groupBy(items, ({ slot }) => slot.claim)) {
      if (claim.settled + settled.length === claim.size) closed.add(claim);
      else {
        tx.check({ key: claim.key, present: true });
        claim.marked = true;
        const bits = settled.reduce((sum, { slot }) => sum + bitOf(slot.index), 0);
        tx.add(claim.doneKey, bits);
      }
      for (const { slot, outcome } of settled) writeOutcome(tx, this.#desk, slot, outcome, now);
    }
    for (const claim of closed) {
      tx.check({ key: claim.key, present: true });
      tx.delete(claim.key);
      if (claim.marked) tx.delete(claim.doneKey);
    }
    return closed;
  }

  #applied(items: readonly Item[], closed: ReadonlySet<Claim>): void {
    for (const { slot, settled } of items) {
      const { claim } = slot;
      claim.settled++;
      if (claim.settled === claim.size && !closed.has(claim)) this.#closing.add(claim);
      settled(true);
    }
  }

  async #findLost(claims: readonly Claim[]): Promise<void> {
    const different = [...new Set(claims)];
    const { operations } = this.#engine.limits;
    for (let i = 0; i < different.length; i += operations) {
      const some = different.slice(i, i + operations);
      const entries = await patiently(
        this.#engine,
        () => this.#engine.kv.getMany(some.map(({ key }) => key)),
        this.#signal,
      );
      for (const [j, claim] of some.entries()) if (entries[j] === undefined) claim.lost = true;
    }
  }
}

function bytesOf({ job }: Slot, outcome: Outcome): number {
  if (outcome.kind === "done") return outcome.result === undefined ? 64 : 64 + encodeValue(outcome.result).length;
  return outcome.kind === "end" ? 4096 : bytesOfJob(job);
}

const lost = new WeakSet<Error>();

/** Who may go on with a job is decided by its claim. */
function lostJob(): Error {
  const error = new LeaseLostError(
    "the job is not this worker's any more: its lease was lost, and others have taken it over",
  );
  lost.add(error);
  return error;
}

/** Whether the error says that the job itself was lost, not another lease of its handler. */
export function isLostJob(error: unknown): boolean {
  return error instanceof Error && lost.has(error);
}
