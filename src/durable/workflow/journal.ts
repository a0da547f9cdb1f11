import { ConflictError, isAshlarError } from "../../core/index.ts";
import type { Entry, OpenTransaction, Transaction, Version } from "../../engine/index.ts";
import type { Answer } from "./answers.ts";
import { writeAttributes } from "./attributes.ts";
import type { Attributes } from "./contract.ts";
import { type Ending, writeEnding } from "./endings.ts";
import type { Host, Loaded } from "./host.ts";
import { type Completion, generationOf, keys, type Message, type Reply, type RunRecord } from "./layout.ts";

/** Of one commit, at most. */
const mostEvents = 50;

/** How long replies wait for those who asked: of a query, and of an update, which may be asked again. */
const queryTtl = "1m";
const updateTtl = "1h";

/** The store has the run otherwise than it is here, or nobody knows how. */
export class Lost extends Error {}

/** The parent is forgotten. */
class Orphan extends Error {}

/** There is a child that has not been dealt with. */
class Childful extends Error {}

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
  readonly #generation: number;
  #length: number;
  #attributes: Attributes;
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
    this.#generation = generationOf(record);
    this.#length = history.length;
    const latest = history.findLast(({ kind }) => kind === "attributes")?.value as Attributes | undefined;
    this.#attributes = latest ?? record.attributes ?? {};
    const { operations } = host.engine.limits;
    // Four operations each, beside those of guard and timer.
    this.mostEvents = Math.min(mostEvents, Math.floor((operations - 10) / 4));
    this.mostMessages = operations - 10;
  }

  /** Events so far. */
  get length(): number {
    return this.#length;
  }

  /** Whoever ends, holds up or resets a run from outside makes it active. */
  async assertCurrent(): Promise<void> {
    const entry = await this.#host.engine.kv.get(keys.run(this.#id));
    if (entry?.version !== this.#version) throw new Lost();
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
      this.guard(tx);
      for (const [i, event] of events.entries()) {
        const key = keys.history(this.#id, this.#generation, this.#length + i);
        tx.check({ key, version: undefined }, { otherwise: () => new Lost() });
        tx.set(key, event);
      }
      for (const answer of answers) this.#writeBesides(tx, answer);
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
    for (const { event } of answers) if (event.kind === "attributes") this.#attributes = event.value as Attributes;
    return undefined;
  }

  /** To a query: nothing of it stays. */
  async reply(message: string, request: string, reply: Reply): Promise<void> {
    await using open = this.#host.engine.begin();
    const { tx } = open;
    this.guard(tx);
    tx.delete(keys.message(this.#id, message));
    tx.set(keys.reply(this.#id, request), reply, { ttl: queryTtl });
    if (!(await open.commit())) throw new Lost();
  }

  /** Leaves the run to the store, until `due`, or until there is a message besides these. False: there is one already. */
  async park(due: number | undefined, messages: readonly Entry<Message>[]): Promise<boolean> {
    const { engine, shard } = this.#host;
    await using open = engine.begin();
    const { tx } = open;
    this.guard(tx);
    const range = { prefix: ["signal", this.#id] };
    tx.check({ range, entries: messages.map(({ key, version }) => ({ key, version })) });
    tx.delete(keys.active(shard, this.#id));
    if (this.#timer !== due) this.#dropTimer(tx);
    if (due !== undefined) tx.set(keys.timer(shard, due, this.#id), true);
    return await open.commit();
  }

  /**
   * @param close deals with the run's children, of which there may be some
   * @returns the record of the run from now on
   * @throws InvalidArgumentError LimitError the result cannot be stored
   */
  async end(ending: Ending, ended: number, close: (() => Promise<void>) | undefined): Promise<RunRecord> {
    let parent = this.#record.parent !== undefined;
    for (;;) {
      await close?.();
      try {
        return await this.#end({ ending, ended, parent }, close !== undefined);
      } catch (error) {
        if (error instanceof Orphan) parent = false;
        // One that was on its way when the others were dealt with.
        else if (!(error instanceof Childful)) throw error;
      }
    }
  }

  async #end(
    how: { readonly ending: Ending; readonly ended: number; readonly parent: boolean },
    childless: boolean,
  ): Promise<RunRecord> {
    await using open = this.#host.engine.begin();
    const { tx } = open;
    this.guard(tx);
    this.#dropTimer(tx);
    const { parent } = this.#record;
    if (how.parent && parent) tx.check({ key: keys.run(parent.id), present: true }, { otherwise: () => new Orphan() });
    const children = { range: { prefix: ["child", this.#id] }, entries: [] };
    if (childless) tx.check(children, { otherwise: () => new Childful() });
    const record = how.ending.status === "open" ? { ...this.#record, attributes: this.#attributes } : this.#record;
    const after = writeEnding(tx, this.#id, record, this.#host, how);
    if (!(await open.commit())) throw new Lost();
    return after;
  }

  #writeBesides(tx: Transaction, { event, message, child, reply }: Answer): void {
    if (message !== undefined) tx.delete(keys.message(this.#id, message));
    if (child !== undefined) tx.delete(keys.child(this.#id, child));
    if (reply) tx.set(keys.reply(this.#id, reply.request), reply.reply, { ttl: updateTtl });
    if (event.kind === "attributes") writeAttributes(tx, this.#id, this.#attributes, event.value as Attributes);
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

  /** Makes a commit hold only for the owner of the run as it is here. */
  guard(tx: Transaction): void {
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
