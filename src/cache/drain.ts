import type { Lock } from "../coordination/lock/index.ts";
import {
  fullJitter,
  LeaseLostError,
  linkSignals,
  raceAbort,
  sleep,
  throwIfAborted,
  withDeadline,
} from "../core/index.ts";
import type { Engine, LogRecord } from "../engine/index.ts";
import type { CacheSettings, CacheWriter } from "./cache-options.ts";
import { channels } from "./channels.ts";
import type { Counters } from "./counters.ts";
import type { PendingWrite } from "./entry-store.ts";
import type { Layout } from "./layout.ts";

/** An accepted write. Its offset is its version. */
export interface WriteRecord<V> {
  readonly key: string;
  readonly value: V;
  readonly id: string;
}

type Accepted<V> = LogRecord<WriteRecord<V>>;

/** Records read and not yet passed: a write that keeps failing holds up what lies this far behind it. */
const windowRecords = 256;
/** Keys in one transaction that moves the position: the portable limit is a hundred operations. */
const passedAtOnce = 40;
const retryBounds = { base: 100, cap: 10_000 };

/**
 * The draining of accepted writes while the lock is held. Writes of one key are applied one after another, those of several keys at once; a write that is being tried again holds up its
 * own key. The position, below which all are applied, moves in transactions that the lock fences.
 */
export class Drain<V> {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #layout: Layout;
  readonly #settings: CacheSettings<V>;
  readonly #writer: CacheWriter<V>;
  readonly #counters: Counters;
  readonly #lock: Lock;
  readonly #fault = new AbortController();
  /** Invariant: in order of offset, without gaps; the first one lies at the position. */
  readonly #window: Accepted<V>[] = [];
  readonly #applied = new Set<number>();
  /** By key, the last of its writes in the window. */
  readonly #last = new Map<string, Promise<void>>();
  #writing = 0;
  #changed = Promise.withResolvers<void>();

  constructor(parts: {
    readonly engine: Engine;
    readonly name: string;
    readonly layout: Layout;
    readonly settings: CacheSettings<V>;
    readonly writer: CacheWriter<V>;
    readonly counters: Counters;
    /** Under which this process is the only one that drains. */
    readonly lock: Lock;
  }) {
    this.#engine = parts.engine;
    this.#name = parts.name;
    this.#layout = parts.layout;
    this.#settings = parts.settings;
    this.#writer = parts.writer;
    this.#counters = parts.counters;
    this.#lock = parts.lock;
  }

  /** Until the lock is lost, the engine fails, or the signal aborts: always by throwing, when all that it began has ended. */
  async run(signal: AbortSignal, onProgress: () => void): Promise<never> {
    using linked = linkSignals(signal, this.#lock.signal, this.#fault.signal);
    const stop = linked.signal;
    const onStop = (): void => this.#wake();
    stop.addEventListener("abort", onStop, { once: true });
    const parts = [this.#read(stop), this.#advanceAll(stop, onProgress)];
    try {
      await Promise.all(parts);
      throw new Error("the drain has ended without a reason");
    } catch (error) {
      this.#fault.abort(error);
      throw error;
    } finally {
      await Promise.allSettled([...parts, ...this.#last.values()]);
    }
  }

  async #read(stop: AbortSignal): Promise<void> {
    const { writes, position } = this.#layout;
    const from = (await this.#engine.kv.get<number>(position, { signal: stop }))?.value ?? 0;
    const options = { from, limit: windowRecords, signal: stop };
    for await (const records of this.#engine.log.tail<WriteRecord<V>>(writes, options)) {
      for (const record of records) {
        while (this.#window.length >= windowRecords) await this.#change(stop);
        this.#window.push(record);
        this.#begin(record, stop);
      }
    }
  }

  #begin(record: Accepted<V>, stop: AbortSignal): void {
    const { key } = record.value;
    const before = this.#last.get(key) ?? Promise.resolve();
    const applying = before.then(async () => {
      await this.#apply(record, stop);
      this.#applied.add(record.offset);
      this.#wake();
    });
    this.#last.set(key, applying);
    applying.then(
      () => {
        if (this.#last.get(key) === applying) this.#last.delete(key);
      },
      (error: unknown) => this.#fault.abort(error),
    );
  }

  /** Until it is applied: what was accepted is never given up. */
  async #apply({ value: { key }, offset, value }: Accepted<V>, stop: AbortSignal): Promise<void> {
    const { runtime } = this.#engine;
    for (let attempt = 0; ; attempt++) {
      while (this.#writing >= this.#settings.drainConcurrency) await this.#change(stop);
      throwIfAborted(stop);
      // After a pause, the clock knows before the timers do.
      if (!this.#lock.held) throw new LeaseLostError("the cache's writes are drained by another process now, or soon");
      this.#writing++;
      try {
        await this.#write(value, offset, stop);
        this.#counters.applied++;
        return;
      } catch (error) {
        throwIfAborted(stop);
        this.#counters.writeFailures++;
        if (channels.writeFailed.hasSubscribers) {
          channels.writeFailed.publish({ cache: this.#name, key, version: offset, attempt: attempt + 1, error });
        }
      } finally {
        this.#writing--;
        this.#wake();
      }
      await sleep(runtime, fullJitter(runtime, attempt, retryBounds), { signal: stop, ref: false });
    }
  }

  async #write({ key, value, id }: WriteRecord<V>, version: number, stop: AbortSignal): Promise<void> {
    const { loadTimeout } = this.#settings;
    using scope = withDeadline(this.#engine.runtime, {
      signal: stop,
      deadlineMs: loadTimeout,
      name: `writing ${key}`,
    });
    const writing = new Promise<void>((resolve) =>
      resolve(this.#writer(key, value, { signal: scope.signal, id, version })),
    );
    await raceAbort(writing, scope.signal);
  }

  async #advanceAll(stop: AbortSignal, onProgress: () => void): Promise<void> {
    for (;;) {
      throwIfAborted(stop);
      const gap = this.#window.findIndex(({ offset }) => !this.#applied.has(offset));
      const passed = this.#window.slice(0, Math.min(passedAtOnce, gap === -1 ? this.#window.length : gap));
      const last = passed.at(-1);
      if (last === undefined) {
        await this.#change(stop);
        continue;
      }
      await this.#advance(passed, last.offset + 1, stop);
      this.#window.splice(0, passed.length);
      for (const { offset } of passed) this.#applied.delete(offset);
      this.#wake();
      onProgress();
      // The position decides; what lies below it is only in the way.
      await this.#engine.log.trim(this.#layout.writes, last.offset + 1).catch(() => {});
    }
  }

  /** Notes that they are applied, and that those keys' values are no longer pending, unless others were accepted since. */
  async #advance(passed: readonly Accepted<V>[], to: number, stop: AbortSignal): Promise<void> {
    const last = new Map(passed.map(({ value }) => [value.key, value.id]));
    const keys = [...last.keys()];
    const names = keys.map(this.#layout.pending);
    await this.#engine.transact(
      async (tx) => {
        const entries = await this.#engine.kv.getMany<PendingWrite<V>>(names, { signal: tx.signal });
        for (const [i, entry] of entries.entries()) {
          // Once another was accepted this is settled: so each key can be in the way of the commit once, however often it is written.
          if (entry === undefined || entry.value.id !== last.get(keys[i] as string)) continue;
          tx.check({ key: entry.key, version: entry.version });
          tx.delete(entry.key);
        }
        tx.set(this.#layout.position, to);
        tx.add(this.#layout.backlog, -passed.length);
      },
      { fence: this.#lock, signal: stop },
    );
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  async #change(stop: AbortSignal): Promise<void> {
    throwIfAborted(stop);
    await this.#changed.promise;
    throwIfAborted(stop);
  }
}
