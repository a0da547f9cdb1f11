import { createLocks, type Lock } from "../coordination/lock/index.ts";
import {
  ClosedError,
  fullJitter,
  isAshlarError,
  linkSignals,
  OverloadedError,
  sleep,
  throwIfAborted,
} from "../core/index.ts";
import type { Engine, Transaction } from "../engine/index.ts";
import type { CacheSettings, CacheWriter } from "./cache-options.ts";
import type { Counters } from "./counters.ts";
import { Drain, type WriteRecord } from "./drain.ts";
import type { EntryStore, PendingWrite } from "./entry-store.ts";
import type { Layout } from "./layout.ts";

/** How soon after its death another process drains. */
const drainerLife = "10s";

/**
 * Accepted writes lie in a topic of the engine's log, in order. One process at a time, which holds a lock, applies them: those of one key one after another, those of several keys
 * at once. The position, below which all are applied, moves in a transaction that the lock fences; the next holder begins there, so writes may be
 * applied again, always in order and up to the last.
 */
export class WriteBehind<V> {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #layout: Layout;
  readonly #settings: CacheSettings<V>;
  readonly #parts: Omit<ConstructorParameters<typeof Drain<V>>[0], "lock">;
  readonly #stop = new AbortController();
  readonly #draining: Promise<void>;

  constructor(parts: {
    readonly engine: Engine;
    readonly name: string;
    readonly layout: Layout;
    readonly settings: CacheSettings<V>;
    readonly store: EntryStore<V>;
    readonly counters: Counters;
    readonly writer: CacheWriter<V>;
  }) {
    this.#engine = parts.engine;
    this.#name = parts.name;
    this.#layout = parts.layout;
    this.#settings = parts.settings;
    this.#parts = parts;
    this.#draining = parts.settings.drain ? this.#drain() : Promise.resolve();
  }

  /** Accepts the write with the transaction. */
  accept(tx: Transaction, key: string, value: V, id: string): void {
    const record: WriteRecord<V> = { key, value, id };
    const pending: PendingWrite<V> = { value, id };
    tx.append(this.#layout.writes, [record]);
    tx.set(this.#layout.pending(key), pending);
    tx.add(this.#layout.backlog, 1, { ceiling: this.#settings.maxBacklog });
  }

  /** Runs what accepts a write; a full backlog becomes an error that says so. */
  async accepting(accept: () => Promise<void>): Promise<void> {
    try {
      await accept();
    } catch (error) {
      if (!isAshlarError(error, "CONFLICT") || error.details["reason"] !== "ceiling") throw error;
      const { maxBacklog } = this.#settings;
      throw new OverloadedError(
        `cache ${this.#name}: ${maxBacklog} accepted writes wait for the store of record; try later`,
        { cause: error, details: { cache: this.#name, maxBacklog } },
      );
    }
  }

  async flush(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    using linked = linkSignals(signal, this.#stop.signal);
    const options = { signal: linked.signal };
    const { next } = await this.#engine.log.bounds(this.#layout.writes, options);
    if (next === 0) return;
    for await (const changes of this.#engine.kv.watch<number>({ key: this.#layout.position }, options)) {
      if ((changes.at(-1)?.value ?? 0) >= next) return;
    }
  }

  async close(): Promise<void> {
    this.#stop.abort(new ClosedError("the cache is closed: open it anew to use it again"));
    await this.#draining;
  }

  async #drain(): Promise<void> {
    const { signal } = this.#stop;
    const locks = createLocks(this.#engine.scope(...this.#layout.root), { ttl: drainerLife });
    for (let failures = 0; !signal.aborted; failures++) {
      let lock: Lock | undefined;
      try {
        lock = await locks.acquire("drain", { timeout: Number.POSITIVE_INFINITY, signal });
        await new Drain<V>({ ...this.#parts, lock }).run(signal, () => {
          failures = 0;
        });
      } catch (error) {
        if (signal.aborted || isAshlarError(error, "CLOSED")) break;
        const ms = fullJitter(this.#engine.runtime, failures, { base: 50, cap: 2000 });
        await sleep(this.#engine.runtime, ms, { signal, ref: false }).catch(() => {});
      } finally {
        await lock?.release();
      }
    }
  }
}
