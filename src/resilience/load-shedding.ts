import { channel } from "node:diagnostics_channel";
import { type Duration, type Runtime, refuseUnknown, systemRuntime, toMilliseconds } from "../core/index.ts";
import { type Call, type CallContext, type Layer, priorities } from "./call.ts";
import { Gate } from "./gate.ts";
import { withLayer } from "./layered.ts";
import { checkInteger } from "./option-checks.ts";
import type { Policy, Priority } from "./policy.ts";

const refused = channel("ashlar:load-shedding:refused");
const levelChanged = channel("ashlar:load-shedding:level");

export interface LoadSheddingOptions {
  /** Calls under way at the same time. Default 32. */
  readonly concurrency?: number;
  /** Calls that wait beyond that, of all priorities. Default: four times `concurrency`. */
  readonly queue?: number;
  /** How long a call waits at most. Default "1s". */
  readonly queueTimeout?: Duration;
  /** Waiting longer than this is a sign of overload, if the queue does not empty for a whole `interval`. Default "20ms". */
  readonly target?: Duration;
  /** How often it is decided whether to shed more or less. Default "100ms". */
  readonly interval?: Duration;
  /** For messages and diagnostics. Default "load shedding". */
  readonly name?: string;
  readonly runtime?: Runtime;
}

export interface LoadShedding extends Policy {
  /** The least important priority that is let in at present; "low": nothing is shed. */
  readonly admits: Priority;
  readonly active: number;
  readonly waiting: number;
}

/**
 * Admission by importance, for the side that serves. Calls go in by `priority`, first come, first served within one. When a queue has stood for a whole `interval` and its oldest call
 * has waited for longer than `target`, the least important priority is shed, one more at each interval until the queue moves again; "critical" is only ever refused by a full queue,
 * where it takes the place of the least important call that waits. Refusals are an `OverloadedError`.
 * After K. Nichols, V. Jacobson, "Controlling Queue Delay", 2012 (a standing queue, not a long one, is bad), and Site Reliability Engineering, ch. 21 (criticality).
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function loadShedding(options: LoadSheddingOptions = {}): LoadShedding {
  refuseUnknown(options, ["concurrency", "queue", "queueTimeout", "target", "interval", "name", "runtime"]);
  const { runtime = systemRuntime, name = "load shedding" } = options;
  const limit = checkInteger("options.concurrency", options.concurrency ?? 32, 1);
  const layer = new SheddingLayer({
    runtime,
    name,
    limit,
    queue: checkInteger("options.queue", options.queue ?? Math.min(limit * 4, 1_000_000), 1),
    queueTimeoutMs: toMilliseconds(options.queueTimeout ?? 1000, "options.queueTimeout", { min: 1 }),
    targetMs: toMilliseconds(options.target ?? 20, "options.target"),
    intervalMs: toMilliseconds(options.interval ?? 100, "options.interval", { min: 1 }),
  });
  return withLayer(layer, {
    get admits() {
      return layer.admits;
    },
    get active() {
      return layer.gate.active;
    },
    get waiting() {
      return layer.gate.waiting;
    },
  });
}

interface SheddingFields {
  readonly runtime: Runtime;
  readonly name: string;
  readonly limit: number;
  readonly queue: number;
  readonly queueTimeoutMs: number;
  readonly targetMs: number;
  readonly intervalMs: number;
}

class SheddingLayer implements Layer {
  readonly runtime: Runtime;
  readonly gate: Gate;
  readonly #fields: SheddingFields;
  /** The last lane that is let in. */
  #admitted = priorities.length - 1;
  #intervalEndsAt = Number.NEGATIVE_INFINITY;
  /** Whether a call found room at once in this interval, so that the queue was empty then. */
  #emptied = true;

  constructor(fields: SheddingFields) {
    this.runtime = fields.runtime;
    this.#fields = fields;
    const { name } = fields;
    this.gate = new Gate({
      ...fields,
      lanes: priorities.length,
      onRefused: (why) => {
        if (refused.hasSubscribers) refused.publish({ name, why });
      },
    });
  }

  get admits(): Priority {
    return priorities[this.#admitted] ?? "low";
  }

  async run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    const { gate } = this;
    const now = this.runtime.clock.monotonic();
    if (now >= this.#intervalEndsAt) this.#decide(now);
    const lane = priorities.indexOf(context.priority);
    // What is free is given to whoever comes: shedding is for a queue.
    if (gate.tryEnter()) this.#emptied = true;
    else if (lane > this.#admitted)
      throw gate.refusal(`overloaded, only calls of priority ${this.admits} and above are let in`, "shed");
    else await gate.enter(context, lane);
    try {
      if (context.scope?.aborted) throw context.scope.reason;
      return await call.proceed(depth, context);
    } finally {
      gate.leave();
    }
  }

  #decide(now: number): void {
    const standing = !this.#emptied && now - this.gate.oldestSince > this.#fields.targetMs;
    const from = this.admits;
    if (standing && this.#admitted > 0) {
      this.gate.clearLane(this.#admitted, `overloaded, calls of priority ${from} are shed`);
      this.#admitted--;
    } else if (!standing && this.#admitted < priorities.length - 1) this.#admitted++;
    if (levelChanged.hasSubscribers && from !== this.admits)
      levelChanged.publish({ name: this.#fields.name, from, to: this.admits });
    this.#emptied = this.gate.waiting === 0;
    this.#intervalEndsAt = now + this.#fields.intervalMs;
  }
}
