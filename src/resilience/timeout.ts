import {
  type Duration,
  invalidArgument,
  type Runtime,
  refuseUnknown,
  systemRuntime,
  toMilliseconds,
} from "../core/index.ts";
import { withLayer } from "./layered.ts";
import type { Policy } from "./policy.ts";
import { TimeoutLayer } from "./timeout-layer.ts";

export interface TimeoutOptions {
  /**
   * Whether to wait for the operation to end after its signal was aborted, instead of freeing the caller at once. The caller then waits for as long as the operation
   * ignores the signal, and gets its result if it has one after all. Default false.
   */
  readonly cooperative?: boolean;
  /** For messages and diagnostics. Default "timeout". */
  readonly name?: string;
  readonly runtime?: Runtime;
}

export interface Timeout extends Policy {
  /** Calls under way. */
  readonly pending: number;
}

/**
 * Allows the operation this much time, then aborts its signal and rejects with a `TimeoutError` at once, whether or not the operation heeds the signal; what it does
 * later is not heard of, not even as an unhandled rejection. The error is indefinite: what was asked for may have happened. Never early; late by the delay of the event
 * loop and up to 2 ms. An abort from outside frees the caller in the same way. Under an earlier deadline further out, that one counts.
 * @param duration default "10s"; 1 ms or more
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function timeout(duration: Duration = "10s", options: TimeoutOptions = {}): Timeout {
  refuseUnknown(options, ["cooperative", "name", "runtime"]);
  const { cooperative = false, name = "timeout", runtime = systemRuntime } = options;
  if (typeof cooperative !== "boolean") throw invalidArgument("options.cooperative", cooperative, "true or false");
  const ms = toMilliseconds(duration, "duration", { min: 1 });
  const layer = new TimeoutLayer(runtime, { ms, name, cooperative });
  return withLayer(layer, {
    get pending() {
      return layer.pending;
    },
  });
}
