import {
  fullJitter,
  isAshlarError,
  linkSignals,
  type Runtime,
  raceAbort,
  sleep,
  withDeadline,
} from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { type ConfigMessage, fresh, stale } from "./channels.ts";
import type { Stale } from "./contract.ts";
import { currentKey } from "./record.ts";
import type { View } from "./view.ts";

/**
 * Keeps a view up to date: a watch brings changes, and a read now and then proves that the engine answers, which a watch that has nothing to tell does not. Both end with the signal, or
 * when the engine is closed.
 */
export async function follow<T>(options: {
  readonly engine: Engine;
  readonly name: string;
  readonly view: View<T>;
  readonly staleAfter: number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const ended = new AbortController();
  using either = linkSignals(options.signal, ended.signal);
  // Whichever learns first that the engine is closed ends the other.
  const end = (): void => ended.abort();
  const both = { ...options, signal: either.signal };
  await Promise.all([watchChanges(both).finally(end), confirmNowAndThen(both).finally(end)]);
}

type Options<T> = Parameters<typeof follow<T>>[0];

async function watchChanges<T>({ engine, name, view, signal }: Options<T>): Promise<void> {
  await untilClosed(engine.runtime, signal, async (well) => {
    for await (const changes of engine.kv.watch({ key: currentKey(name) }, { signal })) {
      well();
      for (const change of changes) if (!change.deleted) await view.apply(change.value);
    }
  });
}

async function confirmNowAndThen<T>({ engine, name, view, staleAfter, signal }: Options<T>): Promise<void> {
  const { runtime } = engine;
  const interval = staleAfter / 3;
  let before: Stale | undefined;
  await untilClosed(runtime, signal, async (well) => {
    for (;;) {
      try {
        const asked = { monotonic: runtime.clock.monotonic(), wall: runtime.clock.now() };
        const value = await readWithin(engine, name, interval, signal);
        well();
        await view.confirm(value, asked);
      } finally {
        const now = view.stale;
        const message = { name, version: view.current?.version ?? 0 };
        if (now && !before && stale.hasSubscribers)
          stale.publish({ ...message, since: now.since } satisfies ConfigMessage);
        if (!now && before && fresh.hasSubscribers)
          fresh.publish({ ...message, since: before.since } satisfies ConfigMessage);
        before = now;
      }
      await sleep(runtime, interval * (0.8 + 0.2 * runtime.random.next()), { signal, ref: false });
    }
  });
}

/** A call that hangs must not keep the next one from being tried. */
async function readWithin(engine: Engine, name: string, ms: number, signal: AbortSignal): Promise<unknown> {
  using limit = withDeadline(engine.runtime, { deadlineMs: ms, signal, name: "config" });
  const entry = await raceAbort(engine.kv.get(currentKey(name), { signal: limit.signal }), limit.signal);
  return entry?.value;
}

/** Begins anew after each failure, with growing pauses until the work says that all is well. */
async function untilClosed(
  runtime: Runtime,
  signal: AbortSignal,
  work: (well: () => void) => Promise<void>,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await work(() => {
        failures = 0;
      });
    } catch (error) {
      if (isAshlarError(error, "CLOSED")) return;
    }
    const pause = fullJitter(runtime, failures++, { base: 10, cap: 1000 });
    await sleep(runtime, pause, { signal, ref: false }).catch(() => {});
  }
}
