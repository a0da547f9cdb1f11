import { fullJitter, isAshlarError, type Key, type KeyRange, linkSignals, sleep } from "../../core/index.ts";
import type { Change, Engine } from "../../engine/index.ts";

/**
 * Watches the range until `done` says so of an array of changes, of which the first holds the present state. An engine that is away for a while
 * is waited for.
 */
export async function watchUntil(
  engine: Engine,
  range: KeyRange,
  done: (changes: readonly Change[], first: boolean) => boolean,
  signal: AbortSignal,
): Promise<void> {
  for (let failures = 0; ; failures++) {
    try {
      let first = true;
      for await (const changes of engine.kv.watch(range, { signal })) {
        failures = 0;
        if (done(changes, first)) return;
        first = false;
      }
    } catch (error) {
      if (signal.aborted || !isAshlarError(error) || !error.retryable) throw error;
    }
    await sleep(engine.runtime, fullJitter(engine.runtime, failures, { base: 10, cap: 1000 }), { signal, ref: false });
  }
}

/**
 * Makes the attempt until it comes to something: an engine that is away is waited for, with growing pauses, and a commit whose outcome is unknown is made again, so it must be one
 * that may be repeated.
 */
export async function patiently<T>(engine: Engine, attempt: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) throw error;
    }
    await sleep(engine.runtime, fullJitter(engine.runtime, failures, { base: 10, cap: 1000 }), { signal, ref: false });
  }
}

/** Waits until the key is absent. */
export function untilAbsent(engine: Engine, key: Key, signal: AbortSignal): Promise<void> {
  const gone = (changes: readonly Change[], first: boolean): boolean =>
    (first && changes.length === 0) || changes.some(({ deleted }) => deleted);
  return watchUntil(engine, { key }, gone, signal);
}

/** What the first of the waits to end comes to; the others are aborted. */
export async function firstOf<T>(
  signal: AbortSignal,
  waits: readonly ((signal: AbortSignal) => Promise<T>)[],
): Promise<T> {
  const controller = new AbortController();
  using linked = linkSignals(signal, controller.signal);
  const running = waits.map((wait) => wait(linked.signal));
  try {
    return await Promise.race(running);
  } finally {
    controller.abort();
    // Those that come too late have nothing to tell.
    for (const each of running) each.catch(() => {});
  }
}
