import { decodeKey, decodeValue, type Key, type KeyRange, throwIfAborted } from "../core/index.ts";
import type {
  AddOptions,
  Batch,
  Change,
  CommitOptions,
  Committed,
  Entry,
  Kv,
  ListOptions,
  Mutation,
  Offset,
  ReadOptions,
  Refused,
  SetOptions,
  WatchOptions,
} from "./contract.ts";
import type { RawChange, RawEntry } from "./driver.ts";
import { encodeBatch, encodeKeyIn, encodeKeysIn, encodeRangeIn, type Space, toLimit } from "./encode-batch.ts";
import { pull } from "./pull.ts";
import { refusedError, toRefusal } from "./refusal.ts";
import type { Root } from "./root.ts";
import { toVersion } from "./versions.ts";
import { successor } from "./watcher.ts";

/** The keys of one namespace: `space.prefix` before every key. */
export function createKv(root: Root, space: Space, lane: string): Kv {
  return new KvFace(root, space, lane);
}

class KvFace implements Kv {
  readonly #root: Root;
  readonly #space: Space;
  readonly #lane: string;

  constructor(root: Root, space: Space, lane: string) {
    this.#root = root;
    this.#space = space;
    this.#lane = lane;
  }

  async get<V>(key: Key, options: ReadOptions = {}): Promise<Entry<V> | undefined> {
    this.#root.assertOpen();
    throwIfAborted(options.signal);
    const read = this.#root.driver.getMany([encodeKeyIn(this.#space, key)], options);
    const [entry] = Array.isArray(read) ? read : await read;
    return entry && this.#decode<V>(entry);
  }

  async getMany<V>(keys: readonly Key[], options: ReadOptions = {}): Promise<(Entry<V> | undefined)[]> {
    this.#root.assertOpen();
    throwIfAborted(options.signal);
    const encoded = encodeKeysIn(this.#space, keys);
    if (encoded.length === 0) return [];
    const entries = await this.#root.driver.getMany(encoded, options);
    return entries.map((entry) => entry && this.#decode<V>(entry));
  }

  list<V>(range: KeyRange, options: ListOptions = {}): AsyncIterableIterator<Entry<V>> {
    this.#root.assertOpen();
    const { start, end } = encodeRangeIn(this.#space, range);
    return this.#list<V>(start, end, toLimit(options.limit), options);
  }

  async *#list<V>(from: Uint8Array, to: Uint8Array, limit: number, options: ListOptions): AsyncGenerator<Entry<V>> {
    const reverse = options.reverse ?? false;
    const most = this.#space.limits.listEntries;
    for (let start = from, end = to, left = limit; left > 0; left -= most) {
      this.#root.assertOpen();
      throwIfAborted(options.signal);
      const size = Math.min(left, most);
      const page = await this.#root.driver.list({ start, end }, { ...options, limit: size, reverse });
      for (const entry of page) yield this.#decode<V>(entry);
      const last = page.at(-1);
      if (!last || page.length < size) return;
      if (reverse) end = last.key;
      else start = successor(last.key);
    }
  }

  async commit(batch: Batch, options: CommitOptions = {}): Promise<Committed> {
    const outcome = await this.#submit(batch, options);
    if (!outcome.ok) throw refusedError(outcome);
    return this.#committed(outcome);
  }

  async tryCommit(batch: Batch, options: CommitOptions = {}): Promise<Committed | Refused> {
    const outcome = await this.#submit(batch, options);
    if (outcome.ok) return this.#committed(outcome);
    const refusal = toRefusal(outcome);
    if (!refusal) throw refusedError(outcome);
    return { ok: false, refusal };
  }

  set(key: Key, value: unknown, options: SetOptions & CommitOptions = {}): Promise<Committed> {
    return this.commit(
      { mutations: [{ set: key, value, ...(options.ttl !== undefined && { ttl: options.ttl }) }] },
      options,
    );
  }

  delete(key: Key, options: CommitOptions = {}): Promise<Committed> {
    return this.commit({ mutations: [{ delete: key }] }, options);
  }

  async add(key: Key, delta: number, options: AddOptions & CommitOptions = {}): Promise<number> {
    const { signal, ...bounds } = options;
    const mutation: Mutation = { add: key, delta, ...bounds };
    const { adds } = await this.commit({ mutations: [mutation] }, signal ? { signal } : {});
    return adds[0]?.value as number;
  }

  watch<V>(range: KeyRange, options: WatchOptions = {}): AsyncIterableIterator<Change<V>[]> {
    this.#root.assertOpen();
    const watcher = this.#root.hub.watch(encodeRangeIn(this.#space, range));
    return pull({
      next: async () => (await watcher.next()).map((change) => this.#decodeChange<V>(change)),
      close: () => watcher.close(),
      signal: options.signal,
    });
  }

  async #submit(batch: Batch, options: CommitOptions) {
    this.#root.assertOpen();
    return this.#root.commits.submit(encodeBatch(batch, this.#space), this.#lane, options.signal);
  }

  #committed(outcome: { revision: number; adds: Committed["adds"]; offsets: readonly number[] }): Committed {
    return {
      ok: true,
      version: toVersion(outcome.revision),
      adds: outcome.adds,
      offsets: outcome.offsets as readonly Offset[],
    };
  }

  #decode<V>(entry: RawEntry): Entry<V> {
    const key = decodeKey(entry.key, this.#space.prefix.length);
    const value = decodeValue(entry.value) as V;
    const version = toVersion(entry.revision);
    return entry.ttl === undefined ? { key, value, version } : { key, value, version, ttl: entry.ttl };
  }

  #decodeChange<V>({ key, entry }: RawChange): Change<V> {
    return entry ? this.#decode<V>(entry) : { key: decodeKey(key, this.#space.prefix.length), deleted: true };
  }
}
