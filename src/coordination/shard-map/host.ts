import {
  ClosedError,
  type Closer,
  createCloser,
  fullJitter,
  isAshlarError,
  keyName,
  linkSignals,
  raceAbort,
  sleep,
} from "../../core/index.ts";
import type { Change, Engine } from "../../engine/index.ts";
import { type Leases, Liveness, leasesOf } from "../lease/index.ts";
import { MapKeys } from "./keys.ts";
import type { PlanInput } from "./plan.ts";
import { MapState } from "./state.ts";

/** How long what was written may take to come back by the feed before it is not waited for any more. */
const echoMs = 1000;

/** What this process knows of one map: fed by one watch for all members and views of it, while there are any. */
export class MapHost implements AsyncDisposable {
  readonly root: Engine;
  readonly keys: MapKeys;
  readonly leases: Leases;
  readonly name: string;
  readonly state = new MapState();
  readonly liveness: Liveness;
  /** The moment, by the monotonic clock, at which the state was surely the latest; `undefined`: there is none yet. */
  confirmedAt: number | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  readonly #closer: Closer = createCloser(async () => {
    this.#stop?.abort();
    this.#closing.abort(new ClosedError("the engine is closed: open it anew to use the shard map again"));
  }, "the engine");
  #first = Promise.withResolvers<void>();
  #users = 0;
  #stop: AbortController | undefined;
  #notified = false;

  constructor(root: Engine, keys: MapKeys, name: string) {
    this.root = root;
    this.keys = keys;
    this.name = name;
    this.leases = leasesOf(root);
    this.liveness = new Liveness(this.leases, root.runtime, () => this.#notify());
    this.#first.promise.catch(() => {});
  }

  /** Aborted with a `ClosedError` when the engine is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** For planning. */
  get input(): PlanInput {
    return {
      state: this.state,
      shards: this.state.config?.shards ?? 0,
      lives: (lease) => this.liveness.lives(lease),
    };
  }

  /** Begins to follow the map, unless that is done already. Once for each `leave`. */
  enter(): void {
    this.#closer.assertOpen();
    if (this.#users++ === 0) {
      this.#stop = new AbortController();
      this.#first = Promise.withResolvers<void>();
      this.#first.promise.catch(() => {});
      void this.#follow(this.#stop.signal);
    }
  }

  leave(): void {
    if (--this.#users > 0) return;
    this.#stop?.abort();
    this.liveness.close();
    this.confirmedAt = undefined;
    this.state.clear();
  }

  /** Resolves when the state has been read for the first time. */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    using linked = linkSignals(signal, this.closing);
    await raceAbort(this.#first.promise, linked.signal);
  }

  /** Calls the function after each change, in a turn of its own, until the function that this returns is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves when the state is so, or after a while: what was written may be overwritten before the feed shows it. */
  async until(condition: () => boolean): Promise<void> {
    if (condition()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const ignore = this.onChange(() => {
      if (condition()) resolve();
    });
    const timer = this.root.runtime.timers.after(echoMs, resolve, { ref: false });
    await promise;
    timer.cancel();
    ignore();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closer.close();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { runtime } = this.root;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const startedAt = runtime.clock.monotonic();
        let fresh = true;
        for await (const changes of this.root.kv.watch({ prefix: this.keys.base }, { signal })) {
          if (signal.aborted) return;
          if (fresh) this.state.clear();
          this.#apply(changes);
          if (fresh) this.confirmedAt = startedAt;
          this.#first.resolve();
          fresh = false;
          failures = 0;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!isAshlarError(error) || !error.retryable) {
          this.#first.reject(error);
          return;
        }
      }
      const pause = fullJitter(runtime, failures, { base: 10, cap: 1000 });
      await sleep(runtime, pause, { signal, ref: false }).catch(() => {});
    }
  }

  #apply(changes: readonly Change[]): void {
    this.state.apply(changes, this.keys.base.length);
    this.liveness.watch(this.state.leases);
    this.#notify();
  }

  /** Many changes that come together are told once. */
  #notify(): void {
    if (this.#notified) return;
    this.#notified = true;
    queueMicrotask(() => {
      this.#notified = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}

/** What this process knows of that map, the same for all who ask. */
export function hostOf(engine: Engine, name: string): MapHost {
  const keys = new MapKeys(engine.namespace, name);
  return engine.shared(`shard map ${keyName(keys.base)}`, (root) => new MapHost(root, keys, name));
}
