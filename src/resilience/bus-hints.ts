import { channel } from "node:diagnostics_channel";
import { createCloser, type Runtime, refuseUnknown, sleep, systemRuntime } from "../core/index.ts";
import type { BreakerHint, BreakerHints } from "./breaker-hints.ts";

const failed = channel("ashlar:circuit-breaker:hints-failed");

/** What is needed of a bus; an engine's `bus` fits. */
export interface HintBus {
  publish(subject: string, payload: unknown): Promise<void>;
  subscribe(
    subject: string,
    options: { readonly signal: AbortSignal },
  ): Promise<AsyncIterable<{ readonly payload: unknown }>>;
}

export interface BusHintsOptions {
  /** Where hints go; the same for all processes that share them. Default "ashlar.circuit-breaker". */
  readonly subject?: string;
  readonly runtime?: Runtime;
}

const resubscribeMs = 1000;

/**
 * Hints over a bus: `circuitBreaker({ hints: busHints(engine.bus), name: "inventory" })`. A bus that fails costs hints, never calls: a subscription that breaks is made anew
 * after a second. One for all breakers of a process; dispose of it at the end.
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function busHints(bus: HintBus, options: BusHintsOptions = {}): BreakerHints & AsyncDisposable {
  refuseUnknown(options, ["subject", "runtime"]);
  const { subject = "ashlar.circuit-breaker", runtime = systemRuntime } = options;
  const listeners = new Set<(hint: BreakerHint) => void>();
  const stopped = new AbortController();
  const report = (error: unknown): void => {
    if (failed.hasSubscribers) failed.publish({ subject, error });
  };
  const listening = listen();
  const closer = createCloser(async () => {
    stopped.abort();
    listeners.clear();
    await listening;
  }, "the hints");

  async function listen(): Promise<void> {
    while (!stopped.signal.aborted) {
      try {
        for await (const { payload } of await bus.subscribe(subject, { signal: stopped.signal })) {
          const hint = hintOf(payload);
          if (hint !== undefined) for (const listener of listeners) listener(hint);
        }
      } catch (error) {
        if (stopped.signal.aborted) return;
        report(error);
      }
      await sleep(runtime, resubscribeMs, { signal: stopped.signal, ref: false }).catch(() => undefined);
    }
  }

  return {
    publish(hint) {
      if (closer.closed) return;
      void new Promise<void>((resolve) => resolve(bus.publish(subject, hint))).catch(report);
    },
    subscribe(listener) {
      if (!closer.closed) listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    [Symbol.asyncDispose]: () => closer.close(),
  };
}

/** Undefined for what is no hint: anybody may publish on a bus. */
function hintOf(payload: unknown): BreakerHint | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  const { name, state, openMs } = payload as Partial<BreakerHint>;
  if (typeof name !== "string" || (state !== "open" && state !== "closed")) return undefined;
  return { name, state, ...(typeof openMs === "number" && openMs >= 0 && { openMs }) };
}
