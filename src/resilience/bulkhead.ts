import { channel } from "node:diagnostics_channel";
import { type Duration, type Runtime, refuseUnknown, systemRuntime, toMilliseconds } from "../core/index.ts";
import type { Call, CallContext, Layer } from "./call.ts";
import { Gate } from "./gate.ts";
import { withLayer } from "./layered.ts";
import { checkInteger } from "./option-checks.ts";
import type { Policy } from "./policy.ts";

const refused = channel("ashlar:bulkhead:refused");

export interface BulkheadOptions {
  /** Calls under way at the same time. Default 32. */
  readonly concurrency?: number;
  /** Calls that wait beyond that; 0: none. Default: as many as `concurrency`. */
  readonly queue?: number;
  /** How long a call waits at most. Default "1s"; `Infinity`: for as long as it takes. */
  readonly queueTimeout?: Duration;
  /** For messages and diagnostics. Default "bulkhead". */
  readonly name?: string;
  readonly runtime?: Runtime;
}

export interface Bulkhead extends Policy {
  /** Calls under way; never more than `concurrency`. */
  readonly active: number;
  /** Calls that wait. */
  readonly waiting: number;
}

/**
 * Keeps one slow dependency from taking all there is: at most `concurrency` calls at a time, the next ones in a bounded queue, first come, first served; the rest is
 * refused with an `OverloadedError` before it began. An abort takes a call out of the queue. A call holds its place until its operation has ended, be it after the caller was freed
 * by a timeout further out: what ignores its signal still uses the dependency.
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  refuseUnknown(options, ["concurrency", "queue", "queueTimeout", "name", "runtime"]);
  const { name = "bulkhead", runtime = systemRuntime, queueTimeout = 1000 } = options;
  const limit = checkInteger("options.concurrency", options.concurrency ?? 32, 1);
  const queue = checkInteger("options.queue", options.queue ?? limit, 0);
  const queueTimeoutMs =
    queueTimeout === Number.POSITIVE_INFINITY ? queueTimeout : toMilliseconds(queueTimeout, "options.queueTimeout");
  const onRefused = (why: string): void => {
    if (refused.hasSubscribers) refused.publish({ name, why });
  };
  const gate = new Gate({ runtime, name, limit, queue, queueTimeoutMs, onRefused });
  return withLayer(new BulkheadLayer(runtime, gate), {
    get active() {
      return gate.active;
    },
    get waiting() {
      return gate.waiting;
    },
  });
}

class BulkheadLayer implements Layer {
  readonly runtime: Runtime;
  readonly #gate: Gate;

  constructor(runtime: Runtime, gate: Gate) {
    this.runtime = runtime;
    this.#gate = gate;
  }

  run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    if (!this.#gate.tryEnter()) return this.#runLater(call, depth, context);
    return call.proceed(depth, context).then(this.#succeeded, this.#failed);
  }

  async #runLater<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    await this.#gate.enter(context);
    try {
      // It may have been aborted between being let in and getting here.
      if (context.scope?.aborted) throw context.scope.reason;
      return await call.proceed(depth, context);
    } finally {
      this.#gate.leave();
    }
  }

  readonly #succeeded = <T>(result: T): T => {
    this.#gate.leave();
    return result;
  };

  readonly #failed = (error: unknown): never => {
    this.#gate.leave();
    throw error;
  };
}
