import { channel } from "node:diagnostics_channel";
import {
  type Duration,
  invalidArgument,
  type Runtime,
  refuseUnknown,
  systemRuntime,
  toMilliseconds,
} from "../core/index.ts";
import { type Backoff, backoffDelay, type Jitter, jitters } from "./backoff-delays.ts";
import type { Call, CallContext, Layer } from "./call.ts";
import { withLayer } from "./layered.ts";
import { checkFunction, checkInteger } from "./option-checks.ts";
import { pause } from "./pause.ts";
import type { Policy } from "./policy.ts";
import { retryAfterMs } from "./retry-after.ts";
import { type RetryBudget, retryBudget } from "./retry-budget.ts";
import { resultTransience, type Transience, transienceOf } from "./transience.ts";

const attempted = channel("ashlar:retry:attempt");
const gaveUp = channel("ashlar:retry:gave-up");

export interface RetryOptions {
  /** In all, the first included. Default 3. */
  readonly attempts?: number;
  /** Bound of the first delay; it doubles with each retry. Default "100ms". */
  readonly baseDelay?: Duration;
  /** No delay of the backoff is longer. Default "10s". */
  readonly maxDelay?: Duration;
  /** Default "full". */
  readonly jitter?: Jitter;
  /** No retry begins later than this after the call began. Default: no bound but that of the deadline around it. */
  readonly maxElapsed?: Duration;
  /** A retry begins only with at least this much left until the deadline around it: what an attempt needs to have a chance. Default 0. */
  readonly minRemaining?: Duration;
  /** The longest `Retry-After` that is waited for; whoever asks for more is not asked again. Default "30s". */
  readonly maxRetryAfter?: Duration;
  /** Bounds the load that retries add. Default: one of this policy's own, `retryBudget()`. `false`: none. */
  readonly budget?: RetryBudget | false;
  /** Doing it twice does no more than doing it once: retry also when an attempt's outcome is unknown. Calls may say so too. Default false. */
  readonly idempotent?: boolean;
  /** Decides for errors, instead of `transienceOf`. After an abort from outside nothing is retried, whatever it says. */
  readonly retryIf?: (error: unknown, attempt: number) => boolean;
  /** Results that are failures. They are retried as errors would be; the last attempt's is returned. Default: none. See `isFailedResponse`. */
  readonly isFailure?: (result: unknown) => boolean;
  /** For diagnostics. Default "retry". */
  readonly name?: string;
  readonly runtime?: Runtime;
}

const names = [
  "attempts",
  "baseDelay",
  "maxDelay",
  "jitter",
  "maxElapsed",
  "minRemaining",
  "maxRetryAfter",
  "budget",
  "idempotent",
  "retryIf",
  "isFailure",
  "name",
  "runtime",
];

/**
 * Tries again what failed and may succeed, after a delay that grows. Without options: 3 attempts, full jitter from 100 ms, a budget of 20 % of the calls, and only errors
 * after which surely nothing has happened (see `transienceOf`); for an idempotent call, say so, and doubtful errors are retried too. A retry that would begin at or after the
 * deadline is not waited for. What comes out in the end is the last attempt's own error or result.
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function retry(options: RetryOptions = {}): Policy {
  refuseUnknown(options, names);
  return withLayer(new RetryLayer(options), {});
}

class RetryLayer implements Layer {
  readonly runtime: Runtime;
  readonly #name: string;
  readonly #attempts: number;
  readonly #backoff: Backoff;
  readonly #maxElapsed: number;
  readonly #minRemaining: number;
  readonly #maxRetryAfter: number;
  readonly #budget: RetryBudget | undefined;
  readonly #idempotent: boolean;
  readonly #retryIf: RetryOptions["retryIf"];
  readonly #isFailure: RetryOptions["isFailure"];

  constructor(options: RetryOptions) {
    const { budget, runtime = systemRuntime, jitter = "full", maxElapsed } = options;
    this.runtime = runtime;
    this.#name = options.name ?? "retry";
    this.#attempts = checkInteger("options.attempts", options.attempts ?? 3, 1, 1000);
    const base = toMilliseconds(options.baseDelay ?? 100, "options.baseDelay");
    const cap = toMilliseconds(options.maxDelay ?? Math.max(base, 10_000), "options.maxDelay", { min: base });
    if (!jitters.includes(jitter)) throw invalidArgument("options.jitter", jitter, jitters.join(", "));
    this.#backoff = { jitter, base, cap };
    this.#maxElapsed =
      maxElapsed === undefined ? Number.POSITIVE_INFINITY : toMilliseconds(maxElapsed, "options.maxElapsed");
    this.#minRemaining = toMilliseconds(options.minRemaining ?? 0, "options.minRemaining");
    this.#maxRetryAfter = toMilliseconds(options.maxRetryAfter ?? "30s", "options.maxRetryAfter");
    if (budget !== undefined && budget !== false && typeof budget?.withdraw !== "function")
      throw invalidArgument("options.budget", budget, "a retry budget, or false");
    this.#budget = budget === false ? undefined : (budget ?? retryBudget({ runtime }));
    this.#idempotent = options.idempotent ?? false;
    checkFunction("options.retryIf", options.retryIf);
    checkFunction("options.isFailure", options.isFailure);
    this.#retryIf = options.retryIf;
    this.#isFailure = options.isFailure;
  }

  run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    this.#budget?.deposit();
    const startedAt = this.#maxElapsed === Number.POSITIVE_INFINITY ? 0 : this.runtime.clock.monotonic();
    // Most calls succeed at once: until one does not, there is no state to keep.
    const first = call.proceed(depth, context.withAttempt(1));
    return first.then(
      this.#isFailure &&
        ((result) => (this.#isFailure?.(result) ? this.#again(call, depth, context, startedAt, first) : result)),
      () => this.#again(call, depth, context, startedAt, first),
    );
  }

  /** What follows a first attempt that failed. */
  async #again<T>(
    call: Call<T>,
    depth: number,
    context: CallContext,
    startedAt: number,
    first: Promise<T>,
  ): Promise<T> {
    let before = 0;
    let running = first;
    for (let attempt = 1; ; attempt++) {
      let outcome: unknown;
      try {
        const result = await running;
        if (this.#isFailure === undefined || !this.#isFailure(result)) return result;
        const delay = this.#delay(attempt, before, resultTransience(result), result, startedAt, context);
        if (delay === undefined) return result;
        before = delay;
        outcome = result;
      } catch (error) {
        const delay = this.#delay(attempt, before, this.#judge(error, attempt), error, startedAt, context);
        if (delay === undefined) throw error;
        before = delay;
        outcome = error;
      }
      if (attempted.hasSubscribers)
        attempted.publish({ name: this.#name, attempt: attempt + 1, delayMs: before, after: outcome });
      await pause(this.runtime, before, context.scope);
      running = call.proceed(depth, context.withAttempt(attempt + 1));
    }
  }

  #judge(error: unknown, attempt: number): Transience {
    if (this.#retryIf === undefined) return transienceOf(error);
    return this.#retryIf(error, attempt) ? "safe" : "never";
  }

  /** Milliseconds until the next attempt; undefined if there is to be none. */
  #delay(
    attempt: number,
    before: number,
    transience: Transience,
    outcome: unknown,
    startedAt: number,
    context: CallContext,
  ): number | undefined {
    if (transience === "never" || context.scope?.aborted) return undefined;
    if (transience === "doubtful" && !this.#idempotent && !context.idempotent) return this.#giveUp("not idempotent");
    if (attempt >= this.#attempts) return this.#giveUp("attempts");
    const asked = retryAfterMs(outcome, this.runtime.clock.now()) ?? 0;
    if (asked > this.#maxRetryAfter) return this.#giveUp("retry-after");
    // Whoever said when to come back expects nobody before; the backoff on top keeps those who were told the same apart.
    const delay = asked + backoffDelay(this.runtime, this.#backoff, attempt - 1, before);
    if (context.endsAt !== Number.POSITIVE_INFINITY || this.#maxElapsed !== Number.POSITIVE_INFINITY) {
      const startsAt = this.runtime.clock.monotonic() + delay;
      if (startsAt >= context.endsAt - this.#minRemaining) return this.#giveUp("deadline");
      if (startsAt > startedAt + this.#maxElapsed) return this.#giveUp("max-elapsed");
    }
    // Last, so that a retry that is not made costs nothing.
    if (this.#budget !== undefined && !this.#budget.withdraw()) return this.#giveUp("budget");
    return delay;
  }

  #giveUp(why: string): undefined {
    if (gaveUp.hasSubscribers) gaveUp.publish({ name: this.#name, why });
    return undefined;
  }
}
