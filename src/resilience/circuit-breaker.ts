import type { Runtime } from "../core/index.ts";
import { BreakerMachine } from "./breaker-machine.ts";
import {
  type BreakerSettings,
  type BreakerState,
  breakerSettings,
  type CircuitBreakerOptions,
} from "./breaker-options.ts";
import type { Call, CallContext, Layer } from "./call.ts";
import { withLayer } from "./layered.ts";
import type { Policy } from "./policy.ts";

export interface CircuitBreaker extends Policy {
  readonly state: BreakerState;
  /** Refuses all calls until `close`: for maintenance. */
  isolate(): void;
  /** Lets calls through again and forgets what was counted, from whatever state. */
  close(): void;
}

/**
 * Stops calling what keeps failing: gives it time to recover and its callers a quick answer, a `CircuitOpenError` with `details.retryAfterMs`. Closed, it counts outcomes; over
 * a threshold it opens; when the time is up it lets `probes` calls through at a time, and closes after `requiredSuccesses`, or opens for twice as long after a failure. Outcomes of
 * calls that began in an earlier state do not count. It moves on only when called, so it needs no timer and no disposal.
 * After M. Nygard, Release It!, "Circuit Breaker".
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function circuitBreaker(options: CircuitBreakerOptions = {}): CircuitBreaker {
  const settings = breakerSettings(options);
  const machine = new BreakerMachine(settings);
  return withLayer(new BreakerLayer(settings, machine), {
    get state() {
      return machine.state;
    },
    isolate: () => machine.isolate(),
    close: () => machine.close(),
  });
}

class BreakerLayer implements Layer {
  readonly runtime: Runtime;
  readonly #settings: BreakerSettings;
  readonly #machine: BreakerMachine;
  /** Whether the moment at which a call began matters while closed. */
  readonly #timed: boolean;

  constructor(settings: BreakerSettings, machine: BreakerMachine) {
    this.runtime = settings.runtime;
    this.#settings = settings;
    this.#machine = machine;
    this.#timed = settings.slowMs !== Number.POSITIVE_INFINITY;
  }

  run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    const machine = this.#machine;
    let startedAt = Number.NaN;
    if (!machine.isClosed) {
      startedAt = this.runtime.clock.monotonic();
      const refusal = machine.admitProbe(startedAt);
      if (refusal !== undefined) return Promise.reject(refusal);
    } else if (this.#timed) startedAt = this.runtime.clock.monotonic();
    const generation = machine.generation;
    return call.proceed(depth, context).then(
      (result) => {
        machine.ended(generation, startedAt, this.#settings.isFailure?.(result) ? "failure" : "success");
        return result;
      },
      (error: unknown) => {
        machine.ended(generation, startedAt, this.#judge(error, context));
        throw error;
      },
    );
  }

  #judge(error: unknown, { scope }: CallContext): "success" | "failure" | "void" {
    // A deadline further out that passed meanwhile is the dependency's failure; a caller that has gone away is nobody's.
    if (scope?.aborted) return (scope.reason as Error | undefined)?.name === "TimeoutError" ? "failure" : "void";
    // What the dependency answers with, be it a refusal, shows that it works.
    return this.#settings.tripIf(error) ? "failure" : "success";
  }
}
