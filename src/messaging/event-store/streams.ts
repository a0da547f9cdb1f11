import { throwIfAborted } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import type { DomainEvent, RecordedEvent } from "./contract.ts";
import { type Head, type Heads, nowhere } from "./heads.ts";
import { countOf, firstOfKey, isTombstone, keys, type StoredRow } from "./layout.ts";
import type { Reader } from "./recording.ts";

/** A row with its place. */
export interface Row {
  readonly first: number;
  readonly row: StoredRow;
}

export interface End extends Head {
  readonly deleted: boolean;
}

/** Rows of one page. */
const pageRows = 250;

/** The streams of a store, as they lie in the engine. */
export class Streams<E extends DomainEvent> {
  readonly engine: Engine;
  readonly heads: Heads;
  readonly reader: Reader<E>;

  constructor(engine: Engine, heads: Heads, reader: Reader<E>) {
    this.engine = engine;
    this.heads = heads;
    this.reader = reader;
  }

  /** Where the stream ends now. */
  async end(stream: string, signal?: AbortSignal): Promise<End> {
    const [last] = await this.#page(stream, { reverse: true, limit: 1 }, signal);
    return this.#endAt(stream, last);
  }

  /** The end as the transaction sees it; that commits only if it is still there. */
  async endIn(tx: Transaction, stream: string): Promise<End> {
    for await (const { key, value } of tx.list<StoredRow>({ prefix: keys.rows(stream) }, { reverse: true, limit: 1 })) {
      const first = firstOfKey(key);
      return { version: first + countOf(value) - 1, row: first, deleted: isTombstone(value) };
    }
    return { ...nowhere, deleted: false };
  }

  /** The rows from the one that lies at `first` on, as this transaction sees them; that commits only if there are no others then. */
  async *rowsIn(tx: Transaction, stream: string, first: number): AsyncGenerator<Row> {
    const range = { prefix: keys.rows(stream), start: keys.row(stream, first) };
    for await (const { key, value } of tx.list<StoredRow>(range)) yield { first: firstOfKey(key), row: value };
  }

  /** The row after the version, if there is one. */
  async rowAfter(stream: string, version: number, signal?: AbortSignal): Promise<StoredRow | undefined> {
    const entry = await this.engine.kv.get<StoredRow>(keys.row(stream, version + 1), signal ? { signal } : {});
    return entry?.value;
  }

  /** The rows with their latest first, at most so many. */
  async latest(stream: string, limit: number, signal?: AbortSignal): Promise<Row[]> {
    return await this.#page(stream, { reverse: true, limit }, signal);
  }

  /** The first version that is kept. */
  async kept(stream: string, signal?: AbortSignal): Promise<number> {
    return (await this.engine.kv.get<number>(keys.kept(stream), signal ? { signal } : {}))?.value ?? 1;
  }

  /**
   * The rows from the one that lies at `first` on, in pages.
   * @param begin the first page, if it has been read
   */
  async *rows(
    stream: string,
    first: number,
    signal?: AbortSignal,
    begin?: readonly Row[],
  ): AsyncGenerator<readonly Row[]> {
    let read = begin;
    for (let from = first; ; ) {
      const page = read ?? (await this.firstRows(stream, from, signal));
      read = undefined;
      yield page;
      const last = page.at(-1);
      if (page.length < pageRows || last === undefined) return;
      from = last.first + 1;
    }
  }

  /** The first of the pages that `rows` gives. */
  async firstRows(stream: string, first: number, signal?: AbortSignal): Promise<readonly Row[]> {
    const page = await this.#page(stream, { from: first, reverse: false, limit: pageRows }, signal);
    if (page.length < pageRows) this.#endAt(stream, page.at(-1));
    return page;
  }

  /** The events between the two versions, both included. */
  async *events(
    stream: string,
    from: number,
    to: number,
    options: { readonly reverse: boolean; readonly signal: AbortSignal | undefined },
  ): AsyncGenerator<RecordedEvent<E>> {
    const { reverse, signal } = options;
    const kept = await this.kept(stream, signal);
    const least = Math.max(from, kept);
    if (least > to) return;
    if (reverse) yield* this.#backwards(stream, least, to, signal);
    else yield* this.#forwards(stream, least, to, signal);
  }

  async *#forwards(
    stream: string,
    from: number,
    to: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<RecordedEvent<E>> {
    const start = await this.rowHolding(stream, from, signal);
    for await (const page of this.rows(stream, start, signal)) {
      for (const { first, row } of page) {
        if (first > to) return;
        const count = countOf(row);
        for (let i = Math.max(0, from - first); i < count && first + i <= to; i++) {
          const event = this.reader.event(stream, first, row, i);
          if (event) yield event;
        }
      }
    }
  }

  async *#backwards(
    stream: string,
    from: number,
    to: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<RecordedEvent<E>> {
    for (let before = to; ; ) {
      const page = await this.#page(stream, { before, reverse: true, limit: pageRows }, signal);
      for (const { first, row } of page) {
        for (let i = Math.min(countOf(row) - 1, to - first); i >= 0; i--) {
          if (first + i < from) return;
          const event = this.reader.event(stream, first, row, i);
          if (event) yield event;
        }
      }
      const last = page.at(-1);
      if (page.length < pageRows || last === undefined || last.first <= from) return;
      before = last.first - 1;
    }
  }

  /** Where the row lies that holds the version; the version itself if there is none. */
  async rowHolding(stream: string, version: number, signal: AbortSignal | undefined): Promise<number> {
    if (version === 1) return 1;
    const [row] = await this.#page(stream, { before: version, reverse: true, limit: 1 }, signal);
    return row?.first ?? version;
  }

  /** Rows that lie at `from` or later, and at `before` or earlier. */
  async #page(
    stream: string,
    options: { readonly from?: number; readonly before?: number; readonly reverse: boolean; readonly limit: number },
    signal: AbortSignal | undefined,
  ): Promise<Row[]> {
    throwIfAborted(signal);
    const { from, before, reverse, limit } = options;
    const range = {
      prefix: keys.rows(stream),
      ...(from !== undefined && from > 1 && { start: keys.row(stream, from) }),
      ...(before !== undefined && before < Number.MAX_SAFE_INTEGER && { end: keys.row(stream, before + 1) }),
    };
    const rows: Row[] = [];
    for await (const { key, value } of this.engine.kv.list<StoredRow>(range, {
      reverse,
      limit,
      ...(signal && { signal }),
    }))
      rows.push({ first: firstOfKey(key), row: value });
    return rows;
  }

  #endAt(stream: string, last: Row | undefined): End {
    if (!last) return { ...nowhere, deleted: false };
    const head = { version: last.first + countOf(last.row) - 1, row: last.first };
    if (!isTombstone(last.row)) this.heads.set(stream, head);
    return { ...head, deleted: isTombstone(last.row) };
  }
}
