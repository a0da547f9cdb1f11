import {
  type ByteRange,
  fromBinaryString,
  ownBytes,
  type Runtime,
  systemRuntime,
  toBinaryString,
} from "../../core/index.ts";
import type { ChangeSink, RawBounds, RawChange, RawCommit, RawEntry, RawOutcome, RawRecord } from "../driver.ts";
import { applyCommit, isExpired, type Store, type StoredEntry } from "../evaluate.ts";
import { SortedMap } from "./sorted-map.ts";

/**
 * A store in memory that any number of clients of one process may open: what the server is to other engines. Its clock is
 * the runtime that it was made with. It is gone with the process.
 */
export class MemoryStore implements Store {
  readonly #runtime: Runtime;
  readonly #entries = new SortedMap<StoredEntry>();
  readonly #topics = new Map<string, MemoryTopic>();
  readonly #sinks = new Set<ChangeSink>();
  readonly #listeners = new Set<(subject: Uint8Array, payload: Uint8Array) => void>();
  /** Keys that may expire, with the instant: swept without a look at the others. */
  readonly #expiring = new Map<string, number>();
  #revision = 0;

  constructor(runtime: Runtime = systemRuntime) {
    this.#runtime = runtime;
  }

  get revision(): number {
    return this.#revision;
  }

  now(): number {
    return this.#runtime.clock.now();
  }

  commit(commit: RawCommit): RawOutcome {
    const writes = commit.mutations.length > 0;
    const outcome = applyCommit(this, commit, this.now(), writes ? this.#revision + 1 : this.#revision);
    if (outcome.ok && writes) {
      this.#revision = outcome.revision;
      this.#report(commit);
    }
    return outcome;
  }

  read(key: Uint8Array): RawEntry | undefined {
    const entry = this.#entries.get(toBinaryString(key));
    const now = this.now();
    return entry === undefined || isExpired(entry.expires, now) ? undefined : toRaw(key, entry, now);
  }

  list({ start, end }: ByteRange, limit: number, reverse: boolean): RawEntry[] {
    const now = this.now();
    const found: RawEntry[] = [];
    if (limit === 0) return found;
    this.#entries.visit(toBinaryString(start), toBinaryString(end), reverse, (key, entry) => {
      if (isExpired(entry.expires, now)) return true;
      found.push(toRaw(fromBinaryString(key), entry, now));
      return found.length < limit;
    });
    return found;
  }

  /** Deletes up to `limit` expired entries. */
  sweep(limit: number): number {
    const now = this.now();
    const expired: Uint8Array[] = [];
    for (const [key, expires] of this.#expiring) {
      if (expires > now) continue;
      expired.push(fromBinaryString(key));
      if (expired.length === limit) break;
    }
    if (expired.length === 0) return 0;
    this.commit({ checks: [], mutations: expired.map((key) => ({ kind: "delete", key })), bytes: 0 });
    return expired.length;
  }

  /** When the next entry expires; `Infinity`: none does. */
  nextExpiry(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const expires of this.#expiring.values()) if (expires < next) next = expires;
    return next;
  }

  topic(topic: Uint8Array): MemoryTopic | undefined {
    return this.#topics.get(toBinaryString(topic));
  }

  trim(topic: Uint8Array, before: number): void {
    this.topic(topic)?.trim(before);
  }

  subscribe(sink: ChangeSink): () => void {
    this.#sinks.add(sink);
    return () => this.#sinks.delete(sink);
  }

  /** Hands a message to whoever listens now. */
  publish(subject: Uint8Array, payload: Uint8Array): void {
    for (const listener of this.#listeners) listener(subject, payload);
  }

  listen(listener: (subject: Uint8Array, payload: Uint8Array) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get(key: Uint8Array): StoredEntry | undefined {
    return this.#entries.get(toBinaryString(key));
  }

  range(start: Uint8Array, end: Uint8Array, limit: number, now: number): { key: Uint8Array; revision: number }[] {
    const found: { key: Uint8Array; revision: number }[] = [];
    this.#entries.visit(toBinaryString(start), toBinaryString(end), false, (key, { revision, expires }) => {
      if (!isExpired(expires, now)) found.push({ key: fromBinaryString(key), revision });
      return found.length < limit;
    });
    return found;
  }

  set(key: Uint8Array, value: Uint8Array, revision: number, expires: number): void {
    const name = toBinaryString(key);
    // A short encoded value shares its memory with others, which would stay as long as this one does.
    this.#entries.set(name, { value: ownBytes(value), revision, expires });
    if (expires !== 0) this.#expiring.set(name, expires);
    else if (this.#expiring.size > 0) this.#expiring.delete(name);
  }

  delete(key: Uint8Array): void {
    const name = toBinaryString(key);
    this.#entries.delete(name);
    if (this.#expiring.size > 0) this.#expiring.delete(name);
  }

  append(topic: Uint8Array, records: readonly Uint8Array[], now: number): number {
    const name = toBinaryString(topic);
    let found = this.#topics.get(name);
    if (!found) {
      found = new MemoryTopic();
      this.#topics.set(name, found);
    }
    return found.append(records, now);
  }

  #report(commit: RawCommit): void {
    if (this.#sinks.size === 0) return;
    const topics = commit.mutations.filter((mutation) => mutation.kind === "append").map(({ topic }) => topic);
    for (const sink of this.#sinks) {
      const changes: RawChange[] = [];
      for (const mutation of commit.mutations) {
        if (mutation.kind === "append" || !sink.wants(mutation.key)) continue;
        changes.push({ key: mutation.key, entry: this.read(mutation.key) });
      }
      sink.changed(changes, topics, this.#revision);
    }
  }
}

/** The records of one topic. Invariant: record i has offset `first + i`. */
class MemoryTopic {
  #first = 0;
  #records: RawRecord[] = [];
  #time = 0;

  get bounds(): RawBounds {
    return { first: this.#first, next: this.#first + this.#records.length };
  }

  append(records: readonly Uint8Array[], now: number): number {
    this.#time = Math.max(this.#time, Math.floor(now));
    const offset = this.#first + this.#records.length;
    for (let i = 0; i < records.length; i++)
      this.#records.push({ offset: offset + i, value: ownBytes(records[i] as Uint8Array), time: this.#time });
    return offset;
  }

  read(from: number, limit: number, bytes: number): RawRecord[] {
    const begin = Math.max(0, from - this.#first);
    let end = begin;
    for (let size = 0; end < this.#records.length && end - begin < limit; end++) {
      size += (this.#records[end] as RawRecord).value.length;
      if (size > bytes && end > begin) break;
    }
    return this.#records.slice(begin, end);
  }

  trim(before: number): void {
    const count = Math.min(before - this.#first, this.#records.length);
    if (count <= 0) return;
    this.#records = this.#records.slice(count);
    this.#first += count;
  }
}

function toRaw(key: Uint8Array, { value, revision, expires }: StoredEntry, now: number): RawEntry {
  return { key, value, revision, ttl: expires === 0 ? undefined : expires - now };
}
