import { patiently } from "../../coordination/lease/index.ts";
import { CorruptionError } from "../../core/index.ts";
import type { Engine, LogRecord } from "../../engine/index.ts";
import type { DomainEvent, PositionedEvent } from "./contract.ts";
import { keys, logTopic, type Reference, type StoredRow } from "./layout.ts";
import type { Reader } from "./recording.ts";

/** A part of the order of all events. */
export interface Page<E extends DomainEvent> {
  /** Those that have not been truncated, in order. */
  readonly events: readonly PositionedEvent<E>[];
  /** The position after the page. */
  readonly next: number;
}

export interface FeedOptions {
  readonly from: number | "end";
  readonly live: boolean;
  /** References of one page at most. */
  readonly limit: number;
  readonly types: ReadonlySet<string> | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Reads the order of all events: references from the log, and the rows that they mean. */
export class Feed<E extends DomainEvent> {
  readonly #engine: Engine;
  readonly #reader: Reader<E>;

  constructor(engine: Engine, reader: Reader<E>) {
    this.#engine = engine;
    this.#reader = reader;
  }

  async end(signal: AbortSignal | undefined): Promise<number> {
    return (await this.#engine.log.bounds(logTopic, signal ? { signal } : {})).next;
  }

  /** While a page is worked on, the next one is on its way. */
  async *pages(options: FeedOptions): AsyncGenerator<Page<E>> {
    const source = options.live ? this.#tail(options) : this.#stored(options);
    const next = async (): Promise<Page<E> | undefined> => {
      const { done, value } = await source.next();
      return done ? undefined : await this.#resolve(value, options);
    };
    let coming = next();
    try {
      for (;;) {
        const page = await coming;
        if (page === undefined) return;
        coming = next();
        // Told of by the next turn, if there is one.
        coming.catch(() => {});
        yield page;
      }
    } finally {
      // Ends a call under way, too.
      await source.return?.();
    }
  }

  #tail({ from, limit, signal }: FeedOptions): AsyncIterableIterator<LogRecord<Reference>[]> {
    return this.#engine.log.tail<Reference>(logTopic, { from, limit, ...(signal && { signal }) });
  }

  async *#stored({ from, limit, signal }: FeedOptions): AsyncGenerator<LogRecord<Reference>[], undefined> {
    const abort = signal ? { signal } : {};
    for (let at = from === "end" ? await this.end(signal) : from; ; ) {
      const records = await this.#engine.log.read<Reference>(logTopic, { from: at, limit, ...abort });
      const last = records.at(-1);
      if (last === undefined) return;
      yield records;
      at = last.offset + 1;
    }
  }

  async #resolve(records: readonly LogRecord<Reference>[], { types, signal, live }: FeedOptions): Promise<Page<E>> {
    const abort = signal ?? new AbortController().signal;
    const rows = live
      ? await patiently(this.#engine, () => this.#rowsOf(records, abort), abort)
      : await this.#rowsOf(records, abort);
    const events: PositionedEvent<E>[] = [];
    for (const [i, { offset, value }] of records.entries()) {
      const [stream, version, index = 0] = value;
      const row = rows[i];
      if (!row) continue;
      const body = row[2]?.[index] as DomainEvent | null | undefined;
      if (!body || (types && !types.has(body.type))) continue;
      const event = this.#reader.event(stream, version - index, row, index);
      if (event) events.push(Object.assign(event, { position: offset }));
    }
    return { events, next: (records.at(-1) as LogRecord).offset + 1 };
  }

  /** The row of each record. A row that holds several is read once; one that is not there has been truncated. */
  async #rowsOf(records: readonly LogRecord<Reference>[], signal: AbortSignal): Promise<(StoredRow | undefined)[]> {
    const { operations } = this.#engine.limits;
    const firsts: { readonly stream: string; readonly first: number }[] = [];
    const places: number[] = [];
    // The references of a row stand together: they come from one commit.
    for (const { value } of records) {
      if (!Array.isArray(value)) throw new CorruptionError("the log of an event store holds what is no reference");
      const [stream, version, index = 0] = value;
      const first = version - index;
      const last = firsts.at(-1);
      if (last?.first !== first || last.stream !== stream) firsts.push({ stream, first });
      places.push(firsts.length - 1);
    }
    const rows: (StoredRow | undefined)[] = [];
    for (let i = 0; i < firsts.length; i += operations) {
      const wanted = firsts.slice(i, i + operations).map(({ stream, first }) => keys.row(stream, first));
      for (const entry of await this.#engine.kv.getMany<StoredRow>(wanted, { signal })) rows.push(entry?.value);
    }
    return places.map((place) => rows[place]);
  }
}
