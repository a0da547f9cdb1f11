import { invalidArgument, type Runtime, systemRuntime, toMilliseconds } from "../core/index.ts";
import type { ExecuteOptions, Operation, PolicyContext, Priority } from "./policy.ts";
import { Scope } from "./scope.ts";
import { TimeoutLayer } from "./timeout-layer.ts";

/** What stays the same for all layers and attempts of one call. */
export interface CallTraits {
  readonly runtime: Runtime;
  readonly priority: Priority;
  readonly key: string | undefined;
  readonly idempotent: boolean;
}

/** The context of one attempt, as layers hand it inwards. */
export class CallContext implements PolicyContext {
  readonly traits: CallTraits;
  /** Undefined: nothing can abort it. */
  readonly scope: Scope | undefined;
  readonly attempt: number;
  /** On the monotonic clock. Invariant: if finite, a layer further out frees the caller at that moment. */
  readonly endsAt: number;
  #untouched: AbortSignal | undefined;

  constructor(traits: CallTraits, scope: Scope | undefined, attempt: number, endsAt: number) {
    this.traits = traits;
    this.scope = scope;
    this.attempt = attempt;
    this.endsAt = endsAt;
  }

  get signal(): AbortSignal {
    if (this.scope !== undefined) return this.scope.signal;
    // One of its own: listeners on a signal shared by all calls would stay for ever.
    this.#untouched ??= new AbortController().signal;
    return this.#untouched;
  }

  get deadline(): number {
    return this.endsAt === Number.POSITIVE_INFINITY
      ? this.endsAt
      : Math.max(0, this.endsAt - this.traits.runtime.clock.monotonic());
  }

  get priority(): Priority {
    return this.traits.priority;
  }

  get key(): string | undefined {
    return this.traits.key;
  }

  get idempotent(): boolean {
    return this.traits.idempotent;
  }

  withAttempt(attempt: number): CallContext {
    return attempt === this.attempt ? this : new CallContext(this.traits, this.scope, attempt, this.endsAt);
  }

  /** For what is inside a policy that is not ours, which may abort and count by itself. */
  following(inner: ExecuteOptions | undefined): CallContext {
    if (inner === this || inner === undefined) return this;
    const signal = inner.signal;
    const scope = signal === undefined ? this.scope : new Scope(signal);
    const endsAt =
      typeof inner.deadline === "number" ? this.traits.runtime.clock.monotonic() + inner.deadline : this.endsAt;
    return new CallContext(this.traits, scope, 1, Math.min(this.endsAt, endsAt));
  }

  withScope(scope: Scope, attempt: number, endsAt: number): CallContext {
    return new CallContext(this.traits, scope, attempt, endsAt);
  }
}

/** One policy in a row of policies. */
export interface Layer {
  readonly runtime: Runtime;
  /** Does its part and calls `call.proceed(depth, …)` for what is inside, as often as it likes. Does not throw: it rejects. */
  run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T>;
}

/** One call on its way inwards. Layers share it, instead of a closure for each. */
export class Call<T> {
  readonly #operation: Operation<T>;
  readonly #layers: readonly Layer[];

  constructor(operation: Operation<T>, layers: readonly Layer[]) {
    this.#operation = operation;
    this.#layers = layers;
  }

  /** Never throws. */
  proceed(depth: number, context: CallContext): Promise<T> {
    const layer = this.#layers[depth];
    if (layer !== undefined) return layer.run(this, depth + 1, context);
    try {
      return Promise.resolve(this.#operation(context));
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

const defaults: CallTraits = { runtime: systemRuntime, priority: "normal", key: undefined, idempotent: false };
/** From what is shed last to what is shed first. */
export const priorities: readonly Priority[] = ["critical", "high", "normal", "low"];

/** Starts a call through the layers. Rejects, rather than throws, for options that are wrong. */
export function execute<T>(
  layers: readonly Layer[],
  runtime: Runtime,
  operation: Operation<T>,
  options: ExecuteOptions | undefined,
): Promise<T> {
  if (options === undefined) {
    const traits = runtime === systemRuntime ? defaults : { ...defaults, runtime };
    return new Call(operation, layers).proceed(0, new CallContext(traits, undefined, 1, Number.POSITIVE_INFINITY));
  }
  try {
    if (options instanceof CallContext && options.traits.runtime === runtime) {
      if (options.scope?.aborted) return Promise.reject(options.scope.reason);
      return new Call(operation, layers).proceed(0, options.withAttempt(1));
    }
    return executeWith(layers, runtime, operation, options);
  } catch (error) {
    return Promise.reject(error);
  }
}

function executeWith<T>(
  layers: readonly Layer[],
  runtime: Runtime,
  operation: Operation<T>,
  options: ExecuteOptions,
): Promise<T> {
  const { signal, deadline, priority = "normal", key, idempotent = false } = options;
  if (!priorities.includes(priority)) throw invalidArgument("options.priority", priority, priorities.join(", "));
  if (key !== undefined && typeof key !== "string") throw invalidArgument("options.key", key, "a string");
  if (signal?.aborted) return Promise.reject(signal.reason);
  const scope = signal === undefined ? undefined : new Scope(signal);
  const context = new CallContext({ runtime, priority, key, idempotent }, scope, 1, Number.POSITIVE_INFINITY);
  if (deadline === undefined || deadline === Number.POSITIVE_INFINITY)
    return new Call(operation, layers).proceed(0, context);
  const ms = toMilliseconds(deadline, "options.deadline");
  return new Call(operation, [new TimeoutLayer(runtime, { ms, name: "deadline" }), ...layers]).proceed(0, context);
}
