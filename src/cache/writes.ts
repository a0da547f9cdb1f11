import { invalidArgument, isAshlarError, toMilliseconds, withDeadline } from "../core/index.ts";
import type { Engine, Transaction } from "../engine/index.ts";
import type { CacheSetOptions, InvalidateOptions } from "./cache-contract.ts";
import type { CacheSettings, CacheWriter } from "./cache-options.ts";
import type { EntryStore } from "./entry-store.ts";
import { drawLifetime, type StoredEntry } from "./stored-entry.ts";
import { checkTags } from "./tags.ts";
import type { WriteBehind } from "./write-behind.ts";

/** All that changes entries but loads. */
export class Writes<V> {
  readonly #engine: Engine;
  readonly #settings: CacheSettings<V>;
  readonly #store: EntryStore<V>;
  readonly #behind: WriteBehind<V> | undefined;

  constructor(parts: {
    readonly engine: Engine;
    readonly settings: CacheSettings<V>;
    readonly store: EntryStore<V>;
    readonly behind: WriteBehind<V> | undefined;
  }) {
    this.#engine = parts.engine;
    this.#settings = parts.settings;
    this.#store = parts.store;
    this.#behind = parts.behind;
  }

  async set(key: string, value: V, options: CacheSetOptions): Promise<void> {
    const { ttl, tx, signal } = options;
    const most = this.#settings.ttl;
    const fresh = ttl === undefined ? most : toMilliseconds(ttl, "ttl", { min: 1, max: most });
    const tags = checkTags(options.tags ?? this.#settings.tags?.(value, key) ?? []);
    const put = async (inner: Transaction): Promise<void> => {
      const entry: StoredEntry<V> = {
        value,
        ...(await this.#store.idsIn(inner, tags)),
        cost: 0,
        ...drawLifetime(fresh, this.#settings, this.#engine.runtime),
      };
      this.#store.write(inner, key, entry);
    };
    const behind = this.#behind;
    if (behind !== undefined) {
      const id = this.#store.newId();
      await behind.accepting(() =>
        this.#in(tx, signal, async (inner) => {
          behind.accept(inner, key, value, id);
          await put(inner);
        }),
      );
    } else if (this.#settings.store !== undefined) await this.#through(this.#settings.store, key, value, put, options);
    else await this.#in(tx, signal, put);
  }

  invalidate(key: string, { tx, signal }: InvalidateOptions): Promise<void> {
    return this.#in(tx, signal, (inner) => this.#store.invalidate(inner, key));
  }

  invalidateTag(tag: string, { tx, signal }: InvalidateOptions): Promise<void> {
    return this.#in(tx, signal, (inner) => this.#store.invalidateTag(inner, tag));
  }

  clear({ tx, signal }: InvalidateOptions): Promise<void> {
    return this.#in(tx, signal, (inner) => this.#store.clear(inner));
  }

  /**
   * The key is empty and claimed while the store of record is written, so that nobody caches what it held before. If the claim is lost meanwhile, or the write fails, the
   * key is left empty: the next reader loads what there is.
   */
  async #through(
    writer: CacheWriter<V>,
    key: string,
    value: V,
    put: (tx: Transaction) => Promise<void>,
    { tx, signal }: CacheSetOptions,
  ): Promise<void> {
    if (tx !== undefined) {
      throw invalidArgument("tx", tx, "nothing: the store of record of a write-through cache is not part of it");
    }
    const id = this.#store.newId();
    await this.#in(undefined, signal, (inner) => this.#store.seize(inner, key, id));
    try {
      const { loadTimeout } = this.#settings;
      using scope = withDeadline(this.#engine.runtime, { signal, deadlineMs: loadTimeout, name: `writing ${key}` });
      await writer(key, value, { signal: scope.signal, id, version: undefined });
    } catch (error) {
      await this.#in(undefined, undefined, (inner) => this.#store.invalidate(inner, key)).catch(() => {});
      throw error;
    }
    try {
      await this.#in(undefined, undefined, async (inner) => {
        if (await this.#store.hasClaim(inner, key, id)) await put(inner);
        else this.#store.invalidate(inner, key);
      });
    } catch (error) {
      if (!isAshlarError(error, "LIMIT")) throw error;
      await this.#in(undefined, undefined, (inner) => this.#store.invalidate(inner, key));
      throw error;
    }
  }

  async #in(
    tx: Transaction | undefined,
    signal: AbortSignal | undefined,
    change: (tx: Transaction) => void | Promise<void>,
  ): Promise<void> {
    if (tx !== undefined) await change(this.#engine.join(tx));
    else await this.#engine.transact(change, signal ? { signal } : {});
  }
}
