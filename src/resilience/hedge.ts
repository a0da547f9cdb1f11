import { channel } from "node:diagnostics_channel";
import {
  type Duration,
  invalidArgument,
  type Runtime,
  refuseUnknown,
  systemRuntime,
  type Timer,
  toMilliseconds,
} from "../core/index.ts";
import type { Call, CallContext, Layer } from "./call.ts";
import { LatencyPercentile } from "./latency-percentile.ts";
import { withLayer } from "./layered.ts";
import { checkFunction, checkInteger, checkNumber } from "./option-checks.ts";
import type { Policy } from "./policy.ts";
import { type RetryBudget, retryBudget } from "./retry-budget.ts";
import { type AbortListener, Scope } from "./scope.ts";
import { transienceOf } from "./transience.ts";

const attempted = channel("ashlar:hedge:attempt");

export interface HedgeOptions {
  /** To be stated: attempts run at the same time, and more than one may take effect. */
  readonly idempotent: true;
  /** How long the latest attempt may take before another begins beside it: a duration, or a percentile of recent latencies. Default: the 95th, with 100 ms until 16 calls were seen. */
  readonly delay?: Duration | { readonly percentile: number; readonly initial?: Duration };
  /** In all, the first included. Default 2. */
  readonly attempts?: number;
  /** Bounds the load that hedges add. Default: one of this policy's own, of 10 % of the calls and one per second. `false`: none. */
  readonly budget?: RetryBudget | false;
  /** Whether an attempt's error lets the next one begin at once; any other ends the call. Default: transient errors, see `transienceOf`. */
  readonly hedgeIf?: (error: unknown) => boolean;
  /** For diagnostics. Default "hedge". */
  readonly name?: string;
  readonly runtime?: Runtime;
}

/**
 * Against the slow tail: begins a second attempt beside the first when that takes long. The first success wins, and the signals of all others are aborted with an
 * `AbortError`. An attempt that fails transiently lets the next one begin at once; when all have failed, the last error comes out.
 * After J. Dean, L. A. Barroso, "The Tail at Scale", CACM 2013, and gRPC proposal A6.
 * @throws InvalidArgumentError `idempotent` is not stated, or an option is wrong or unknown
 */
export function hedge(options: HedgeOptions): Policy {
  refuseUnknown(options, ["idempotent", "delay", "attempts", "budget", "hedgeIf", "name", "runtime"]);
  if (options.idempotent !== true)
    throw invalidArgument(
      "options.idempotent",
      options.idempotent,
      "true, to state that attempts may run at the same time",
    );
  return withLayer(new HedgeLayer(options), {});
}

class HedgeLayer implements Layer {
  readonly runtime: Runtime;
  readonly name: string;
  readonly attempts: number;
  readonly hedgeIf: (error: unknown) => boolean;
  readonly #fixedMs: number;
  readonly #latency: LatencyPercentile | undefined;
  readonly #budget: RetryBudget | undefined;

  constructor(options: HedgeOptions) {
    const { delay = { percentile: 0.95 }, budget, runtime = systemRuntime } = options;
    this.runtime = runtime;
    this.name = options.name ?? "hedge";
    this.attempts = checkInteger("options.attempts", options.attempts ?? 2, 1, 100);
    if (typeof delay === "object" && delay !== null) {
      this.#latency = new LatencyPercentile(checkNumber("options.delay.percentile", delay.percentile, 0.5, 0.9999));
      this.#fixedMs = toMilliseconds(delay.initial ?? 100, "options.delay.initial");
    } else this.#fixedMs = toMilliseconds(delay, "options.delay");
    if (budget !== undefined && budget !== false && typeof budget?.withdraw !== "function")
      throw invalidArgument("options.budget", budget, "a retry budget, or false");
    this.#budget =
      budget === false ? undefined : (budget ?? retryBudget({ ratio: 0.1, minPerSecond: 1, capacity: 20, runtime }));
    checkFunction("options.hedgeIf", options.hedgeIf);
    this.hedgeIf = options.hedgeIf ?? ((error) => transienceOf(error) !== "never");
  }

  run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    this.#budget?.deposit();
    if (context.scope?.aborted) return Promise.reject(context.scope.reason);
    return new Promise<T>((resolve, reject) => {
      new Race<T>(this, { call, depth, context, resolve, reject }).begin();
    });
  }

  get delayMs(): number {
    const observed = this.#latency?.value ?? Number.NaN;
    return Number.isNaN(observed) ? this.#fixedMs : observed;
  }

  /** Of a whole call: if a hedge won, the first attempt's latency is at least that; what a hedge took by itself would draw the percentile down. */
  finished(ms: number): void {
    this.#latency?.record(ms);
  }

  mayHedge(): boolean {
    return this.#budget === undefined || this.#budget.withdraw();
  }
}

interface RaceFields<T> {
  readonly call: Call<T>;
  readonly depth: number;
  readonly context: CallContext;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** One call's attempts. */
class Race<T> implements AbortListener {
  readonly #layer: HedgeLayer;
  readonly #fields: RaceFields<T>;
  /** Of the attempts under way. */
  readonly #scopes = new Set<Scope>();
  #begun = 0;
  #startedAt = 0;
  #over = false;
  #timer: Timer | undefined;

  constructor(layer: HedgeLayer, fields: RaceFields<T>) {
    this.#layer = layer;
    this.#fields = fields;
  }

  begin(): void {
    this.#startedAt = this.#layer.runtime.clock.monotonic();
    this.#fields.context.scope?.tell(this);
    this.#attempt("first");
  }

  onAbort(reason: unknown): void {
    this.#end(reason);
    this.#fields.reject(reason);
  }

  #attempt(why: "first" | "slow" | "failed"): void {
    const { call, depth, context } = this.#fields;
    const { runtime, name } = this.#layer;
    const scope = new Scope();
    this.#scopes.add(scope);
    this.#begun++;
    const attempt = this.#begun;
    if (attempted.hasSubscribers && attempt > 1) attempted.publish({ name, attempt, why });
    this.#timer =
      attempt < this.#layer.attempts ? runtime.timers.after(this.#layer.delayMs, () => this.#slow()) : undefined;
    call.proceed(depth, context.withScope(scope, attempt, context.endsAt)).then(
      (value) => {
        this.#scopes.delete(scope);
        if (this.#over) return;
        this.#layer.finished(runtime.clock.monotonic() - this.#startedAt);
        this.#end(lostReason());
        this.#fields.resolve(value);
      },
      (error: unknown) => {
        this.#scopes.delete(scope);
        if (!this.#over) this.#failed(error);
      },
    );
  }

  #slow(): void {
    this.#timer = undefined;
    if (this.#layer.mayHedge()) this.#attempt("slow");
  }

  #failed(error: unknown): void {
    if (this.#layer.hedgeIf(error)) {
      if (this.#begun < this.#layer.attempts && this.#layer.mayHedge()) {
        this.#timer?.cancel();
        this.#attempt("failed");
        return;
      }
      // Others may yet succeed.
      if (this.#scopes.size > 0) return;
    }
    this.#end(lostReason());
    this.#fields.reject(error);
  }

  #end(reason: unknown): void {
    this.#over = true;
    this.#timer?.cancel();
    this.#fields.context.scope?.forget(this);
    for (const scope of this.#scopes) scope.onAbort(reason);
    this.#scopes.clear();
  }
}

function lostReason(): DOMException {
  return new DOMException("another attempt of the same call has ended it", "AbortError");
}
