import { leasesOf } from "../../coordination/lease/index.ts";
import {
  ConflictError,
  fullJitter,
  InvalidStateError,
  isAshlarError,
  OutcomeUnknownError,
  sleep,
  throwIfAborted,
  withDeadline,
} from "../../core/index.ts";
import type { Committed, Refused, Transaction } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import type { Appended, DomainEvent } from "./contract.ts";
import { type Head, nowhere } from "./heads.ts";
import { countOf, idOf, isTombstone, keys, logTopic, type StoredRow } from "./layout.ts";
import { lastRowAfter, mutationsAfter, type Prepared } from "./recording.ts";
import type { Row, Streams } from "./streams.ts";

export interface AppendOrder {
  readonly stream: string;
  readonly prepared: Prepared;
  readonly expected: number | "any" | "exists";
  /** Milliseconds. */
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
}

/** Rows in which ids that come again are looked for where the expected version does not say where they would be. */
const lookBack = 100;

/** Appends to streams: without a transaction, or in someone else's. */
export class Appender<E extends DomainEvent> {
  readonly #name: string;
  readonly #streams: Streams<E>;

  constructor(name: string, streams: Streams<E>) {
    this.#name = name;
    this.#streams = streams;
  }

  /**
   * Each attempt is made after one version of the stream, and goes on being made after that one until the row there is known: it is ours, perhaps written by an attempt whose answer was
   * lost, or another's. So two of our own attempts never both take effect.
   */
  async append(order: AppendOrder): Promise<Appended> {
    const { runtime } = this.#streams.engine;
    using scope = withDeadline(runtime, {
      deadlineMs: order.deadline,
      name: "append",
      ...(order.signal && { signal: order.signal }),
    });
    const attempt = new Attempts<E>(this.#streams, order, scope.signal);
    for (let failures = 0; ; failures++) {
      try {
        const done = await attempt.next();
        if (done) return this.#tell(order, done);
        // Another was faster; the next attempt knows where the stream ends.
        if (failures < 3) continue;
      } catch (error) {
        const passing = isAshlarError(error) && (error.retryable || error.code === "OUTCOME_UNKNOWN");
        if (!passing || error.code === "CONFLICT" || error.code === "TIMEOUT") this.#throw(order, attempt, error);
        attempt.failed(error);
      }
      try {
        await sleep(runtime, fullJitter(runtime, failures, { base: 2, cap: 250 }), { signal: scope.signal });
      } catch (reason) {
        this.#throw(order, attempt, reason);
      }
    }
  }

  /** The transaction commits only if the stream still ends where it was found. */
  async appendIn(tx: Transaction, { stream, prepared, expected }: AppendOrder): Promise<Appended> {
    const { engine } = this.#streams;
    const joined = engine.join(tx);
    const end = await this.#streams.endIn(joined, stream);
    if (prepared.given) {
      const found = await this.#foundIn(joined, stream, prepared, expected);
      if (found !== undefined) {
        const { next } = await engine.log.bounds(logTopic, { signal: tx.signal });
        return { version: found, position: next - 1, duplicate: true };
      }
    }
    if (end.deleted) throw deleted(stream);
    if (!isExpected(end.version, expected)) throw this.#conflict(stream, expected, end.version);
    const time = await leasesOf(engine).now();
    let position = { value: 0 };
    for (const mutation of mutationsAfter(stream, end.version, prepared, time)) {
      if ("set" in mutation) joined.set(mutation.set, mutation.value);
      else if ("append" in mutation) position = joined.append(mutation.append, mutation.records);
    }
    const version = end.version + prepared.count;
    this.#announce(stream, version, prepared.count);
    return {
      version,
      get position() {
        return position.value + prepared.count - 1;
      },
    };
  }

  async #foundIn(
    joined: Transaction,
    stream: string,
    prepared: Prepared,
    expected: number | "any" | "exists",
  ): Promise<number | undefined> {
    if (typeof expected === "number") {
      const row = await joined.get<StoredRow>(keys.row(stream, expected + 1));
      return row && isOurs(row, prepared) ? expected + prepared.count : undefined;
    }
    const rows: Row[] = [];
    const options = { reverse: true, limit: lookBack };
    for await (const { key, value } of joined.list<StoredRow>({ prefix: keys.rows(stream) }, options))
      rows.push({ first: key[2] as number, row: value });
    return foundAmong(rows, prepared);
  }

  #tell(order: AppendOrder, done: Appended): Appended {
    if (!done.duplicate) this.#announce(order.stream, done.version, order.prepared.count);
    return done;
  }

  #announce(stream: string, version: number, events: number): void {
    if (channels.appended.hasSubscribers)
      channels.appended.publish({ store: this.#name, stream, version, events } satisfies channels.AppendedMessage);
  }

  #throw(order: AppendOrder, attempts: Attempts<E>, error: unknown): never {
    if (attempts.doubtful) {
      throw new OutcomeUnknownError(
        `whether events were appended to stream ${order.stream} is not known: repeat the append with the same ids and the same expected version`,
        { cause: attempts.doubtful, details: { stream: order.stream } },
      );
    }
    if (error instanceof VersionConflict) throw this.#conflict(order.stream, error.expected, error.actual);
    throw error;
  }

  #conflict(stream: string, expected: number | "any" | "exists", actual: number): ConflictError {
    if (channels.conflict.hasSubscribers)
      channels.conflict.publish({ store: this.#name, stream, expected, actual } satisfies channels.ConflictMessage);
    return versionConflict(stream, expected, actual);
  }
}

/** What one attempt leaves behind for the next. */
class Attempts<E extends DomainEvent> {
  readonly #streams: Streams<E>;
  readonly #order: AppendOrder;
  readonly #signal: AbortSignal;
  /** After which the attempt is made. */
  #base: Head | undefined;
  /** Whether an attempt after `#base` may have taken effect, or may yet. */
  #doubt: unknown;
  #lookedBack = false;

  constructor(streams: Streams<E>, order: AppendOrder, signal: AbortSignal) {
    this.#streams = streams;
    this.#order = order;
    this.#signal = signal;
  }

  get doubtful(): unknown {
    return this.#doubt;
  }

  failed(error: unknown): void {
    if (isAshlarError(error, "OUTCOME_UNKNOWN")) this.#doubt = error;
  }

  /** `undefined`: another was faster, and it is to be tried after what that one wrote. */
  async next(): Promise<Appended | undefined> {
    throwIfAborted(this.#signal);
    const { stream, prepared } = this.#order;
    if (prepared.given && !this.#lookedBack) {
      const found = await this.#lookBack();
      if (found) return found;
      this.#lookedBack = true;
    }
    let base: Head;
    try {
      base = this.#base ?? (await this.#findBase());
    } catch (error) {
      // An earlier append with these ids may have come in since they were looked for.
      const found = error instanceof VersionConflict && prepared.given ? await this.#lookBack() : undefined;
      if (found) return found;
      throw error;
    }
    this.#base = base;
    const outcome = await this.#commit(base);
    if (outcome.ok) {
      this.#doubt = undefined;
      const head = { version: base.version + prepared.count, row: lastRowAfter(base.version, prepared) };
      this.#streams.heads.set(stream, head);
      return { version: head.version, position: (outcome.offsets[0] as number) + prepared.count - 1 };
    }
    return await this.#refused(base);
  }

  async #commit(base: Head): Promise<Committed | Refused> {
    const { stream, prepared } = this.#order;
    const { engine } = this.#streams;
    const time = await leasesOf(engine).now();
    const free = { key: keys.row(stream, base.version + 1), version: undefined };
    const before =
      base.version === 0
        ? { key: keys.kept(stream), version: undefined }
        : ({ key: keys.row(stream, base.row), present: true } as const);
    // The row after it first, so that a refusal for want of the row before it is rare.
    const batch = { checks: [free, before], mutations: mutationsAfter(stream, base.version, prepared, time) };
    return await engine.kv.tryCommit(batch, { signal: this.#signal });
  }

  /** Where the stream ends has been found out, or is remembered; an expected version that is not there is a conflict. */
  async #findBase(): Promise<Head> {
    const { stream, expected } = this.#order;
    if (expected === 0) return nowhere;
    const known = this.#streams.heads.get(stream);
    if (known && (typeof expected !== "number" || known.version === expected)) return known;
    if (typeof expected === "number") {
      // Most rows hold one event, and a key is cheaper to read than the end of a range. The commit checks that it is the last.
      const row = await this.#streams.rowAfter(stream, expected - 1, this.#signal);
      if (row && !isTombstone(row) && countOf(row) === 1) return { version: expected, row: expected };
    }
    const end = await this.#streams.end(stream, this.#signal);
    if (end.deleted) throw deleted(stream);
    if (expected === "exists" && end.version === 0) throw new VersionConflict(expected, 0);
    if (typeof expected === "number" && end.version !== expected) throw new VersionConflict(expected, end.version);
    return end;
  }

  /** The row after the base is there, perhaps our own; or the base has been truncated. */
  async #refused(base: Head): Promise<Appended | undefined> {
    const { stream, prepared, expected } = this.#order;
    const row = await this.#streams.rowAfter(stream, base.version, this.#signal);
    if (row && isOurs(row, prepared)) return await this.#there(base.version + prepared.count, prepared.given);
    const end = await this.#streams.end(stream, this.#signal);
    // An own attempt that took effect and has been truncated since, with all that followed, cannot be told from another's.
    if (row || this.#doubt === undefined) this.#doubt = undefined;
    else throw this.#doubt;
    if (end.deleted) throw deleted(stream);
    if (typeof expected === "number") throw new VersionConflict(expected, end.version);
    this.#base = end;
    this.#lookedBack = false;
    return undefined;
  }

  async #lookBack(): Promise<Appended | undefined> {
    const { stream, prepared, expected } = this.#order;
    if (typeof expected === "number") {
      const known = this.#streams.heads.get(stream);
      // Nothing lies after what was the end when this process wrote it, unless the commit finds it.
      if (known?.version === expected || (expected === 0 && !known)) return undefined;
      const row = await this.#streams.rowAfter(stream, expected, this.#signal);
      return row && isOurs(row, prepared) ? await this.#there(expected + prepared.count, true) : undefined;
    }
    const version = foundAmong(await this.#streams.latest(stream, lookBack, this.#signal), prepared);
    return version === undefined ? undefined : await this.#there(version, true);
  }

  /** Our own append, whose answer was lost; if the ids were given, perhaps an earlier one. Until the answer is complete, it must not count as one that did not happen. */
  async #there(version: number, duplicate: boolean): Promise<Appended> {
    this.#doubt ??= new InvalidStateError("the events are there, and their position is not known yet");
    const position = await this.#latestPosition();
    this.#doubt = undefined;
    return { version, position, ...(duplicate && { duplicate: true as const }) };
  }

  async #latestPosition(): Promise<number> {
    return (await this.#streams.engine.log.bounds(logTopic, { signal: this.#signal })).next - 1;
  }
}

class VersionConflict extends Error {
  readonly expected: number | "exists";
  readonly actual: number;

  constructor(expected: number | "exists", actual: number) {
    super("the stream is at another version");
    this.expected = expected;
    this.actual = actual;
  }
}

function isOurs(row: StoredRow, { firstId }: Prepared): boolean {
  return !isTombstone(row) && idOf(row[1], 0) === firstId;
}

/** The version after the append whose first id is the same. */
function foundAmong(rows: readonly Row[], prepared: Prepared): number | undefined {
  for (const { first, row } of rows) {
    if (isTombstone(row)) continue;
    for (let i = 0; i < countOf(row); i++)
      if (idOf(row[1], i) === prepared.firstId) return first + i + prepared.count - 1;
  }
  return undefined;
}

export function isExpected(version: number, expected: number | "any" | "exists"): boolean {
  if (expected === "any") return true;
  return expected === "exists" ? version > 0 : version === expected;
}

export function versionConflict(stream: string, expected: number | "any" | "exists", actual: number): ConflictError {
  const wanted = expected === "exists" ? "to exist" : expected === 0 ? "not to exist" : `at version ${expected}`;
  return new ConflictError(
    `stream ${stream} was expected ${wanted} and ${actual === 0 ? "does not exist" : `is at version ${actual}`}: load it again and decide anew`,
    { details: { stream, expected, actual } },
  );
}

export function deleted(stream: string): InvalidStateError {
  return new InvalidStateError(`stream ${stream} has been deleted: nothing can be appended to it any more`, {
    details: { stream },
  });
}
