import {
  encodeValue,
  hash32,
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
  ReadStreamOptions,
  RecordInput,
  Stream,
  StreamConsumer,
  StreamOptions,
  StreamRecord,
} from "./contract.ts";
import { offsetOf, StreamGroups } from "./groups.ts";
import { keys, partitionTopic, type StoredRecord, toRecord } from "./layout.ts";
import {
  assertFrom,
  checkAppend,
  checkRecord,
  type StreamSettings,
  text,
  toConsumeSettings,
  toStreamSettings,
  whole,
} from "./options.ts";
import { bytesOf, isBounded, trimPartition } from "./retention.ts";

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

interface Placed {
  readonly partition: number;
  readonly record: StoredRecord;
  offset: Offset | undefined;
}

class EngineStream<T> implements Stream<T> {
  readonly name: string;
  readonly groups: Groups;
  readonly #user: Engine;
  readonly #engine: Engine;
  readonly #settings: StreamSettings<T>;
  readonly #batcher: Batcher<Placed>;
  #ready: Promise<void> | undefined;
  #sticky = { partition: 0, left: 0 };
  #sinceTrim = 0;

  constructor(user: Engine, name: string, settings: StreamSettings<T>) {
    this.name = name;
    this.#user = user;
    this.#engine = user.scope("stream", name);
    this.#settings = settings;
    this.#batcher = new Batcher(user.limits, (placed) => this.#write(placed));
    this.groups = new StreamGroups(
      this.#engine,
      settings.partitions,
      (tx, records) => void this.#writeInto(tx, records),
    );
  }

  get partitions(): number {
    return this.#settings.partitions;
  }

  async append(value: T, options: AppendOptions = {}): Promise<AppendedRecord> {
    checkAppend(options);
    await this.#define();
    const { placed, bytes } = await this.#place({ ...options, value }, "value");
    if (options.tx) {
      const [appended] = this.#writeInto(this.#engine.join(options.tx), [placed]);
      return appended as AppendedRecord;
    }
    await this.#batcher.add(placed, bytes, options.signal);
    return { partition: placed.partition, offset: known(placed) };
  }

  async appendMany(
    records: readonly RecordInput<T>[],
    options: Pick<AppendOptions, "tx" | "signal"> = {},
  ): Promise<readonly AppendedRecord[]> {
    refuseUnknown(options, ["tx", "signal"]);
    if (!Array.isArray(records)) throw invalidArgument("records", records, "an array of { value, key?, headers? }");
    await this.#define();
    const all: { readonly record: Placed; readonly bytes: number }[] = [];
    for (const [i, record] of records.entries()) {
      refuseUnknown(record, ["value", "key", "headers"], `records[${i}]`);
      checkRecord(record, `records[${i}].`);
      const { placed, bytes } = await this.#place(record, `records[${i}].value`);
      all.push({ record: placed, bytes });
    }
    const placed = all.map(({ record }) => record);
    if (options.tx) return placed.length === 0 ? [] : this.#writeInto(this.#engine.join(options.tx), placed);
    throwIfAborted(options.signal);
    await this.#batcher.addAll(all, options.signal);
    return placed.map((each) => ({ partition: each.partition, offset: known(each) }));
  }

  consume(group: string, handler: BatchHandler<T>, options: ConsumeOptions = {}): StreamConsumer {
    text(group, "group");
    if (typeof handler !== "function") throw invalidArgument("handler", handler, "a function of a batch");
    const settings = toConsumeSettings(this.#user, options);
    const parts = {
      user: this.#user,
      engine: this.#engine,
      stream: this.name,
      group,
      handler,
      definition: this.#settings,
      settings,
    };
    return new GroupConsumer<T>(parts, () => this.#define());
  }

  async *read(options: ReadStreamOptions = {}): AsyncGenerator<StreamRecord<T>> {
    refuseUnknown(options, ["partition", "from", "live", "signal"]);
    const { partition, from = "start", live = false, signal } = options;
    assertFrom(from);
    if (partition !== undefined) whole(partition, "partition", 0, this.partitions - 1);
    if (live && partition === undefined && this.partitions > 1)
      throw invalidArgument("partition", partition, "one partition, as several are not live at once");
    await this.#define();
    const some = partition === undefined ? Array.from({ length: this.partitions }, (_, p) => p) : [partition];
    for (const each of some) yield* this.#readOne(each, from, live, signal);
  }

  async bounds(): Promise<readonly { readonly first: Offset; readonly next: Offset }[]> {
    const all = Array.from({ length: this.partitions }, (_, p) => this.#engine.log.bounds(partitionTopic(p)));
    return await Promise.all(all);
  }

  async trim(): Promise<void> {
    for (let partition = 0; partition < this.partitions; partition++)
      await trimPartition(this.#engine, partition, this.#settings.retention);
  }

  async *#readOne(
    partition: number,
    from: NonNullable<ReadStreamOptions["from"]>,
    live: boolean,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<StreamRecord<T>> {
    const options = signal ? { signal } : {};
    let at = await offsetOf(this.#engine, partition, from);
    const { schema } = this.#settings;
    const open = async (record: StreamRecord<unknown>): Promise<StreamRecord<T>> =>
      schema === undefined
        ? (record as StreamRecord<T>)
        : { ...record, value: await validate(schema, record.value, "record.value") };
    if (live) {
      for await (const records of this.#engine.log.tail(partitionTopic(partition), { from: at, ...options }))
        for (const record of records) yield await open(toRecord(partition, record));
      return;
    }
    const { next } = await this.#engine.log.bounds(partitionTopic(partition));
    while (at < next) {
      const records = await this.#engine.log.read(partitionTopic(partition), { from: at, ...options });
      const last = records.at(-1);
      if (last === undefined) return;
      for (const record of records) if (record.offset < next) yield await open(toRecord(partition, record));
      at = last.offset + 1;
    }
  }

  /** The number of partitions is the store's: whoever is first decides. */
  #define(): Promise<void> {
    this.#ready ??= this.#compare().catch((error) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #compare(): Promise<void> {
    const set = { set: keys.partitions, value: this.partitions };
    const present = await this.#engine.kv.get<number>(keys.partitions);
    if (present === undefined) {
      const checks = [{ key: keys.partitions, version: undefined }];
      if ((await this.#engine.kv.tryCommit({ checks, mutations: [set] })).ok) return;
    }
    const stored = (present ?? (await this.#engine.kv.get<number>(keys.partitions)))?.value;
    if (stored !== this.partitions)
      throw new InvalidStateError(
        `stream ${this.name} has ${stored} partitions, and this program was made for ${this.partitions}: give it partitions: ${stored}`,
        { details: { stream: this.name, partitions: stored } },
      );
  }

  async #place(
    { value, key, headers }: RecordInput<T>,
    name: string,
  ): Promise<{ readonly placed: Placed; readonly bytes: number }> {
    // What is kept is what was given; handlers get the schema's output.
    if (this.#settings.schema !== undefined) await validate(this.#settings.schema, value, name);
    const bytes = encodeValue(value, name).length;
    const most = this.#user.limits.valueBytes - recordOverhead;
    if (bytes > most) throw limitExceeded(name, bytes, most, "bytes encoded");
    const record: StoredRecord = headers ? [value, key ?? null, headers] : key !== undefined ? [value, key] : [value];
    return { placed: { partition: this.#partitionOf(key), record, offset: undefined }, bytes: bytes + 64 };
  }

  #partitionOf(key: string | undefined): number {
    if (key !== undefined) return hash32(key) % this.partitions;
    if (this.#sticky.left === 0) {
      this.#sticky = { partition: (this.#sticky.partition + 1) % this.partitions, left: stickyRecords };
    }
    this.#sticky.left--;
    return this.#sticky.partition;
  }

  async #write(placed: readonly Placed[]): Promise<void> {
    await using open = this.#engine.begin();
    const appended = this.#writeInto(open.tx, placed);
    await open.commit();
    for (const [i, each] of placed.entries()) each.offset = offsetIn(appended[i] as AppendedRecord);
    this.#sinceTrim += placed.length;
    if (this.#sinceTrim < trimEvery || !isBounded(this.#settings.retention)) return;
    this.#sinceTrim = 0;
    // Retention is not the business of whoever waits for this record.
    this.trim().catch(() => {});
  }

  #writeInto(tx: Transaction, placed: readonly Pick<Placed, "partition" | "record">[]): AppendedRecord[] {
    const counts = this.#settings.retention.bytes !== undefined;
    const appended: AppendedRecord[] = [];
    const partitions = Map.groupBy(placed.entries(), ([, { partition }]) => partition);
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

function known(placed: Placed): AfterCommit<Offset> {
  return {
    get value() {
      if (placed.offset !== undefined) return placed.offset;
      throw new InvalidStateError("the offset was lost with the connection; the record is appended");
    },
  };
}
