import { CorruptionError, decodeInteger, equalBytes, toBinaryString } from "../../core/index.ts";
import type { Driver, LogDriver, RawBounds, RawEntry, RawReadOptions, RawRecord } from "../driver.ts";
import { rowBytes } from "./append-translation.ts";
import { describeRow, RecordPage, type Wanted } from "./log-records.ts";
import { decodeHead, endOfRow, type Head, readNewRow, type TopicKeys, topicKeys } from "./topic-keys.ts";

/** What of a topic is not packed yet, as of one instant. */
export interface Tail {
  readonly head: Head;
  /** 0: there is none yet. */
  readonly headRevision: number;
  readonly first: number;
  readonly count: number;
  /** Appends in the order of their offsets, the first one's being `head.base`. */
  readonly rows: readonly RawEntry[];
}

/** Reads topics that are kept in keys. */
export class TopicReader {
  readonly #driver: Driver;
  /** For each topic read lately, an offset below which everything is packed. */
  readonly #packed = new Map<string, number>();

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  async read(topic: Uint8Array, { signal, ...wanted }: Parameters<LogDriver["read"]>[1]): Promise<RawRecord[]> {
    const keys = topicKeys(topic);
    const name = toBinaryString(topic);
    const options = signal ? { signal } : {};
    const page = new RecordPage(wanted);
    for (let attempt = 0; ; attempt++) {
      const before = page.next;
      if (before >= (this.#packed.get(name) ?? 0)) {
        const tail = await this.tail(keys, options);
        this.#remember(name, tail.head.base);
        page.skipTo(tail.first);
        if (page.full || page.next >= tail.head.base) {
          addTail(page, tail);
          return page.records;
        }
      }
      await this.#addRows(page, keys, wanted, options);
      if (page.full) return page.records;
      if (page.next > before) attempt = 0;
      else if (attempt === attempts)
        throw new CorruptionError(
          `a topic of the log holds no record ${page.next}, though it was appended and not trimmed`,
        );
    }
  }

  async bounds(topic: Uint8Array): Promise<RawBounds> {
    const { first, count } = topicKeys(topic);
    const [firstEntry, countEntry] = await this.#driver.getMany([first, count], {});
    return { first: integerOf(firstEntry), next: integerOf(countEntry) };
  }

  async tail(keys: TopicKeys, options: RawReadOptions = {}): Promise<Tail> {
    const most = this.#driver.limits.listEntries;
    for (;;) {
      const entries = await this.#driver.list(keys.tail, { ...options, limit: most, reverse: false });
      const tail = entries.length < most ? toTail(entries, keys) : await this.#longTail(keys, options);
      if (tail) return tail;
    }
  }

  /**
   * A tail of more than one page. No snapshot spans pages, but all appends up to a revision known before are among them, unless somebody
   * packed meanwhile; that shows in the head, and then the answer is `undefined`.
   */
  async #longTail(keys: TopicKeys, options: RawReadOptions): Promise<Tail | undefined> {
    const most = this.#driver.limits.listEntries;
    const upTo = await this.#driver.revision();
    const entries: RawEntry[] = [];
    for (let { start, end } = keys.tail; ; ) {
      const page = await this.#driver.list({ start, end }, { ...options, limit: most, reverse: false });
      entries.push(...page);
      const last = page.at(-1);
      if (!last || page.length < most) break;
      start = keyAfter(last.key);
    }
    const tail = toTail(entries, keys);
    const [head] = await this.#driver.getMany([keys.head], options);
    if ((head?.revision ?? 0) !== tail.headRevision) return undefined;
    const rows = tail.rows.filter((row) => row.revision <= upTo);
    return {
      ...tail,
      rows,
      count: tail.head.base + rows.reduce((sum, row) => sum + describeRow(readNewRow(row.value).block).count, 0),
    };
  }

  /** Adds packed rows up to the end of them, or to where they do not go on because of a trim meanwhile. */
  async #addRows(page: RecordPage, keys: TopicKeys, { limit, bytes }: Wanted, options: RawReadOptions): Promise<void> {
    const size = Math.max(
      1,
      Math.min(this.#driver.limits.listEntries, limit, Math.ceil(bytes / rowBytes) + 1, mostRowsAtOnce),
    );
    for (;;) {
      const [[first], rows] = await Promise.all([
        this.#driver.getMany([keys.first], options),
        this.#driver.list(keys.rowsFrom(page.next), { ...options, limit: size, reverse: false }),
      ]);
      page.skipTo(integerOf(first));
      if (page.full) return;
      for (const row of rows) {
        const start = endOfRow(row.key) - describeRow(row.value).count;
        if (start > page.next) return;
        page.add(row.value, start);
        if (page.full) return;
      }
      if (rows.length < size) return;
    }
  }

  #remember(name: string, base: number): void {
    this.#packed.delete(name);
    this.#packed.set(name, base);
    if (this.#packed.size <= topicsRemembered) return;
    for (const oldest of this.#packed.keys()) {
      this.#packed.delete(oldest);
      break;
    }
  }
}

/** How often a read looks again for records that ought to be there; a trim in between explains one miss. */
const attempts = 3;
const mostRowsAtOnce = 64;
const topicsRemembered = 10_000;

function addTail(page: RecordPage, { head, rows }: Tail): void {
  let offset = head.base;
  let { time } = head;
  for (const row of rows) {
    if (page.full) return;
    const { block } = readNewRow(row.value);
    offset = page.add(block, offset, time);
    time = Math.max(time, describeRow(block).time);
  }
}

function toTail(entries: readonly RawEntry[], keys: TopicKeys): Tail {
  const rows: RawEntry[] = [];
  let count = 0;
  let first = 0;
  let headEntry: RawEntry | undefined;
  for (const entry of entries) {
    if (equalBytes(entry.key, keys.count)) count = integerOf(entry);
    else if (equalBytes(entry.key, keys.first)) first = integerOf(entry);
    else if (equalBytes(entry.key, keys.head)) headEntry = entry;
    else rows.push(entry);
  }
  // Stable: the rows of one append have one revision, and their keys are in order already.
  rows.sort((a, b) => a.revision - b.revision);
  const head = headEntry ? decodeHead(headEntry.value) : { base: 0, time: 0, name: keys.name };
  return { head, headRevision: headEntry?.revision ?? 0, first, count, rows };
}

function integerOf(entry: RawEntry | undefined): number {
  const value = entry ? decodeInteger(entry.value) : 0;
  if (value === undefined) throw new CorruptionError("a counter of a log topic holds something else than an integer");
  return value;
}

function keyAfter(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
