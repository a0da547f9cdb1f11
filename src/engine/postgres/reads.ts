import { type ByteRange, raceAbort, throwIfAborted, toBinaryString } from "../../core/index.ts";
import type { RawEntry, RawListOptions, RawReadOptions } from "../driver.ts";
import type { Field, Row } from "./client.ts";
import type { Connections } from "./connection.ts";
import type { Statements } from "./statements.ts";
import { byteaArray, parseBytea } from "./wire.ts";

/**
 * Reads of entries. The look-ups issued in one turn of the event loop share a statement, hence a snapshot and a round trip; while
 * several statements are under way, further look-ups gather. A statement starts after the calls that it answers, so reads are linearizable.
 */
export class Reader {
  readonly #connections: Connections;
  readonly #statements: Statements;
  #waiting: LookUp[] = [];
  #scheduled = false;
  #inFlight = 0;

  constructor(connections: Connections, statements: Statements) {
    this.#connections = connections;
    this.#statements = statements;
  }

  getMany(keys: readonly Uint8Array[], { signal }: RawReadOptions): Promise<(RawEntry | undefined)[]> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (keys.length === 0) return Promise.resolve([]);
    const { promise, resolve, reject } = Promise.withResolvers<(RawEntry | undefined)[]>();
    this.#waiting.push({ keys, resolve, reject });
    this.#schedule();
    return raceAbort(promise, signal);
  }

  async list({ start, end }: ByteRange, { limit, reverse, signal }: RawListOptions): Promise<RawEntry[]> {
    throwIfAborted(signal);
    if (limit <= 0) return [];
    const rows = await raceAbort(
      this.#connections.ask(this.#statements.list, [asParameter(start), asParameter(end), limit, reverse]),
      signal,
    );
    return rows.map(toEntry);
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= mostInFlight) return;
    this.#scheduled = true;
    this.#connections.runtime.timers.immediate(() => {
      this.#scheduled = false;
      while (this.#waiting.length > 0 && this.#inFlight < mostInFlight) this.#ask(this.#take());
    });
  }

  /** The first of those that wait, as many as make a statement; at least one. */
  #take(): LookUp[] {
    let keys = 0;
    let count = 0;
    while (
      count < this.#waiting.length &&
      (count === 0 || keys + (this.#waiting[count] as LookUp).keys.length <= mostKeys)
    ) {
      keys += (this.#waiting[count++] as LookUp).keys.length;
    }
    if (count === this.#waiting.length) {
      const all = this.#waiting;
      this.#waiting = [];
      return all;
    }
    return this.#waiting.splice(0, count);
  }

  #ask(lookUps: LookUp[]): void {
    this.#inFlight++;
    const [first] = lookUps;
    const asked = lookUps.length === 1 && first?.keys.length === 1 ? this.#one(first) : this.#many(lookUps);
    asked
      .catch((error) => {
        for (const { reject } of lookUps) reject(error);
      })
      .finally(() => {
        this.#inFlight--;
        if (this.#waiting.length > 0) this.#schedule();
      });
  }

  async #one({ keys, resolve }: LookUp): Promise<void> {
    const key = keys[0] as Uint8Array;
    const [row] = await this.#connections.ask(this.#statements.get, [asParameter(key)]);
    if (row === undefined) return resolve([undefined]);
    const [value, revision, lifetime] = row;
    resolve([{ key, value: parseBytea(value), revision: Number(revision), ttl: toTtl(lifetime) }]);
  }

  async #many(lookUps: LookUp[]): Promise<void> {
    const distinct = new Map<string, Uint8Array>();
    for (const { keys } of lookUps) for (const key of keys) distinct.set(toBinaryString(key), key);
    const rows = await this.#connections.ask(this.#statements.getMany, [byteaArray([...distinct.values()])]);
    const found = new Map<string, RawEntry>();
    for (const row of rows) {
      const entry = toEntry(row);
      found.set(toBinaryString(entry.key), entry);
    }
    for (const { keys, resolve } of lookUps) resolve(keys.map((key) => found.get(toBinaryString(key))));
  }
}

/** A row of `key, value, revision, lifetime`. */
export function toEntry([key, value, revision, lifetime]: Row): RawEntry {
  return { key: parseBytea(key), value: parseBytea(value), revision: Number(revision), ttl: toTtl(lifetime) };
}

/** `pg` takes a Buffer for bytes, and copies any other view into one. */
export function asParameter(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function toTtl(micros: Field | undefined): number | undefined {
  return micros === null || micros === undefined ? undefined : Number(micros) / 1000;
}

interface LookUp {
  readonly keys: readonly Uint8Array[];
  readonly resolve: (entries: (RawEntry | undefined)[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Keys that are asked for together: few enough that the server begins on the next statement while this one is decoded. */
const mostKeys = 256;
const mostInFlight = 4;
