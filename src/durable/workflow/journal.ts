import { ConflictError, isAshlarError } from "../../core/index.ts";
import type { Entry, OpenTransaction, Transaction, Version } from "../../engine/index.ts";
import type { Answer } from "./answers.ts";
import { type Ending, writeEnding } from "./endings.ts";
import type { Host, Loaded } from "./host.ts";
import { type Completion, keys, type Message, type RunRecord } from "./layout.ts";

/** Of one commit, at most. */
const mostEvents = 50;

/** The store has the run otherwise than it is here, or nobody knows how. */
export class Lost extends Error {}

/** Why what a body has written was not committed. */
export interface Refusal {
  readonly error: unknown;
  /** What the body read has changed: no fault of its own. */
  readonly isConflict: boolean;
}

/** What becomes of one run, as it is written down: each commit holds only if this process owns the shard, and the run is in the store as it is here. */
export class Journal {
  readonly #host: Host;
  readonly #id: string;
  readonly #record: RunRecord;
  readonly #version: Version;
  #length: number;
  /** When the run was in the store's timers last, if it was. */
  #timer: number | undefined;
  /** Events of one commit at most. */
  readonly mostEvents: number;
  /** A run leaves memory with so many messages at most that nobody has taken. */
  readonly mostMessages: number;

  constructor(host: Host, { id, record, version, history }: Loaded) {
    this.#host = host;
    this.#id = id;
    this.#record = record;
    this.#version = version;
    this.#length = history.length;
    const { operations } = host.engine.limits;
    // Three operations each, beside those of guard and timer.
    this.mostEvents = Math.min(mostEvents, Math.floor((operations - 10) / 3));
    this.mostMessages = operations - 10;
  }

  /** Events so far. */
  get length(): number {
    return this.#length;
  }

  /** When it comes to life again from where its history ends, it may be among the timers with this time. */
  expectTimer(due: number | undefined): void {
    this.#timer = due;
  }

  /** Resolves when they are in the history; with a refusal if the only one was of a body whose writes were refused. */
  async record(
    patches: readonly string[],
    answers: readonly Answer[],
    at: number,
    own: OpenTransaction | undefined,
  ): Promise<Refusal | undefined> {
    const events: Completion[] = patches.map((name) => ({ seq: -1, kind: "patch", name, at }));
    for (const { event } of answers) events.push({ ...event, at });
    const write = (tx: Transaction): void => {
      this.#guard(tx);
      for (const [i, event] of events.entries()) {
        const key = keys.history(this.#id, this.#length + i);
        tx.check({ key, version: undefined }, { otherwise: () => new Lost() });
        tx.set(key, event);
      }
      for (const { message } of answers) if (message !== undefined) tx.delete(keys.message(this.#id, message));
      this.#dropTimer(tx);
    };
    if (own) {
      const refusal = await this.#commitOwn(own, write);
      if (refusal) return refusal;
    } else {
      await using open = this.#host.engine.begin();
      write(open.tx);
      if (!(await open.commit())) throw new Lost();
    }
    this.#length += events.length;
    this.#timer = undefined;
    return undefined;
  }

  /** Leaves the run to the store, until `due`, or until there is a message besides these. False: there is one already. */
  async park(due: number | undefined, messages: readonly Entry<Message>[]): Promise<boolean> {
    const { engine, shard } = this.#host;
    await using open = engine.begin();
    const { tx } = open;
    this.#guard(tx);
    const range = { prefix: ["signal", this.#id] };
    tx.check({ range, entries: messages.map(({ key, version }) => ({ key, version })) });
    tx.delete(keys.active(shard, this.#id));
    if (this.#timer !== due) this.#dropTimer(tx);
    if (due !== undefined) tx.set(keys.timer(shard, due, this.#id), true);
    return await open.commit();
  }

  /**
   * @returns the record of the run from now on
   * @throws InvalidArgumentError LimitError the result cannot be stored
   */
  async end(ending: Ending, ended: number): Promise<RunRecord> {
    const { engine, shard, retention } = this.#host;
    await using open = engine.begin();
    const { tx } = open;
    this.#guard(tx);
    this.#dropTimer(tx);
    const after = writeEnding(tx, this.#id, { record: this.#record, shard, ended, retention }, ending);
    if (!(await open.commit())) throw new Lost();
    return after;
  }

  async #commitOwn(open: OpenTransaction, write: (tx: Transaction) => void): Promise<Refusal | undefined> {
    try {
      write(this.#host.engine.join(open.tx));
      if (await open.commit()) return undefined;
      return { error: new ConflictError("what the step had read has changed"), isConflict: true };
    } catch (error) {
      if (error instanceof Lost || isAshlarError(error, "CLOSED")) throw error;
      // It cannot be asked for again.
      if (isAshlarError(error) && !error.definite) throw new Lost("", { cause: error });
      return { error, isConflict: isAshlarError(error) && error.retryable && !isBound(error) };
    } finally {
      await open.rollback().catch(() => {});
    }
  }

  #guard(tx: Transaction): void {
    this.#host.guard(tx);
    tx.check({ key: keys.run(this.#id), version: this.#version }, { otherwise: () => new Lost() });
  }

  #dropTimer(tx: Transaction): void {
    if (this.#timer !== undefined) tx.delete(keys.timer(this.#host.shard, this.#timer, this.#id));
  }
}

/** A sum that would leave its bounds does so the next time, too. */
function isBound(error: unknown): boolean {
  return isAshlarError(error, "CONFLICT") && ["floor", "ceiling"].includes(String(error.details["reason"]));
}
