import { decodeValue, invalidArgument, type Runtime, raceAbort, throwIfAborted } from "../../core/index.ts";
import type { CommitOptions, Kv, Log, LogReadOptions, LogRecord, LogTailOptions, Offset, Topic } from "../contract.ts";
import type { Driver, LogDriver, RawRecord } from "../driver.ts";
import { encodeTopicIn, type Space } from "../encode-batch.ts";
import { pull } from "../pull.ts";
import type { TopicListener } from "../watch-hub.ts";
import { Retries } from "./retries.ts";

/** What a log needs of the open store. */
export interface LogRoot {
  readonly driver: Driver;
  readonly runtime: Runtime;
  readonly hub: {
    /** Resolves, with the way to end it, once every later append wakes the listener. */
    onTopic(topic: Uint8Array, listener: TopicListener): Promise<() => void>;
  };
  /** @throws ClosedError the store is closed */
  assertOpen(): void;
}

export interface LogOptions {
  readonly root: LogRoot;
  /** Where the topics lie. */
  readonly space: Space;
  /** What appends are committed through: of the same space. */
  readonly kv: Pick<Kv, "commit">;
}

/** The topics of one namespace, over the driver's log. */
export function createLog({ root, space, kv }: LogOptions): Log {
  return new LogFace(root, space, kv);
}

class LogFace implements Log {
  readonly #root: LogRoot;
  readonly #space: Space;
  readonly #kv: Pick<Kv, "commit">;
  readonly #log: LogDriver;

  constructor(root: LogRoot, space: Space, kv: Pick<Kv, "commit">) {
    this.#root = root;
    this.#space = space;
    this.#kv = kv;
    this.#log = root.driver.log as LogDriver;
  }

  async append(topic: Topic, records: readonly unknown[], options: CommitOptions = {}): Promise<Offset> {
    const { offsets } = await this.#kv.commit({ mutations: [{ append: topic, records }] }, options);
    return offsets[0] as Offset;
  }

  async read<V>(topic: Topic, options: LogReadOptions = {}): Promise<LogRecord<V>[]> {
    this.#root.assertOpen();
    const { signal } = options;
    const wanted = {
      from: toOffset(options.from ?? 0, "from"),
      limit: toCount(options.limit ?? defaultLimit, "limit"),
      bytes: toCount(options.bytes ?? defaultBytes, "bytes"),
    };
    const name = encodeTopicIn(this.#space, topic);
    throwIfAborted(signal);
    const records = this.#log.read(name, signal ? { ...wanted, signal } : wanted);
    return (Array.isArray(records) ? records : await raceAbort(records, signal)).map((record) => toRecord<V>(record));
  }

  tail<V>(topic: Topic, options: LogTailOptions = {}): AsyncIterableIterator<LogRecord<V>[]> {
    this.#root.assertOpen();
    const from = options.from === "end" ? "end" : toOffset(options.from ?? 0, "from", 'or "end"');
    const limit = toCount(options.limit ?? defaultLimit, "limit");
    const tail = new Tail(this.#root, encodeTopicIn(this.#space, topic), from, limit);
    return pull({
      next: async () => (await tail.next()).map((record) => toRecord<V>(record)),
      close: () => tail.close(),
      signal: options.signal,
    });
  }

  async bounds(
    topic: Topic,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ first: Offset; next: Offset }> {
    this.#root.assertOpen();
    const name = encodeTopicIn(this.#space, topic);
    throwIfAborted(options.signal);
    const { first, next } = await raceAbort(Promise.resolve(this.#log.bounds(name)), options.signal);
    return { first, next };
  }

  async trim(topic: Topic, before: Offset): Promise<void> {
    this.#root.assertOpen();
    const to = toOffset(before, "before");
    await this.#log.trim(encodeTopicIn(this.#space, topic), to);
  }
}

const defaultLimit = 1000;
const defaultBytes = 1024 * 1024;

function toRecord<V>({ offset, value, time }: RawRecord): LogRecord<V> {
  return { offset, value: decodeValue(value) as V, time };
}

function toOffset(given: unknown, name: string, orElse = ""): number {
  if (!Number.isSafeInteger(given) || (given as number) < 0)
    throw invalidArgument(name, given, `an offset, a whole number of at least 0 ${orElse}`.trim());
  return given as number;
}

function toCount(given: unknown, name: string): number {
  if (!Number.isSafeInteger(given) || (given as number) < 1)
    throw invalidArgument(name, given, "a whole number of at least 1");
  return given as number;
}

/**
 * The state of one tail: reads until the topic is empty, then sleeps until it is woken. A wake is only a hint to read again, so hints may be
 * lost in each other, and a feed that lost its place is one more hint.
 */
class Tail implements TopicListener {
  readonly #root: LogRoot;
  readonly #log: LogDriver;
  readonly #topic: Uint8Array;
  readonly #limit: number;
  /** Offset of the next record to hand out. "End" means the end at the time of the call, so it is asked for at once. */
  #next: number | Promise<number>;
  /** Whether the topic may hold more than what was read. */
  #stirred = true;
  #wake: (() => void) | undefined;
  /** Ends the subscription at the hub. */
  #unlisten: (() => void) | undefined;
  #error: Error | undefined;
  #closed = false;

  constructor(root: LogRoot, topic: Uint8Array, from: number | "end", limit: number) {
    this.#root = root;
    this.#log = root.driver.log as LogDriver;
    this.#topic = topic;
    this.#limit = limit;
    this.#next = from === "end" ? this.#end() : from;
    // Whoever never asks for a record does not care.
    if (typeof this.#next !== "number") this.#next.catch(() => {});
  }

  /** At least one record. One call at a time. */
  async next(): Promise<readonly RawRecord[]> {
    const retries = new Retries(this.#root.runtime);
    for (;;) {
      this.#root.assertOpen();
      try {
        return await this.#read();
      } catch (error) {
        if (this.#closed) throw error;
        await retries.after(error);
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#stopListening();
    this.#wake?.();
  }

  wake(): void {
    this.#stirred = true;
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#error = error;
    this.#wake?.();
  }

  async #read(): Promise<readonly RawRecord[]> {
    const from = await this.#position();
    for (;;) {
      if (this.#closed) return [];
      if (this.#error) this.#throwError();
      if (this.#stirred) {
        this.#stirred = false;
        const records = await this.#readFrom(from);
        if (records.length > 0) return records;
      } else if (!this.#unlisten) {
        await this.#listen();
      } else {
        await this.#woken();
      }
    }
  }

  async #readFrom(from: number): Promise<readonly RawRecord[]> {
    try {
      const records = await this.#log.read(this.#topic, { from, limit: this.#limit, bytes: defaultBytes });
      const last = records.at(-1);
      if (last) {
        this.#next = last.offset + 1;
        this.#stirred = true;
      }
      return records;
    } catch (error) {
      this.#stirred = true;
      throw error;
    }
  }

  async #position(): Promise<number> {
    try {
      return await this.#next;
    } catch (error) {
      this.#next = this.#end();
      this.#next.catch(() => {});
      throw error;
    }
  }

  async #end(): Promise<number> {
    return (await this.#log.bounds(this.#topic)).next;
  }

  async #listen(): Promise<void> {
    const unlisten = await this.#root.hub.onTopic(this.#topic, this);
    if (this.#closed) unlisten();
    else this.#unlisten = unlisten;
    // What came before the feed was live did not wake anyone.
    this.#stirred = true;
  }

  async #woken(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
  }

  /** After a feed that failed another one may live: the next try listens anew. */
  #throwError(): never {
    const error = this.#error;
    this.#error = undefined;
    this.#stirred = true;
    this.#stopListening();
    throw error;
  }

  #stopListening(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
  }
}
