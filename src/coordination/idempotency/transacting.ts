import { isAshlarError, type Key, OutcomeUnknownError, withDeadline } from "../../core/index.ts";
import type { Engine, Transaction, TransactOptions } from "../../engine/index.ts";
import { patiently } from "../lease/index.ts";
import type { Answers } from "./answers.ts";
import { failed, recorded, refused, started } from "./channels.ts";
import type { Claims } from "./claims.ts";
import { createContext } from "./context.ts";
import type { Outcome, RunContext } from "./contract.ts";
import type { Call } from "./options.ts";
import { inProgress, Patience } from "./patience.ts";
import { type Answer, type Done, type InProgress, isAnswer, type KeyRecord } from "./record.ts";
import { prepare, read } from "./results.ts";

export type FnIn<T> = (tx: Transaction, context: RunContext) => T | Promise<T>;

/** What one look at the record inside a transaction leads to. */
type Turn<T> = { readonly outcome: Outcome<T> } | { readonly answer: Answer } | { readonly busy: InProgress };

/** Where a call stands. */
interface Site {
  readonly path: Key;
  readonly call: Call;
  /** The id of this call's record, if it comes to one. */
  readonly run: string;
}

/** What a function threw. */
interface Thrown {
  readonly error: unknown;
  readonly attempt: number;
  /** The one that the function was given. */
  readonly signal: AbortSignal;
}

/** Functions whose effect is on the engine: it commits together with the record. */
export class Transacting {
  readonly #engine: Engine;
  readonly #claims: Claims;
  readonly #answers: Answers;

  constructor(engine: Engine, claims: Claims, answers: Answers) {
    this.#engine = engine;
    this.#claims = claims;
    this.#answers = answers;
  }

  async transact<T>(path: Key, fn: FnIn<T>, call: Call, options: TransactOptions): Promise<Outcome<T>> {
    using patience = new Patience(this.#claims, path, call);
    const site: Site = { path, call, run: this.#claims.ids.next() };
    for (;;) {
      const turn = await this.#turn(site, fn, options);
      if ("answer" in turn) return await this.#answers.replay<T>(turn.answer, call);
      if ("outcome" in turn) {
        this.#answers.tell(recorded, { key: call.key, attempt: turn.outcome.attempt });
        return turn.outcome;
      }
      const { busy } = turn;
      await patience.wait(busy).catch((error: unknown) => {
        this.#answers.tell(refused, { key: call.key, attempt: busy.attempt, error });
        throw error;
      });
    }
  }

  async runIn<T>(tx: Transaction, path: Key, fn: FnIn<T>, call: Call): Promise<Outcome<T>> {
    const turn = await this.#look({ path, call, run: this.#claims.ids.next() }, tx, fn);
    if ("answer" in turn) return await this.#answers.replay<T>(turn.answer, call);
    if ("outcome" in turn) return turn.outcome;
    const error = await inProgress(this.#claims, call.key, turn.busy);
    this.#answers.tell(refused, { key: call.key, attempt: turn.busy.attempt, error });
    throw error;
  }

  /** One transaction. */
  async #turn<T>(site: Site, fn: FnIn<T>, options: TransactOptions): Promise<Turn<T>> {
    const { call } = site;
    let thrown: Thrown | undefined;
    const observed: FnIn<T> = async (tx, context) => {
      try {
        return await fn(tx, context);
      } catch (error) {
        thrown = { error, attempt: context.attempt, signal: tx.signal };
        throw error;
      }
    };
    try {
      return await this.#engine.transact((tx) => {
        thrown = undefined;
        return this.#look(site, tx, observed);
      }, options);
    } catch (error) {
      if (thrown && error === thrown.error) return await this.#failed(site, thrown);
      if (!isAshlarError(error, "OUTCOME_UNKNOWN") || call.signal?.aborted) throw error;
      return await this.#readBack(site, error);
    }
  }

  async #look<T>({ path, call, run }: Site, tx: Transaction, fn: FnIn<T>): Promise<Turn<T>> {
    const own = this.#claims.root.join(tx);
    const record = await own.get<KeyRecord>(path);
    this.#answers.compare(record, call);
    if (isAnswer(record)) return { answer: record };
    if (record?.state === "in-progress" && (await own.get(this.#claims.leases.keyOf(record.lease))) !== undefined)
      return { busy: record };
    const attempt = (record?.attempt ?? 0) + 1;
    const { key, retention, schema } = call;
    this.#answers.tell(started, { key, attempt, tookOver: record?.state === "in-progress" });
    const result = await fn(tx, createContext(path, key, attempt, tx.signal));
    const { stored, value } = await prepare(result, { maxResultBytes: this.#answers.settings.maxResultBytes, schema });
    const fingerprint = call.fingerprint ?? record?.fingerprint;
    const done: Done = {
      state: "done",
      run,
      attempt,
      ...(fingerprint !== undefined && { fingerprint }),
      ...(stored !== undefined && { result: stored }),
    };
    own.set(path, done, { ttl: retention });
    return { outcome: { value: value as T, replayed: false, attempt } };
  }

  /** The function has thrown, and its writes are undone. If the error is final, it becomes the answer, unless there is another by now. */
  async #failed<T>({ path, call, run }: Site, { error, attempt, signal: told }: Thrown): Promise<Turn<T>> {
    const { key, signal } = call;
    if (!this.#answers.isFinal(error, { key, attempt }, told)) {
      this.#answers.tell(failed, { key, attempt, error });
      throw error;
    }
    const present = await this.#claims.root
      .transact((tx) => this.#recordError({ path, call, run }, tx, error, attempt), signal ? { signal } : {})
      .catch((unrecorded: unknown) => {
        if (signal?.aborted) throw signal.reason;
        if (isAshlarError(unrecorded, "FINGERPRINT_MISMATCH")) throw unrecorded;
        // Told now, it would be an answer that the next caller might not get.
        throw new OutcomeUnknownError(
          `${JSON.stringify(key)}: the function failed for good, which could not be recorded; nothing else happened; call again with the same key for the answer`,
          { cause: new AggregateError([error, unrecorded]), details: { key } },
        );
      });
    if (present?.state === "in-progress") return { busy: present };
    if (isAnswer(present) && present.run !== run) return { answer: present };
    this.#answers.tell(recorded, { key, attempt, error });
    throw error;
  }

  /** Resolves with what stands in the way of recording the error, if anything does. */
  async #recordError(
    { path, call, run }: Site,
    tx: Transaction,
    error: unknown,
    attempt: number,
  ): Promise<Answer | InProgress | undefined> {
    const present = await tx.get<KeyRecord>(path);
    this.#answers.compare(present, call);
    if (isAnswer(present)) return present;
    if (present?.state === "in-progress" && (await tx.get(this.#claims.leases.keyOf(present.lease))) !== undefined)
      return present;
    const fingerprint = call.fingerprint ?? present?.fingerprint;
    const record = { run, attempt, ...(fingerprint !== undefined && { fingerprint }) };
    tx.set(path, this.#answers.failed(error, record), { ttl: call.retention });
    return undefined;
  }

  /** The answer to the commit was lost. The record went with it, so if it is there, all is. */
  async #readBack<T>({ path, call, run }: Site, unknown: unknown): Promise<Turn<T>> {
    const { root } = this.#claims;
    using limit = withDeadline(root.runtime, { deadlineMs: graceMs, signal: call.signal, name: "transact" });
    const seen = await patiently(root, () => this.#claims.read(path, limit.signal), limit.signal).catch(
      () => undefined,
    );
    const record = seen?.record;
    if (isAnswer(record)) {
      if (record.run !== run || record.state !== "done") return { answer: record };
      const { attempt, result } = record;
      return { outcome: { value: (await read(result, call.schema)) as T, replayed: false, attempt } };
    }
    throw new OutcomeUnknownError(
      `${JSON.stringify(call.key)}: the answer to the commit was lost, and its record is not there (yet); call again with the same key for the answer`,
      { cause: unknown, details: { key: call.key } },
    );
  }
}

const graceMs = 1000;
