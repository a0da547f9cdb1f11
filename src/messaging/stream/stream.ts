import {
  Encoded,
  encodeValue,
  invalidArgument,
  limitExceeded,
  refuseUnknown,
  throwIfAborted,
  validate,
} from "../../core/index.ts";
import type { AfterCommit, Engine, Offset, Transaction } from "../../engine/index.ts";
import { Batcher } from "../queue/index.ts";
import { GroupConsumer } from "./consumer.ts";
import type {
  AppendedRecord,
  AppendOptions,
  BatchHandler,
  ConsumeOptions,
  Groups,
  PartitionInfo,
  ReadStreamOptions,
  RecordInput,
  Stream,
  StreamConsumer,
  StreamOptions,
  StreamRecord,
} from "./contract.ts";
import { StreamGroups } from "./groups.ts";
import { keys, type Layout, partitionTopic, type StoredRecord, toRecord } from "./layout.ts";
import { isSealed, LayoutBook, type Layouts, partitionOfKey, partitionsOf } from "./layouts.ts";
import { type Page, readLive, readToEnd } from "./live.ts";
import {
  assertFrom,
  checkAppend,
  checkRecord,
  mostPartitions,
  type StreamSettings,
  text,
  toConsumeSettings,
  toStreamSettings,
  whole,
} from "./options.ts";
import { boundsOf, offsetOf } from "./reading.ts";
import { needsUpkeep, retireLayouts, tidyPartition } from "./upkeep.ts";

/** Records without a key go to one partition for so long: full commits, few topics each. */
const stickyRecords = 64;
/** What a record holds besides its value. */
const recordOverhead = 10 * 1024;
/** An appender looks after the retention once in so many records. */
const trimEvery = 10_000;

/**
 * A stream of records, kept on the engine under this name.
 * @param name 1 to 200 characters
 * @throws InvalidArgumentError an option is wrong
 */
export function createStream<T = unknown>(engine: Engine, name: string, options: StreamOptions<T> = {}): Stream<T> {
  text(name, "name");
  return new EngineStream<T>(engine, name, toStreamSettings(options));
}

/** A record on its way into the log. Encoded once: for its size, and for the commit. */
interface Pending {
  readonly key: string | undefined;
  readonly encoded: Encoded;
  /** Where it is, once that is decided. */
  partition: number;
  /** The first of its partition in its commit, and how many come between. */
  first: AfterCommit<Offset> | undefined;
  after: number;
}

class EngineStream<T> implements Stream<T> {
  readonly name: string;
  readonly groups: Groups;
  readonly #user: Engine;
  readonly #engine: Engine;
  readonly #settings: StreamSettings<T>;
  readonly #book: LayoutBook;
  readonly #batcher: Batcher<Pending>;
  #sticky = { index: 0, left: 0 };
  #sinceTrim = 0;

  constructor(user: Engine, name: string, settings: StreamSettings<T>) {
    this.name = name;
    this.#user = user;
    this.#engine = user.scope("stream", name);
    this.#settings = settings;
    this.#book = new LayoutBook(this.#engine, name, settings.partitions);
    this.#batcher = new Batcher(user.limits, (pending) => this.#write(pending));
    this.groups = new StreamGroups(this.#engine, this.#book, async (tx, records) => {
      this.#writeInto(tx, records.map(toPending), await this.#book.get());
    });
  }

  async append(value: T, options: AppendOptions = {}): Promise<AppendedRecord> {
    checkAppend(options);
    if (this.#settings.schema !== undefined) await validate(this.#settings.schema, value, "value");
    const pending = this.#prepare(value, options, "");
    if (options.tx) return whereIs((await this.#joinInto(options.tx, [pending]))[0] as Pending);
    await this.#batcher.add(pending, weight(pending), options.signal);
    return whereIs(pending);
  }

  async appendMany(
    records: readonly RecordInput<T>[],
    options: Pick<AppendOptions, "tx" | "signal"> = {},
  ): Promise<readonly AppendedRecord[]> {
    refuseUnknown(options, ["tx", "signal"]);
    if (!Array.isArray(records)) throw invalidArgument("records", records, "an array of { value, key?, headers? }");
    const all: { readonly record: Pending; readonly bytes: number }[] = [];
    for (const [i, record] of records.entries()) {
      refuseUnknown(record, ["value", "key", "headers"], `records[${i}]`);
      checkRecord(record, `records[${i}].`);
      if (this.#settings.schema !== undefined)
        await validate(this.#settings.schema, record.value, `records[${i}].value`);
      const pending = this.#prepare(record.value, record, `records[${i}].`);
      all.push({ record: pending, bytes: weight(pending) });
    }
    const pending = all.map(({ record }) => record);
    if (options.tx) return pending.length === 0 ? [] : (await this.#joinInto(options.tx, pending)).map(whereIs);
    throwIfAborted(options.signal);
    await this.#batcher.addAll(all, options.signal);
    return pending.map(whereIs);
  }

  consume(group: string, handler: BatchHandler<T>, options: ConsumeOptions = {}): StreamConsumer {
    text(group, "group");
    if (typeof handler !== "function") throw invalidArgument("handler", handler, "a function of a batch");
    const settings = toConsumeSettings(this.#user, options);
    const parts = {
      user: this.#user,
      engine: this.#engine,
      book: this.#book,
      stream: this.name,
      group,
      handler,
      definition: this.#settings,
      settings,
    };
    return new GroupConsumer<T>(parts);
  }

  async *read(options: ReadStreamOptions = {}): AsyncGenerator<StreamRecord<T>> {
    refuseUnknown(options, ["partition", "from", "live", "signal"]);
    const { partition, from = "start", live = false, signal } = options;
    assertFrom(from);
    const { all } = await this.#book.read();
    if (partition !== undefined) assertPartition(partition, all);
    const start = (each: number) => offsetOf(this.#engine, each, from);
    if (live) {
      for await (const page of readLive(this.#engine, this.#book, partition, start, signal)) yield* this.#open(page);
      return;
    }
    for (const each of partition === undefined ? partitionsOf(...all) : [partition])
      for await (const page of readToEnd(this.#engine, each, await start(each), signal)) yield* this.#open(page);
  }

  async partitions(): Promise<readonly PartitionInfo[]> {
    const layouts = await this.#book.read();
    return await Promise.all(
      partitionsOf(...layouts.all).map(async (partition) => {
        const bounds = await boundsOf(this.#engine, partition);
        return { partition, ...bounds, sealed: isSealed(layouts, partition) };
      }),
    );
  }

  async repartition(partitions: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    refuseUnknown(options, ["signal"]);
    await this.#book.extend(whole(partitions, "partitions", 1, mostPartitions), options);
  }

  async trim(): Promise<void> {
    const layouts = await this.#book.read();
    for (const partition of partitionsOf(...layouts.all))
      await tidyPartition(this.#engine, layouts, partition, this.#settings);
    await retireLayouts(this.#engine, this.#book);
  }

  async *#open({ partition, records }: Page): AsyncGenerator<StreamRecord<T>> {
    const { schema } = this.#settings;
    for (const each of records) {
      const record = toRecord(partition, each);
      yield schema === undefined
        ? (record as StreamRecord<T>)
        : { ...record, value: await validate(schema, record.value, "record.value") };
    }
  }

  /** What is kept is what was given; handlers get the schema's output. */
  #prepare(value: unknown, { key, headers }: Pick<AppendOptions, "key" | "headers">, path: string): Pending {
    if (this.#settings.compaction && key === undefined)
      throw invalidArgument(`${path}key`, key, "a key, as the stream keeps the latest record of each");
    const record: StoredRecord = headers ? [value, key ?? null, headers] : key !== undefined ? [value, key] : [value];
    let pending: Pending;
    try {
      pending = toPending(record);
    } catch (error) {
      // What is wrong is named by its path in the value.
      encodeValue(value, `${path}value`);
      throw error;
    }
    const bytes = pending.encoded.bytes.length;
    const most = this.#user.limits.valueBytes - recordOverhead;
    if (bytes > most) throw limitExceeded(`${path}value`, bytes, most, "bytes encoded, with key and headers");
    return pending;
  }

  #place({ current }: Layouts, { key }: Pending): number {
    const [first, count] = current;
    if (key !== undefined) return partitionOfKey(current, key);
    if (this.#sticky.left === 0) this.#sticky = { index: this.#sticky.index + 1, left: stickyRecords };
    this.#sticky.left--;
    return first + (this.#sticky.index % count);
  }

  async #joinInto(tx: Transaction, pending: readonly Pending[]): Promise<readonly Pending[]> {
    const layouts = await this.#book.get();
    this.#writeInto(this.#engine.join(tx), pending, layouts, tx);
    return pending;
  }

  /** Again if the stream was laid out anew meanwhile. */
  async #write(pending: readonly Pending[]): Promise<void> {
    for (;;) {
      const layouts = await this.#book.get();
      await using open = this.#engine.begin();
      this.#writeInto(open.tx, pending, layouts);
      if (await open.commit()) break;
    }
    this.#sinceTrim += pending.length;
    if (this.#sinceTrim < trimEvery || !needsUpkeep(this.#settings)) return;
    this.#sinceTrim = 0;
    // What is to be forgotten is not the business of whoever waits for this record.
    this.trim().catch(() => {});
  }

  /** @param whole the transaction of which `tx` is a view */
  #writeInto(tx: Transaction, pending: readonly Pending[], layouts: Layouts, whole: Transaction = tx): void {
    this.#book.check(tx, layouts, whole);
    const partitions = new Map<number, Pending[]>();
    for (const each of pending) {
      each.partition = this.#place(layouts, each);
      const some = partitions.get(each.partition);
      if (some) {
        each.after = some.length;
        some.push(each);
      } else {
        each.after = 0;
        partitions.set(each.partition, [each]);
      }
    }
    for (const [partition, some] of partitions) {
      const first = tx.append(
        partitionTopic(partition),
        some.map(({ encoded }) => encoded),
      );
      for (const each of some) each.first = first;
      if (this.#settings.retention.bytes === undefined) continue;
      const bytes = some.reduce((sum, { encoded }) => sum + encoded.bytes.length, 0);
      tx.add(keys.appended(partition), bytes);
    }
  }
}

function toPending(record: StoredRecord): Pending {
  return { key: record[1] ?? undefined, encoded: new Encoded(record), partition: 0, first: undefined, after: 0 };
}

/** What it counts for while it waits. */
function weight({ encoded }: Pending): number {
  return encoded.bytes.length + 64;
}

function whereIs({ partition, first, after }: Pending): AppendedRecord {
  return { partition, offset: new OffsetAfter(first as AfterCommit<Offset>, after) };
}

/** The offset of a record that others of its commit come before. */
class OffsetAfter implements AfterCommit<Offset> {
  readonly #first: AfterCommit<Offset>;
  readonly #after: number;

  constructor(first: AfterCommit<Offset>, after: number) {
    this.#first = first;
    this.#after = after;
  }

  get value(): Offset {
    return this.#first.value + this.#after;
  }
}

function assertPartition(partition: number, all: readonly Layout[]): void {
  const partitions = partitionsOf(...all);
  if (!partitions.includes(partition))
    throw invalidArgument(
      "partition",
      partition,
      `a partition of the stream: ${partitions[0]} to ${partitions.at(-1)}`,
    );
}
