import {
  encodeValue,
  InvalidStateError,
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
import { bytesOf } from "./retention.ts";
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

/** A record on its way into the log. */
interface Pending {
  readonly record: StoredRecord;
  /** Where it is, once that is known. */
  partition: number;
  offset: Offset | undefined;
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
    const { pending, bytes } = await this.#prepare({ ...options, value }, "");
    if (options.tx) {
      const [appended] = await this.#joinInto(options.tx, [pending]);
      return appended as AppendedRecord;
    }
    await this.#batcher.add(pending, bytes, options.signal);
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
      const { pending, bytes } = await this.#prepare(record, `records[${i}].`);
      all.push({ record: pending, bytes });
    }
    const pending = all.map(({ record }) => record);
    if (options.tx) return pending.length === 0 ? [] : await this.#joinInto(options.tx, pending);
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

  async #prepare(
    { value, key, headers }: RecordInput<T>,
    path: string,
  ): Promise<{ readonly pending: Pending; readonly bytes: number }> {
    const { schema, compaction } = this.#settings;
    if (compaction && key === undefined)
      throw invalidArgument(`${path}key`, key, "a key, as the stream keeps the latest record of each");
    // What is kept is what was given; handlers get the schema's output.
    if (schema !== undefined) await validate(schema, value, `${path}value`);
    const bytes = encodeValue(value, `${path}value`).length;
    const most = this.#user.limits.valueBytes - recordOverhead;
    if (bytes > most) throw limitExceeded(`${path}value`, bytes, most, "bytes encoded");
    const record: StoredRecord = headers ? [value, key ?? null, headers] : key !== undefined ? [value, key] : [value];
    return { pending: toPending(record), bytes: bytes + 64 };
  }

  #place({ current }: Layouts, { record }: Pending): number {
    const [first, count] = current;
    const key = record[1] ?? undefined;
    if (key !== undefined) return partitionOfKey(current, key);
    if (this.#sticky.left === 0) this.#sticky = { index: this.#sticky.index + 1, left: stickyRecords };
    this.#sticky.left--;
    return first + (this.#sticky.index % count);
  }

  async #joinInto(tx: Transaction, pending: readonly Pending[]): Promise<AppendedRecord[]> {
    const layouts = await this.#book.get();
    return this.#writeInto(this.#engine.join(tx), pending, layouts, tx);
  }

  /** Again if the stream was laid out anew meanwhile. */
  async #write(pending: readonly Pending[]): Promise<void> {
    for (;;) {
      const layouts = await this.#book.get();
      await using open = this.#engine.begin();
      const appended = this.#writeInto(open.tx, pending, layouts);
      if (!(await open.commit())) continue;
      for (const [i, each] of pending.entries()) each.offset = offsetIn(appended[i] as AppendedRecord);
      break;
    }
    this.#sinceTrim += pending.length;
    if (this.#sinceTrim < trimEvery || !needsUpkeep(this.#settings)) return;
    this.#sinceTrim = 0;
    // What is to be forgotten is not the business of whoever waits for this record.
    this.trim().catch(() => {});
  }

  /** @param whole the transaction of which `tx` is a view */
  #writeInto(
    tx: Transaction,
    pending: readonly Pending[],
    layouts: Layouts,
    whole: Transaction = tx,
  ): AppendedRecord[] {
    this.#book.check(tx, layouts, whole);
    const counts = this.#settings.retention.bytes !== undefined;
    const appended: AppendedRecord[] = [];
    for (const each of pending) each.partition = this.#place(layouts, each);
    const partitions = Map.groupBy(pending.entries(), ([, { partition }]) => partition);
    for (const [partition, some] of partitions) {
      const records = some.map(([, { record }]) => record);
      const first = tx.append(partitionTopic(partition), records);
      if (counts)
        tx.add(
          keys.appended(partition),
          records.reduce((sum, record) => sum + bytesOf(record), 0),
        );
      for (const [n, [i]] of some.entries()) appended[i] = { partition, offset: after(first, n) };
    }
    return appended;
  }
}

function toPending(record: StoredRecord): Pending {
  return { record, partition: 0, offset: undefined };
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

function after(first: AfterCommit<Offset>, n: number): AfterCommit<Offset> {
  return {
    get value() {
      return first.value + n;
    },
  };
}

/** The offset, unless the answer that held it was lost. */
function offsetIn({ offset }: AppendedRecord): Offset | undefined {
  try {
    return offset.value;
  } catch {
    return undefined;
  }
}

function whereIs(pending: Pending): AppendedRecord {
  const offset = {
    get value() {
      if (pending.offset !== undefined) return pending.offset;
      throw new InvalidStateError("the offset was lost with the connection; the record is appended");
    },
  };
  return { partition: pending.partition, offset };
}
