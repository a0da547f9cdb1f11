import { decodeValue, fullJitter, invalidArgument, isAshlarError, sleep, throwIfAborted } from "../../core/index.ts";
import type { CommitOptions, Kv, Log, LogReadOptions, LogRecord, LogTailOptions, Offset, Topic } from "../contract.ts";
import type { LogDriver, RawRecord } from "../driver.ts";
import { encodeTopicIn, type Space } from "../encode-batch.ts";
import { pull } from "../pull.ts";
import type { Root } from "../root.ts";

/** The topics of one namespace, over a driver that reads them; appends are commits. */
export function createLog(options: { readonly root: Root; readonly space: Space; readonly kv: Kv }): Log {
  return new LogFace(options.root, options.space, options.kv);
}

const defaultLimit = 1000;
const defaultBytes = 1024 * 1024;
const maxFailures = 8;

class LogFace implements Log {
  readonly #root: Root;
  readonly #space: Space;
  readonly #kv: Kv;

  constructor(root: Root, space: Space, kv: Kv) {
    this.#root = root;
    this.#space = space;
    this.#kv = kv;
  }

  async append(topic: Topic, records: readonly unknown[], options: CommitOptions = {}): Promise<Offset> {
    const { offsets } = await this.#kv.commit({ mutations: [{ append: topic, records }] }, options);
    return offsets[0] as Offset;
  }

  async read<V>(topic: Topic, options: LogReadOptions = {}): Promise<LogRecord<V>[]> {
    this.#root.assertOpen();
    throwIfAborted(options.signal);
    const encoded = encodeTopicIn(this.#space, topic);
    const from = wholeNumber(options.from ?? 0, "from", 0);
    const limit = wholeNumber(options.limit ?? defaultLimit, "limit", 1);
    const bytes = wholeNumber(options.bytes ?? defaultBytes, "bytes", 1);
    const { signal } = options;
    const records = await this.#log.read(encoded, { from, limit, bytes, ...(signal && { signal }) });
    return records.map((record) => decode<V>(record));
  }

  tail<V>(topic: Topic, options: LogTailOptions = {}): AsyncIterableIterator<LogRecord<V>[]> {
    this.#root.assertOpen();
    const encoded = encodeTopicIn(this.#space, topic);
    const limit = wholeNumber(options.limit ?? defaultLimit, "limit", 1);
    const from = options.from === "end" ? "end" : wholeNumber(options.from ?? 0, "from", 0);
    const tail = new Tail(this.#root, encoded, from, limit);
    return pull({
      next: async () => (await tail.next()).map((record) => decode<V>(record)),
      close: () => tail.close(),
      signal: options.signal,
    });
  }

  async bounds(topic: Topic, options: { readonly signal?: AbortSignal } = {}): Promise<{ first: Offset; next: Offset }> {
    this.#root.assertOpen();
    throwIfAborted(options.signal);
    const { first, next } = await this.#log.bounds(encodeTopicIn(this.#space, topic));
    return { first: first as Offset, next: next as Offset };
  }

  async trim(topic: Topic, before: Offset): Promise<void> {
    this.#root.assertOpen();
    await this.#log.trim(encodeTopicIn(this.#space, topic), wholeNumber(before, "before", 0));
  }

  get #log(): LogDriver {
    return this.#root.driver.log as LogDriver;
  }
}

/** One reader at the end of a topic: wakes are remembered while it reads, so none is lost. */
class Tail {
  readonly #root: Root;
  readonly #topic: Uint8Array;
  readonly #limit: number;
  #from: number | "end";
  #stop: Promise<() => void> | undefined;
  #grown = true;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(root: Root, topic: Uint8Array, from: number | "end", limit: number) {
    this.#root = root;
    this.#topic = topic;
    this.#from = from;
    this.#limit = limit;
  }

  /** The next records, at least one. */
  async next(): Promise<RawRecord[]> {
    const log = this.#root.driver.log as LogDriver;
    this.#stop ??= this.#listen();
    await this.#stop;
    if (this.#from === "end") this.#from = (await log.bounds(this.#topic)).next;
    for (;;) {
      if (this.#error) throw this.#error;
      if (this.#grown) {
        this.#grown = false;
        const records = await this.#read(log, this.#from);
        const last = records.at(-1);
        if (last) {
          this.#from = last.offset + 1;
          this.#grown = true;
          return records;
        }
      } else {
        await this.#woken();
      }
    }
  }

  /** A store that is away for a moment does not end a tail. */
  async #read(log: LogDriver, from: number): Promise<RawRecord[]> {
    for (let failures = 0; ; ) {
      try {
        return await log.read(this.#topic, { from, limit: this.#limit, bytes: defaultBytes });
      } catch (error) {
        if (this.#error || !isAshlarError(error, "UNAVAILABLE") || ++failures >= maxFailures) throw error;
        await sleep(this.#root.runtime, fullJitter(this.#root.runtime, failures, { base: 50, cap: 2000 }));
      }
    }
  }

  close(): void {
    // A subscription that failed needs no end.
    this.#stop?.then((stop) => stop()).catch(() => {});
  }

  #listen(): Promise<() => void> {
    return this.#root.hub.onTopic(this.#topic, {
      wake: () => {
        this.#grown = true;
        this.#wake?.();
      },
      fail: (error) => {
        this.#error ??= error;
        this.#wake?.();
      },
    });
  }

  async #woken(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
  }
}

function decode<V>({ offset, value, time }: RawRecord): LogRecord<V> {
  return { offset: offset as Offset, value: decodeValue(value) as V, time };
}

function wholeNumber(given: unknown, name: string, least: number): number {
  if (!Number.isSafeInteger(given) || (given as number) < least) throw invalidArgument(name, given, `a whole number of at least ${least}`);
  return given as number;
}
