import type { OwnedShard } from "../../coordination/shard-map/index.ts";
import { AshlarError, fullJitter, isAshlarError, linkSignals, raceAbort, sleep, validate } from "../../core/index.ts";
import type { Engine, LogRecord, OpenTransaction, Version } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import type { BatchHandler, StreamRecord } from "./contract.ts";
import { type Group, keys, type Parked, parkedTopic, partitionTopic, type StoredRecord, toRecord } from "./layout.ts";
import type { LayoutBook } from "./layouts.ts";
import type { ConsumeSettings, StreamSettings } from "./options.ts";
import { offsetOf, readRecords, whenCompacted } from "./reading.ts";
import { needsUpkeep, retireLayouts, tidyPartition } from "./upkeep.ts";

export interface ConsumerParts<T> {
  /** The engine whose transactions handlers get. */
  readonly user: Engine;
  readonly engine: Engine;
  readonly book: LayoutBook;
  readonly stream: string;
  readonly group: string;
  readonly handler: BatchHandler<T>;
  readonly definition: StreamSettings<T>;
  readonly settings: ConsumeSettings;
}

/** A batch failed as often as it may. */
export class BatchFailed extends Error {}

/** Where the partition stands, as this owner last saw it. */
interface Place {
  readonly at: number;
  readonly version: Version | undefined;
}

/** A partition that this member owns. */
export interface OwnedPartition {
  readonly partition: number;
  /** The first partition of its layout. */
  readonly layout: number;
  readonly owned: OwnedShard;
  /** Partitions of earlier layouts with records of the same keys: their records come before. */
  readonly earlier: readonly number[];
}

/** Runs of a handler whose transaction met a conflict, until that counts as a failure. */
const maxConflicts = 32;
/** An owner that consumes looks after the retention once in so many milliseconds: appends within transactions do not. */
const tidyEvery = 30_000;
/** What comes before is looked at again after so many milliseconds, should its end have come without a change of the position. */
const earlierEvery = 1000;

/** Consumes a partition for as long as it is owned. */
export class PartitionConsumer<T> {
  readonly #parts: ConsumerParts<T>;
  readonly #owned: OwnedShard;
  readonly #partition: number;
  readonly #layout: number;
  readonly #earlier: readonly number[];
  readonly #stop: AbortSignal;
  readonly #hard: AbortSignal;
  #tidyAt = 0;
  #tidying = false;

  /**
   * @param stop takes up no further batch
   * @param hard ends the handler as well
   */
  constructor(parts: ConsumerParts<T>, place: OwnedPartition, stop: AbortSignal, hard: AbortSignal) {
    this.#parts = parts;
    this.#owned = place.owned;
    this.#partition = place.partition;
    this.#layout = place.layout;
    this.#earlier = place.earlier;
    this.#stop = stop;
    this.#hard = hard;
  }

  /** Resolves when it is to stop; rejects with `BatchFailed`, or if the engine was closed. */
  async run(): Promise<void> {
    const { runtime } = this.#parts.engine;
    for (let failures = 0; !this.#stop.aborted; ) {
      try {
        await this.#consume(() => {
          failures = 0;
        });
      } catch (error) {
        if (this.#stop.aborted) return;
        if (error instanceof BatchFailed || isAshlarError(error, "CLOSED")) throw error;
        if (this.#owned.signal.aborted) return;
        this.#tell(channels.trouble, 0, error);
        const wait = fullJitter(runtime, failures++, { base: 10, cap: 1000 });
        await sleep(runtime, wait, { signal: this.#stop, ref: false }).catch(() => {});
      }
    }
  }

  async #consume(alive: () => void): Promise<void> {
    const { settings } = this.#parts;
    let place = await this.#begin();
    await this.#awaitEarlier();
    let ahead: Promise<LogRecord[]> | undefined;
    while (!this.#stop.aborted) {
      let records = await (ahead ?? this.#read(place.at));
      ahead = undefined;
      if (records.length === 0) records = await this.#await(place.at);
      const last = records.at(-1);
      if (last === undefined) return;
      // The next page is read while the handler has this one; an error of it counts when it is its turn.
      if (records.length === settings.batch) {
        ahead = this.#read(last.offset + 1);
        ahead.catch(() => {});
      }
      const next = await this.#hand(records, place);
      if (next === undefined) {
        // Somebody has set the position: from there, then.
        place = await this.#begin();
        await this.#awaitEarlier();
        ahead = undefined;
      } else place = next;
      alive();
      this.#tidy();
    }
  }

  /** Beside the handlers, which do not wait for it. */
  #tidy(): void {
    const { engine, definition } = this.#parts;
    const now = engine.runtime.clock.monotonic();
    if (this.#tidying || now < this.#tidyAt || !needsUpkeep(definition)) return;
    this.#tidying = true;
    this.#tidyAt = now + tidyEvery;
    this.#keepTidy()
      .catch((error) => this.#tell(channels.trouble, 0, error))
      .finally(() => {
        this.#tidying = false;
      });
  }

  async #keepTidy(): Promise<void> {
    const { engine, book, definition } = this.#parts;
    const layouts = await book.get();
    await tidyPartition(engine, layouts, this.#partition, definition);
    // Nobody comes by in the partitions of earlier layouts any more.
    for (const partition of this.#earlier) await tidyPartition(engine, layouts, partition, definition);
    if (this.#earlier.length > 0) await retireLayouts(engine, book);
  }

  /** The position; that of a new group is written, so that lag and seeking have something to go by. */
  async #begin(): Promise<Place> {
    const { engine, group, settings } = this.#parts;
    const key = keys.position(group, this.#partition);
    for (;;) {
      const entry = await engine.kv.get<number>(key, { signal: this.#stop });
      if (entry) return { at: entry.value, version: entry.version };
      const known = await engine.kv.get<Group>(keys.group(group), { signal: this.#stop });
      const isLater = known !== undefined && this.#layout > known.value.since;
      const at = await offsetOf(engine, this.#partition, isLater ? "start" : settings.from);
      await using open = engine.begin();
      this.#owned.guard(open.tx);
      open.tx.check({ key, version: undefined });
      open.tx.set(key, at);
      if (await open.commit({ signal: this.#stop }))
        return { at, version: open.version ?? (await engine.kv.get(key))?.version };
    }
  }

  /** Records of one key may lie in partitions of earlier layouts: the group consumes those first. */
  async #awaitEarlier(): Promise<void> {
    for (const partition of this.#earlier)
      while (!(await this.#isConsumed(partition))) await this.#awaitMove(partition);
  }

  /** Sealed partitions have an end. */
  async #isConsumed(partition: number): Promise<boolean> {
    const { engine, group } = this.#parts;
    const signal = this.#stop;
    const position = await engine.kv.get<number>(keys.position(group, partition), { signal });
    const left = await readRecords(engine, partition, position?.value ?? 0, { limit: 1, signal });
    return left.length === 0;
  }

  async #awaitMove(partition: number): Promise<void> {
    const { engine, group } = this.#parts;
    const key = keys.position(group, partition);
    const over = new AbortController();
    using linked = linkSignals(this.#stop, over.signal);
    const { signal } = linked;
    const moved = (async () => {
      let changes = 0;
      for await (const _ of engine.kv.watch({ key }, { signal })) if (++changes > 1) return;
    })();
    const pause = sleep(engine.runtime, earlierEvery, { signal, ref: false });
    try {
      await Promise.race([moved, pause]);
    } finally {
      over.abort();
      await Promise.allSettled([moved, pause]);
    }
  }

  #read(from: number): Promise<LogRecord[]> {
    const { engine, settings } = this.#parts;
    return readRecords(engine, this.#partition, from, { limit: settings.batch, signal: this.#stop });
  }

  async #await(from: number): Promise<LogRecord[]> {
    const { engine, settings, group } = this.#parts;
    const moved = new AbortController();
    using linked = linkSignals(this.#stop, moved.signal);
    // While there is nothing to consume, a position set from outside is to be noticed.
    const key = keys.position(group, this.#partition);
    const watch = (async () => {
      for await (const changes of engine.kv.watch<number>({ key }, { signal: linked.signal }))
        if (changes.some(({ value }) => value !== from)) break;
      moved.abort();
    })();
    const compacted = whenCompacted(engine, this.#partition, () => from, linked.signal).then(() => moved.abort());
    watch.catch(() => {});
    compacted.catch(() => {});
    try {
      const tail = engine.log.tail(partitionTopic(this.#partition), {
        from,
        limit: settings.batch,
        signal: linked.signal,
      });
      // A gap: compaction has moved what was there since; it is read again.
      for await (const records of tail) return records[0]?.offset === from ? records : [];
      return [];
    } catch (error) {
      if (moved.signal.aborted && !this.#stop.aborted) return [];
      throw error;
    } finally {
      moved.abort();
    }
  }

  /** Again and again until it is done; `undefined`: the position is not what it was. */
  async #hand(records: readonly LogRecord[], place: Place): Promise<Place | undefined> {
    const { settings, engine } = this.#parts;
    let conflicts = 0;
    for (let attempt = 1; ; ) {
      try {
        const done = await this.#once(records, place, attempt);
        if (done !== "conflict") return done;
        if (++conflicts > maxConflicts)
          throw new Error(`its transaction met a conflict ${maxConflicts} times in a row`);
        await sleep(engine.runtime, fullJitter(engine.runtime, conflicts, { base: 1, cap: 100 }), {
          signal: this.#hard,
        });
        continue;
      } catch (error) {
        if (this.#hard.aborted || this.#owned.signal.aborted || isAshlarError(error, "CLOSED")) throw error;
        if (isAshlarError(error, "LEASE_LOST") || isAshlarError(error, "OUTCOME_UNKNOWN")) throw error;
        conflicts = 0;
        this.#tell(channels.failed, (records[0] as LogRecord).offset, error);
        if (attempt >= settings.attempts) return await this.#giveUp(records, place, error);
      }
      const wait =
        Math.min(settings.cap, settings.base * 2 ** (attempt - 1)) * (0.5 + engine.runtime.random.next() / 2);
      attempt++;
      await sleep(engine.runtime, wait, { signal: this.#stop });
    }
  }

  async #once(records: readonly LogRecord[], place: Place, attempt: number): Promise<Place | undefined | "conflict"> {
    const { user, handler } = this.#parts;
    using linked = linkSignals(this.#hard, this.#owned.signal);
    const { signal } = linked;
    const open = user.begin({ signal });
    try {
      const batch = await this.#toBatch(records);
      const partition = this.#partition;
      await raceAbort(Promise.resolve(handler(batch, { tx: open.tx, signal, partition, attempt })), signal);
      return await this.#commit(open, place, (records.at(-1) as LogRecord).offset + 1);
    } catch (error) {
      if (isAshlarError(error, "CONFLICT") && error.details["reason"] === "reread") return "conflict";
      throw error;
    } finally {
      await open.rollback().catch(() => {});
    }
  }

  async #commit(open: OpenTransaction, place: Place, next: number): Promise<Place | undefined | "conflict"> {
    const { engine, group } = this.#parts;
    const key = keys.position(group, this.#partition);
    const own = engine.join(open.tx);
    let moved = false;
    const otherwise = () => {
      moved = true;
      return new AshlarError("the position was set by somebody else", {
        code: "CONFLICT",
        definite: true,
        retryable: true,
      });
    };
    this.#owned.guard(open.tx);
    own.check({ key, version: place.version }, { otherwise });
    own.set(key, next);
    try {
      if (!(await open.commit())) return "conflict";
    } catch (error) {
      if (moved) return undefined;
      throw error;
    }
    const version = open.version ?? (await engine.kv.get(key))?.version;
    return { at: next, version };
  }

  async #toBatch(records: readonly LogRecord[]): Promise<StreamRecord<T>[]> {
    const { schema } = this.#parts.definition;
    const batch = records.map((record) => toRecord(this.#partition, record));
    if (schema === undefined) return batch as StreamRecord<T>[];
    return await Promise.all(
      batch.map(async (record) => ({ ...record, value: await validate(schema, record.value, "record.value") })),
    );
  }

  async #giveUp(records: readonly LogRecord[], place: Place, error: unknown): Promise<Place | undefined> {
    const { settings, stream, group } = this.#parts;
    if (settings.onFailure === "stop") {
      const first = (records[0] as LogRecord).offset;
      throw new BatchFailed(
        `group ${group} of stream ${stream} gave up at offset ${first} of partition ${this.#partition} after ${settings.attempts} attempts`,
        { cause: error },
      );
    }
    // One by one, so that only what fails is kept aside.
    let at: Place | undefined = place;
    for (const record of records) {
      if (at === undefined) return undefined;
      at = await this.#handOrPark(record, at, records.length === 1 ? { error } : undefined);
    }
    return at;
  }

  async #handOrPark(
    record: LogRecord,
    place: Place,
    known: { readonly error: unknown } | undefined,
  ): Promise<Place | undefined> {
    let failure = known;
    while (!failure) {
      try {
        const done = await this.#once([record], place, this.#parts.settings.attempts);
        if (done !== "conflict") return done;
      } catch (error) {
        if (this.#hard.aborted || this.#owned.signal.aborted || isAshlarError(error, "CLOSED")) throw error;
        if (isAshlarError(error, "LEASE_LOST") || isAshlarError(error, "OUTCOME_UNKNOWN")) throw error;
        failure = { error };
      }
    }
    return await this.#park(record, place, failure.error);
  }

  async #park(record: LogRecord, place: Place, cause: unknown): Promise<Place | undefined> {
    const { engine, user, group } = this.#parts;
    const error =
      cause instanceof Error
        ? { name: cause.name, message: cause.message.slice(0, 1000) }
        : { name: "Error", message: String(cause).slice(0, 1000) };
    const parked: Parked = [this.#partition, record.offset, record.time, record.value as StoredRecord, error];
    for (;;) {
      await using open = user.begin();
      engine.join(open.tx).append(parkedTopic(group), [parked]);
      const done = await this.#commit(open, place, record.offset + 1);
      if (done === "conflict") continue;
      if (done) this.#tell(channels.parked, record.offset, cause);
      return done;
    }
  }

  #tell(channel: typeof channels.failed, offset: number, error: unknown): void {
    if (!channel.hasSubscribers) return;
    const { stream, group } = this.#parts;
    channel.publish({ stream, group, partition: this.#partition, offset, error } satisfies channels.BatchMessage);
  }
}
