import type { Timers } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { Engine } from "../../engine/index.ts";
import { MemoryStore, openMemory } from "../../engine/memory/index.ts";
import { type Cache, type CacheOptions, createCache } from "../index.ts";

/** Several processes on one memory store, in virtual time. */
export interface VirtualCluster extends AsyncDisposable {
  readonly runtime: ManualRuntime;
  /** Another process's engine. */
  engine(): Engine;
  /** Another process, which can be made to stand still for ever: no timer of it fires any more. Nothing of it is closed at the end. */
  process(): { readonly engine: Engine; freeze(): void };
  cache<V>(options: CacheOptions<V>, engine?: Engine): Cache<V>;
  /** Lets time pass until the promise has settled, ten minutes at most. */
  run<T>(work: Promise<T> | (() => Promise<T>)): Promise<T>;
}

export function createVirtualCluster(): VirtualCluster {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const closing: AsyncDisposable[] = [];
  async function run<T>(work: Promise<T> | (() => Promise<T>)): Promise<T> {
    let settled = false;
    const promise = typeof work === "function" ? work() : work;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, settle);
    for (let ms = 0; !settled && ms < 600_000; ms++) await runtime.advance(1);
    if (!settled) throw new Error("not settled within ten minutes of virtual time");
    return promise;
  }
  const engine = (): Engine => {
    const opened = openMemory({ store, runtime });
    closing.unshift(opened);
    return opened;
  };
  function process(): { readonly engine: Engine; freeze(): void } {
    let frozen = false;
    const unlessFrozen = (fn: () => void) => () => {
      if (!frozen) fn();
    };
    const timers: Timers = {
      after: (ms, fn, options) => runtime.timers.after(ms, unlessFrozen(fn), options),
      immediate: (fn) => runtime.timers.immediate(unlessFrozen(fn)),
    };
    return {
      engine: openMemory({ store, runtime: { ...runtime, timers } }),
      freeze: () => {
        frozen = true;
      },
    };
  }
  return {
    runtime,
    engine,
    process,
    cache(options, on = engine()) {
      const cache = createCache(on, "products", options);
      closing.unshift(cache);
      return cache;
    },
    run,
    async [Symbol.asyncDispose]() {
      for (const each of closing) await run(Promise.resolve(each[Symbol.asyncDispose]()));
    },
  };
}
