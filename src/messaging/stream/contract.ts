import type { Duration, StandardSchema } from "../../core/index.ts";
import type { AfterCommit, Offset, Transaction } from "../../engine/index.ts";

/** Records in partitions, consumed in order by groups. */
export interface Stream<T> {
  readonly name: string;

  /**
   * Appends a record. When it resolves, the record is durable; without `tx`, appends of the same moment share commits.
   * @throws InvalidArgumentError the value cannot be stored or does not satisfy the schema, or an option is wrong
   * @throws OverloadedError too much waits in this process to be written (64 MiB, 100,000 records)
   */
  append(value: T, options?: AppendOptions): Promise<AppendedRecord>;
  /** Appends records in the order given, in as few commits as they fit into: with `tx` all or none, else those of a commit together. */
  appendMany(
    records: readonly RecordInput<T>[],
    options?: Pick<AppendOptions, "tx" | "signal">,
  ): Promise<readonly AppendedRecord[]>;

  /**
   * Consumes as a member of the group, until the handle is closed. Each partition is one member's at a time, and its records come in order, in batches. The position commits together with what the
   * handler writes through `tx`: each record has its effect once.
   * @param group 1 to 200 characters
   */
  consume(group: string, handler: BatchHandler<T>, options?: ConsumeOptions): StreamConsumer;

  /** Records as they are, without a group; of all partitions one after another, or side by side with `live`, or of one. Those of one key in their order. */
  read(options?: ReadStreamOptions): AsyncIterableIterator<StreamRecord<T>>;

  readonly groups: Groups;
  /** All that may still hold records. */
  partitions(): Promise<readonly PartitionInfo[]>;
  /**
   * Spreads what is appended from now on over another number of partitions, while everybody goes on. The present ones are sealed, and go when nothing is left in them. Groups consume, live readers read
   * the records of a key in their order: a new partition waits until those with earlier records of its keys are consumed. Of 4 partitions made 8, each has one such; made 5, each has all four.
   * @param partitions 1 to 1024
   * @throws LimitError too many earlier layouts still hold records
   */
  repartition(partitions: number, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Forgets what is not to be kept, in every partition. Happens by itself now and then. */
  trim(): Promise<void>;
}

export interface StreamOptions<T> {
  /** How many a stream that is new gets: 1 to 1024. What there is already is changed by `repartition` only. Records of one key are in one partition. Default 8. */
  readonly partitions?: number;
  /** How long records are kept, whether they were consumed or not. A duration, or `time`, `records` and `bytes` of each partition: what is over one of them goes. Default: for ever. */
  readonly retention?: Duration | Retention;
  /**
   * Keeps, of the records that are older than `after`, only the latest of each key, for ever. Every record has a key then; one whose value is `null` lets its key be forgotten, and is itself after
   * `tombstones`. Not together with a retention. Default: off; `true`: as `{ after: "1h", tombstones: "1d" }`.
   */
  readonly compaction?: boolean | Compaction;
  /** What values must satisfy when they are appended and when they are consumed; handlers get the schema's output. */
  readonly schema?: StandardSchema<T>;
}

export interface Retention {
  readonly time?: Duration;
  readonly records?: number;
  readonly bytes?: number;
}

export interface Compaction {
  /** Whoever is less than so far behind sees every record. Default "1h". */
  readonly after?: Duration;
  /** Whoever is less than so far behind sees that a key was forgotten. Default "1d". */
  readonly tombstones?: Duration;
}

export interface PartitionInfo {
  /** Numbered on when a stream is laid out anew. */
  readonly partition: number;
  /** The oldest record kept. */
  readonly first: Offset;
  readonly next: Offset;
  /** Of an earlier layout: nothing is appended any more. */
  readonly sealed: boolean;
}

export interface AppendOptions {
  /** The record is appended when this transaction commits. */
  readonly tx?: Transaction;
  /** Records of one key keep their order. At most 200 characters. Default: any partition. */
  readonly key?: string;
  /** Travel with the record. At most 8 KiB. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface RecordInput<T> extends Pick<AppendOptions, "key" | "headers"> {
  readonly value: T;
}

export interface AppendedRecord {
  readonly partition: number;
  /** Known once it is durable. */
  readonly offset: AfterCommit<Offset>;
}

export interface StreamRecord<T> {
  readonly partition: number;
  readonly offset: Offset;
  /** The engine's clock at the append, milliseconds. */
  readonly time: number;
  readonly value: T;
  readonly key: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

export type BatchHandler<T> = (records: readonly StreamRecord<T>[], context: BatchContext) => unknown;

export interface BatchContext {
  /** A transaction that commits together with the position, if the handler returns. */
  readonly tx: Transaction;
  /** Aborted when the partition goes to another member or is lost, or the consumer stops and its drain time is over. */
  readonly signal: AbortSignal;
  readonly partition: number;
  /** 1 for the first. */
  readonly attempt: number;
}

/** Where to begin: the oldest record kept, what is appended from now on, an offset of every partition, or a time by the engine's clock. */
export type From = "start" | "end" | { readonly offset: Offset } | { readonly time: Date | number };

export interface ConsumeOptions {
  /** Where a group that is new begins. Default "start". */
  readonly from?: From;
  /** Records of one batch at most. 1 to 10,000. Default 500. */
  readonly batch?: number;
  /** Attempts at a batch, the first included, and the pause between them, doubled up to the cap. Default { attempts: 10, base: "100ms", cap: "30s" }. */
  readonly retry?: { readonly attempts?: number; readonly base?: Duration; readonly cap?: Duration };
  /**
   * When the attempts are used up: `"stop"` (default): the consumer ends, and says why (`done`); the partition goes to another member, or waits. `"park"`: its records are handled one by one, and those that
   * fail are kept aside, in the topic of the log that `groups.parked` reads.
   */
  readonly onFailure?: "stop" | "park";
  /** Who consumes, for operators. Default: a fresh name. */
  readonly instance?: string;
  /** How soon the partitions of a dead process go to others. Default "15s". */
  readonly lease?: Duration;
  /** How long a handler may go on when its partition is to go, or the consumer is closed. Default "5s". */
  readonly drain?: Duration;
  /** Its abort closes the consumer. */
  readonly signal?: AbortSignal;
}

export interface StreamConsumer extends AsyncDisposable {
  readonly group: string;
  readonly instance: string;
  /** The partitions that are this member's now. */
  readonly owned: ReadonlySet<number>;
  /** Finishes the batches under way, and hands the partitions over. */
  close(): Promise<void>;
  /** Resolves when it was closed; rejects if it had to give up. */
  readonly done: Promise<void>;
}

export interface ReadStreamOptions {
  /** Default: all. */
  readonly partition?: number;
  /** Default "start". */
  readonly from?: From;
  /** Go on with what comes, until a partition that was asked for is sealed and at its end. Default false: end at the present end. */
  readonly live?: boolean;
  readonly signal?: AbortSignal;
}

export interface GroupInfo {
  readonly name: string;
  /** Records that it has not consumed, over all partitions; at most so many where compaction has been at work. */
  readonly lag: number;
  /** Milliseconds since the oldest of them was appended. */
  readonly behindMs: number;
  readonly partitions: readonly PartitionPosition[];
}

export interface PartitionPosition {
  readonly partition: number;
  /** The first offset not consumed; `undefined`: nobody has begun. */
  readonly position: Offset | undefined;
  readonly lag: number;
}

export interface Groups {
  list(): AsyncIterableIterator<string>;
  /** @returns undefined: there is none of this name */
  info(group: string): Promise<GroupInfo | undefined>;
  /** Goes on from there: forwards to leave out, back to consume again. A batch under way for the old position is not applied any more. */
  seek(group: string, to: From, options?: { readonly partition?: number }): Promise<void>;
  /** Forgets the group and what it has parked. Its consumers are to be closed before. */
  delete(group: string): Promise<void>;
  /** What was kept aside, in the order of its failing. */
  parked(group: string): AsyncIterableIterator<ParkedRecord>;
  /** Appends what is kept aside to its partition again, for every group, and forgets it. Resolves with how many. */
  redrive(group: string): Promise<number>;
}

export interface ParkedRecord extends StreamRecord<unknown> {
  readonly error: { readonly name: string; readonly message: string };
}
