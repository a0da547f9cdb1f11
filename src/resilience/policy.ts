import type { Duration } from "../core/index.ts";

/** How important a call is, from what is shed last to what is shed first. After "Criticality" in B. Beyer et al., Site Reliability Engineering, ch. 21. */
export type Priority = "critical" | "high" | "normal" | "low";

/** What the function under a policy is told. May be passed on as the options of another policy's `execute`. */
export interface PolicyContext {
  /** Aborts when the caller's signal does, when the time is up, or when another attempt has won. Made on first use. */
  readonly signal: AbortSignal;
  /** 1 at first; counted by the innermost `retry` or `hedge` around the function. */
  readonly attempt: number;
  /** Milliseconds left until the earliest deadline around the function, never below 0; `Infinity` if there is none. */
  readonly deadline: number;
  readonly priority: Priority;
  readonly key: string | undefined;
  /** Whether the caller has said that doing it twice does no more than doing it once. */
  readonly idempotent: boolean;
}

export interface ExecuteOptions {
  /** Its abort is passed on; policies that wait (backoff, queue, timeout) reject at once with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Time allowed for all of it, enforced as by an outermost `timeout`. Default: none. */
  readonly deadline?: Duration | undefined;
  /** For `loadShedding`. Default "normal". */
  readonly priority?: Priority | undefined;
  /** What `keyed` tells calls apart by: a host, a tenant. */
  readonly key?: string | undefined;
  /** Doing it twice does no more than doing it once, so that it may be repeated even if the outcome of an attempt is unknown. Default false. */
  readonly idempotent?: boolean | undefined;
}

/** What runs under a policy. */
export type Operation<T> = (context: PolicyContext) => T | PromiseLike<T>;

/** Guards calls of any function. Stateful policies (breakers, bulkheads, budgets) are made once per dependency and shared by its calls. */
export interface Policy<Substitute = never> {
  /**
   * Runs `operation` under the policy. An error of the operation comes through as it is.
   * @throws what the policy throws when it refuses or gives up; the signal's reason after an abort
   */
  execute<T>(operation: Operation<T>, options?: ExecuteOptions): Promise<T | Substitute>;
  /** A function that runs `fn` under the policy at each call: `fn` gets the context first, so that the arguments' types need no help, then the arguments. */
  wrap<A extends unknown[], T>(
    fn: (context: PolicyContext, ...args: A) => T | PromiseLike<T>,
    options?: ExecuteOptions,
  ): (...args: A) => Promise<T | Substitute>;
}

/** What a policy puts in the place of an operation's result: `never` for all but `fallback`. */
export type SubstituteOf<P> = P extends Policy<infer S> ? S : never;
