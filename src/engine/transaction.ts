import {
  type ByteRange,
  ConflictError,
  compareBytes,
  decodeInteger,
  encodeInteger,
  InvalidStateError,
  limitExceeded,
  throwIfAborted,
  toBinaryString,
  UnsupportedError,
} from "../core/index.ts";
import type { Sql } from "./contract.ts";
import type {
  Driver,
  RawAdd,
  RawAppend,
  RawCheck,
  RawCommit,
  RawCommitted,
  RawDelete,
  RawEntry,
  RawOutcome,
  RawRangeCheck,
  RawSet,
  SqlSession,
} from "./driver.ts";
import { CommitBuilder } from "./encode-batch.ts";
import { successor } from "./watcher.ts";

/**
 * One attempt of a transaction, in bytes: what it has read (its checks) and what it will write.
 *
 * Invariant: every answer that the function got from the store is either in `#reads` or in `#ranges`, so the commit holds only if each of
 * them would be given again at the instant of the commit.
 */
export class Attempt {
  readonly #driver: Driver;
  readonly #signal: AbortSignal;
  readonly #reads = new Map<string, { readonly key: Uint8Array; readonly entry: RawEntry | undefined }>();
  readonly #ranges: RangeRead[] = [];
  readonly #writes = new Map<string, Write>();
  readonly #appends = new Map<string, Append>();
  /** Checks that the function asked for by itself. They come first in the commit. */
  readonly #checks: { readonly check: RawCheck; readonly otherwise: (() => Error | undefined) | undefined }[] = [];
  readonly #results: Result[] = [];
  #session: Promise<SqlSession> | undefined;
  #ended = false;

  constructor(driver: Driver, signal: AbortSignal) {
    this.#driver = driver;
    this.#signal = signal;
  }

  /** Whether there is nothing that a commit could check or change. */
  get isTrivial(): boolean {
    if (this.#writes.size > 0 || this.#appends.size > 0 || this.#checks.length > 0 || this.#session) return false;
    // One read is one snapshot by itself.
    return this.#reads.size + this.#ranges.length <= 1 && (this.#ranges[0]?.pages ?? 1) <= 1;
  }

  /** Whether anything was read, checked or written. */
  get touched(): boolean {
    return !this.isTrivial || this.#reads.size + this.#ranges.length > 0;
  }

  get hasSession(): boolean {
    return this.#session !== undefined;
  }

  belongsTo(driver: Driver): boolean {
    return this.#driver === driver;
  }

  get isActive(): boolean {
    return !this.#ended;
  }

  end(): void {
    this.#ended = true;
  }

  assertActive(): void {
    if (this.#ended)
      throw new InvalidStateError(
        "the transaction has ended; use `tx` only inside its function, and await all that uses it",
      );
  }

  /** The values of the keys as this transaction sees them. */
  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.assertActive();
    throwIfAborted(this.#signal);
    const missing = new Map<string, Uint8Array>();
    for (const key of keys) {
      const name = toBinaryString(key);
      if (this.#reads.has(name)) continue;
      const write = this.#writes.get(name);
      if (write === undefined || write.kind === "add") missing.set(name, key);
    }
    if (missing.size > 0) {
      const wanted = [...missing.values()];
      const entries = await this.#driver.getMany(wanted, { signal: this.#signal });
      this.assertActive();
      for (let i = 0; i < wanted.length; i++) this.#remember(wanted[i] as Uint8Array, entries[i]);
    }
    return keys.map((key) => this.#valueOf(toBinaryString(key)));
  }

  /** The entries of the range as this transaction sees them, in pages. */
  async *list(
    range: ByteRange,
    limit: number,
    reverse: boolean,
  ): AsyncGenerator<{ key: Uint8Array; value: Uint8Array }> {
    this.assertActive();
    throwIfAborted(this.#signal);
    const read: RangeRead = {
      start: reverse ? range.end : range.start,
      end: reverse ? range.end : range.start,
      keys: [],
      revisions: [],
      pages: 0,
    };
    this.#ranges.push(read);
    let { start, end } = range;
    let left = limit;
    while (left > 0 && compareBytes(start, end) < 0) {
      const size = Math.min(left + this.#writes.size, this.#driver.limits.listEntries);
      const page = await this.#driver.list({ start, end }, { limit: size, reverse, signal: this.#signal });
      this.assertActive();
      const last = page.length < size ? undefined : page.at(-1)?.key;
      const covered = coveredBy({ start, end }, last, reverse);
      this.#rememberRange(read, page, covered, reverse);
      for (const item of this.#overlay(page, covered, reverse)) {
        yield item;
        this.assertActive();
        if (--left === 0) return;
      }
      if (reverse) end = covered.start;
      else start = covered.end;
    }
  }

  check(check: RawCheck, otherwise: (() => Error | undefined) | undefined): void {
    this.assertActive();
    this.#checks.push({ check, otherwise });
  }

  /** The error with which the transaction is to end because this check of its commit did not hold; `undefined`: an ordinary conflict. */
  finalError(check: number): Error | undefined {
    return this.#checks[check]?.otherwise?.();
  }

  set(mutation: RawSet | RawDelete): void {
    this.assertActive();
    this.#writes.set(toBinaryString(mutation.key), mutation);
  }

  add(mutation: RawAdd): Result {
    this.assertActive();
    const name = toBinaryString(mutation.key);
    const before = this.#writes.get(name);
    const result = this.#result("sum");
    if (before === undefined) {
      this.#writes.set(name, { ...mutation, results: [{ result, after: 0 }] });
      return result;
    }
    if (before.kind === "add") {
      if (!canJoin(before, mutation)) {
        throw new InvalidStateError(
          "a key with bounds can be added to once in a transaction, unless all that is added is positive and below the same ceiling; add the deltas up before",
        );
      }
      // Each earlier result lies below the final sum by what was added after it.
      const results = before.results.map(({ result: earlier, after }) => ({
        result: earlier,
        after: after + mutation.delta,
      }));
      this.#writes.set(name, {
        ...before,
        delta: before.delta + mutation.delta,
        ttl: mutation.ttl ?? before.ttl,
        results: [...results, { result, after: 0 }],
      });
      return result;
    }
    this.#addToOwn(name, before, mutation, result);
    return result;
  }

  append(mutation: RawAppend): Result {
    this.assertActive();
    const name = toBinaryString(mutation.topic);
    const result = this.#result("offset");
    const before = this.#appends.get(name);
    if (before) {
      before.results.push({ result, after: before.records.length });
      before.records.push(...mutation.records);
    } else {
      this.#appends.set(name, {
        kind: "append",
        topic: mutation.topic,
        records: [...mutation.records],
        results: [{ result, after: 0 }],
      });
    }
    return result;
  }

  get sql(): Sql {
    this.assertActive();
    return {
      run: async (text, parameters) => (await this.session()).sql.run(text, parameters),
      all: async (text, parameters) => (await this.session()).sql.all(text, parameters),
    };
  }

  session(): Promise<SqlSession> {
    this.assertActive();
    if (!this.#driver.openSql)
      throw new UnsupportedError(`the ${this.#driver.name} engine has no SQL; use sqlite: or postgres:`);
    this.#session ??= this.#driver.openSql({ signal: this.#signal });
    return this.#session;
  }

  /** Commits the SQL transaction with everything else in it. */
  async commitInSession(commit: RawCommit): Promise<RawOutcome> {
    const session = await (this.#session as Promise<SqlSession>);
    const outcome = await session.apply(commit);
    if (outcome.ok) {
      await session.commit();
      this.#session = undefined;
    }
    return outcome;
  }

  /** Undoes the SQL transaction; what went wrong before matters more than an error here. */
  async rollback(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.then((open) => open.rollback()).catch(() => {});
  }

  /** Uses the SQL transaction that the caller has already begun. */
  adopt(session: SqlSession): void {
    this.#session = Promise.resolve(session);
  }

  /** Everything read and written, as one commit. */
  toCommit(): RawCommit {
    const builder = new CommitBuilder(this.#driver.limits);
    for (const { check } of this.#checks) builder.check(check);
    for (const { key, entry } of this.#reads.values())
      builder.check({ kind: "key", key, revision: entry?.revision ?? 0 });
    for (const read of this.#ranges) if (compareBytes(read.start, read.end) < 0) builder.check(toRangeCheck(read));
    for (const write of this.#writes.values()) builder.mutate(write, "transaction");
    for (const append of this.#appends.values()) builder.mutate(append, "transaction");
    return builder.finish();
  }

  /** Fills the results of adds and appends. */
  settle(committed: RawCommitted | undefined): void {
    if (!committed) {
      for (const result of this.#results) result.lost = true;
      return;
    }
    for (const result of this.#results) result.number = result.own;
    let sum = 0;
    for (const write of this.#writes.values()) {
      if (write.kind !== "add") continue;
      const value = committed.adds[sum++]?.value as number;
      for (const { result, after } of write.results) result.number = value - after;
    }
    let offset = 0;
    for (const append of this.#appends.values()) {
      const first = committed.offsets[offset++] as number;
      for (const { result, after } of append.results) result.number = first + after;
    }
  }

  #result(what: Result["what"]): Result {
    const result: Result = { what, number: undefined, own: undefined, lost: false };
    this.#results.push(result);
    return result;
  }

  #remember(key: Uint8Array, entry: RawEntry | undefined): void {
    const name = toBinaryString(key);
    const before = this.#reads.get(name);
    if (before === undefined) this.#reads.set(name, { key, entry });
    else if (before.entry?.revision !== entry?.revision) throw changedMeanwhile();
  }

  #valueOf(name: string): Uint8Array | undefined {
    const write = this.#writes.get(name);
    const stored = this.#reads.get(name)?.entry?.value;
    if (write === undefined) return stored;
    if (write.kind === "set") return write.value;
    if (write.kind === "delete") return undefined;
    return encodeInteger(this.#previewAdd(stored, write));
  }

  /** The sum that a buffered add will have if the value read before is still there at the commit. */
  #previewAdd(stored: Uint8Array | undefined, add: RawAdd): number {
    if (add.floor?.clock === "ms" || add.floor?.clock === "us" || (add.ceiling && add.ceiling.clock !== "none")) {
      throw new InvalidStateError(
        "a sum with bounds on the engine's clock is known only after the commit; read the key in a later transaction",
      );
    }
    const present = stored === undefined ? 0 : decodeInteger(stored);
    if (present === undefined) throw new InvalidStateError("add: the present value is not an integer");
    const value = Math.max(present, add.floor?.plus ?? present) + add.delta;
    if (!Number.isSafeInteger(value)) throw new InvalidStateError(`add: the sum ${value} is no safe integer`);
    if (add.ceiling && value > add.ceiling.plus) {
      throw new ConflictError(`add: the sum ${value} would pass its ceiling ${add.ceiling.plus}`, {
        details: { reason: "ceiling", value, ceiling: add.ceiling.plus },
      });
    }
    return value;
  }

  /** An add onto what this transaction itself has set or deleted is a set. */
  #addToOwn(name: string, before: Exclude<Write, { kind: "add" }>, mutation: RawAdd, result: Result): void {
    const value = this.#previewAdd(before.kind === "set" ? before.value : undefined, mutation);
    result.own = value;
    const ttl = mutation.ttl ?? (before.kind === "set" ? before.ttl : undefined);
    this.#writes.set(name, { kind: "set", key: before.key, value: encodeInteger(value), ttl });
  }

  #rememberRange(read: RangeRead, page: readonly RawEntry[], covered: ByteRange, reverse: boolean): void {
    for (const entry of page) {
      const before = this.#reads.get(toBinaryString(entry.key));
      if (before && before.entry?.revision !== entry.revision) throw changedMeanwhile();
    }
    const inOrder = reverse ? page.toReversed() : page;
    const keys = inOrder.map((entry) => entry.key);
    const revisions = inOrder.map((entry) => entry.revision);
    if (reverse) {
      read.start = covered.start;
      read.keys.unshift(...keys);
      read.revisions.unshift(...revisions);
    } else {
      read.end = covered.end;
      read.keys.push(...keys);
      read.revisions.push(...revisions);
    }
    read.pages++;
    if (read.keys.length > this.#driver.limits.operations) {
      throw limitExceeded("a range read in a transaction", read.keys.length, this.#driver.limits.operations, "entries");
    }
  }

  /** The page with this transaction's own writes laid over it. */
  #overlay(page: readonly RawEntry[], covered: ByteRange, reverse: boolean): { key: Uint8Array; value: Uint8Array }[] {
    const own: { key: Uint8Array; value: Uint8Array | undefined }[] = [];
    const stored = new Map(page.map((entry) => [toBinaryString(entry.key), entry.value]));
    for (const [name, write] of this.#writes) {
      if (compareBytes(write.key, covered.start) < 0 || compareBytes(write.key, covered.end) >= 0) continue;
      const value =
        write.kind === "set"
          ? write.value
          : write.kind === "add"
            ? encodeInteger(this.#previewAdd(stored.get(name), write))
            : undefined;
      own.push({ key: write.key, value });
    }
    if (own.length === 0) return page as RawEntry[];
    const replaced = new Set(own.map(({ key }) => toBinaryString(key)));
    const merged = [...page.filter((entry) => !replaced.has(toBinaryString(entry.key))), ...own.filter(hasValue)];
    merged.sort((a, b) => (reverse ? compareBytes(b.key, a.key) : compareBytes(a.key, b.key)));
    return merged;
  }
}

/** Whether two adds mean the same as one of their sum: without bounds, or when counting up to one ceiling. */
function canJoin(one: RawAdd, other: RawAdd): boolean {
  if (one.floor !== undefined || other.floor !== undefined) return false;
  const { ceiling } = one;
  if (ceiling === undefined || other.ceiling === undefined) return ceiling === other.ceiling;
  const same = ceiling.clock === other.ceiling.clock && ceiling.plus === other.ceiling.plus;
  return same && one.delta >= 0 && other.delta >= 0;
}

/** The result of an add or an append, known after the commit. */
export interface Result {
  readonly what: "sum" | "offset";
  number: number | undefined;
  /** The number if this transaction's own writes decide it. */
  own: number | undefined;
  /** The commit took place, but its answer was lost. */
  lost: boolean;
}

type Pending = { readonly result: Result; readonly after: number }[];
type Write = RawSet | RawDelete | (RawAdd & { readonly results: Pending });
interface Append {
  readonly kind: "append";
  readonly topic: Uint8Array;
  readonly records: Uint8Array[];
  readonly results: Pending;
}

/** The part of a range that has been read so far. */
interface RangeRead {
  start: Uint8Array;
  end: Uint8Array;
  readonly keys: Uint8Array[];
  readonly revisions: number[];
  pages: number;
}

function toRangeCheck({ start, end, keys, revisions }: RangeRead): RawRangeCheck {
  return { kind: "range", start, end, keys, revisions };
}

/** What a page says of its range: all of it if it was not full, else up to and including its last key. */
function coveredBy(range: ByteRange, last: Uint8Array | undefined, reverse: boolean): ByteRange {
  if (last === undefined) return range;
  return reverse ? { start: last, end: range.end } : { start: range.start, end: successor(last) };
}

function hasValue(item: {
  key: Uint8Array;
  value: Uint8Array | undefined;
}): item is { key: Uint8Array; value: Uint8Array } {
  return item.value !== undefined;
}

/** Two reads of one attempt disagree, so the attempt cannot commit: better to stop it at once. */
function changedMeanwhile(): ConflictError {
  return new ConflictError("an entry changed between two reads of the transaction", { details: { reason: "reread" } });
}
