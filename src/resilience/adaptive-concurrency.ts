import { channel } from "node:diagnostics_channel";
import {
  type Duration,
  invalidArgument,
  isAshlarError,
  type Runtime,
  refuseUnknown,
  systemRuntime,
  toMilliseconds,
} from "../core/index.ts";
import type { Call, CallContext, Layer } from "./call.ts";
import { type LimitAlgorithm, type LimitAlgorithmName, limitAlgorithms } from "./concurrency-limits.ts";
import { Gate } from "./gate.ts";
import { withLayer } from "./layered.ts";
import { checkFunction, checkInteger } from "./option-checks.ts";
import type { Policy } from "./policy.ts";

const limitChanged = channel("ashlar:adaptive-concurrency:limit");
const refused = channel("ashlar:adaptive-concurrency:refused");

export interface AdaptiveConcurrencyOptions {
  /** `gradient`: by how latency changes. `vegas`: by how far it is above the least seen. `aimd`: by refusals and timeouts alone. Default "gradient". */
  readonly algorithm?: LimitAlgorithmName;
  /** Calls at the same time to begin with. Default 20. */
  readonly initial?: number;
  /** Default 1. */
  readonly min?: number;
  /** Default 1,000. */
  readonly max?: number;
  /** Calls that wait when the limit is reached. Their wait is not counted as latency. Default 0. */
  readonly queue?: number;
  /** How long a call waits at most. Default "1s". */
  readonly queueTimeout?: Duration;
  /** Which errors say that what is called is overloaded. Default: Ashlar's TIMEOUT, OVERLOADED and RATE_LIMITED, and those with HTTP status 429 or 503. */
  readonly dropIf?: (error: unknown) => boolean;
  /** For messages and diagnostics. Default "adaptive concurrency". */
  readonly name?: string;
  readonly runtime?: Runtime;
}

export interface AdaptiveConcurrency extends Policy {
  /** Calls at the same time that are allowed now. */
  readonly limit: number;
  readonly active: number;
  readonly waiting: number;
}

/**
 * A bulkhead that finds its own size: it lets in as many calls as raise throughput and no more than begin to queue at what is called; the rest is refused with an
 * `OverloadedError`. It learns from the latency of successes and from drops; other errors say nothing.
 * After Netflix' concurrency-limits; see `limitAlgorithms` for each algorithm's source.
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function adaptiveConcurrency(options: AdaptiveConcurrencyOptions = {}): AdaptiveConcurrency {
  refuseUnknown(options, ["algorithm", "initial", "min", "max", "queue", "queueTimeout", "dropIf", "name", "runtime"]);
  const { algorithm = "gradient", runtime = systemRuntime, name = "adaptive concurrency" } = options;
  if (!Object.hasOwn(limitAlgorithms, algorithm))
    throw invalidArgument("options.algorithm", algorithm, Object.keys(limitAlgorithms).join(", "));
  checkFunction("options.dropIf", options.dropIf);
  const min = checkInteger("options.min", options.min ?? 1, 1);
  const max = checkInteger("options.max", options.max ?? Math.max(1000, min), min);
  const initial = checkInteger("options.initial", options.initial ?? Math.max(min, Math.min(max, 20)), min, max);
  const queue = checkInteger("options.queue", options.queue ?? 0, 0);
  const queueTimeoutMs = toMilliseconds(options.queueTimeout ?? 1000, "options.queueTimeout");
  const onRefused = (why: string): void => {
    if (refused.hasSubscribers) refused.publish({ name, why });
  };
  const gate = new Gate({ runtime, name, limit: initial, queue, queueTimeoutMs, onRefused });
  const limit = limitAlgorithms[algorithm]({ initial, min, max });
  return withLayer(new AdaptiveLayer({ runtime, name, gate, limit, dropIf: options.dropIf ?? tellsOfOverload }), {
    get limit() {
      return gate.limit;
    },
    get active() {
      return gate.active;
    },
    get waiting() {
      return gate.waiting;
    },
  });
}

function tellsOfOverload(error: unknown): boolean {
  if (isAshlarError(error))
    return error.code === "TIMEOUT" || error.code === "OVERLOADED" || error.code === "RATE_LIMITED";
  if (typeof error !== "object" || error === null) return false;
  const { status, statusCode } = error as { readonly status?: unknown; readonly statusCode?: unknown };
  return [status, statusCode].some((each) => each === 429 || each === 503);
}

interface AdaptiveFields {
  readonly runtime: Runtime;
  readonly name: string;
  readonly gate: Gate;
  readonly limit: LimitAlgorithm;
  readonly dropIf: (error: unknown) => boolean;
}

/** Calls whose mean makes one sample, at least: single latencies are mostly noise. */
const callsPerSample = 10;

class AdaptiveLayer implements Layer {
  readonly runtime: Runtime;
  readonly #fields: AdaptiveFields;
  #calls = 0;
  #totalMs = 0;
  #inFlight = 0;
  /** Calls that began before do not count any more: they saw the limit that a drop has lowered already. */
  #since = Number.NEGATIVE_INFINITY;

  constructor(fields: AdaptiveFields) {
    this.runtime = fields.runtime;
    this.#fields = fields;
  }

  async run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    const { gate, dropIf } = this.#fields;
    const { clock } = this.runtime;
    if (!gate.tryEnter()) await gate.enter(context);
    const startedAt = clock.monotonic();
    const inFlight = gate.active;
    try {
      if (context.scope?.aborted) throw context.scope.reason;
      const result = await call.proceed(depth, context);
      this.#succeeded(startedAt, clock.monotonic(), inFlight);
      return result;
    } catch (error) {
      if (dropIf(context.scope?.aborted ? context.scope.reason : error)) this.#dropped(startedAt, clock.monotonic());
      throw error;
    } finally {
      gate.leave();
    }
  }

  #succeeded(startedAt: number, now: number, inFlight: number): void {
    if (startedAt < this.#since) return;
    this.#calls++;
    this.#totalMs += now - startedAt;
    this.#inFlight = Math.max(this.#inFlight, inFlight);
    if (this.#calls < Math.max(callsPerSample, this.#fields.gate.limit)) return;
    this.#sample({ rttMs: this.#totalMs / this.#calls, inFlight: this.#inFlight, dropped: false });
  }

  #dropped(startedAt: number, now: number): void {
    if (startedAt < this.#since) return;
    this.#since = now;
    this.#sample({ rttMs: now - startedAt, inFlight: this.#fields.gate.active, dropped: true });
  }

  #sample(sample: { readonly rttMs: number; readonly inFlight: number; readonly dropped: boolean }): void {
    this.#calls = 0;
    this.#totalMs = 0;
    this.#inFlight = 0;
    const { gate, limit, name } = this.#fields;
    limit.sample(sample);
    const from = gate.limit;
    const to = Math.floor(limit.limit);
    if (from === to) return;
    gate.limit = to;
    if (limitChanged.hasSubscribers) limitChanged.publish({ name, from, to, ...sample });
  }
}
