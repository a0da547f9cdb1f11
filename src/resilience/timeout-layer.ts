import { channel } from "node:diagnostics_channel";
import { type Runtime, TimeoutError } from "../core/index.ts";
import type { Call, CallContext, Layer } from "./call.ts";
import { type Expiring, ExpiryQueue } from "./expiry-queue.ts";
import { type AbortListener, Scope } from "./scope.ts";

const expired = channel("ashlar:timeout:expired");

export class TimeoutLayer implements Layer {
  readonly runtime: Runtime;
  readonly ms: number;
  readonly name: string;
  /** Whether the caller waits until the operation has ended. */
  readonly cooperative: boolean;
  readonly #pending: ExpiryQueue<PendingCall>;

  constructor(
    runtime: Runtime,
    options: { readonly ms: number; readonly name: string; readonly cooperative?: boolean },
  ) {
    this.runtime = runtime;
    this.ms = options.ms;
    this.name = options.name;
    this.cooperative = options.cooperative ?? false;
    this.#pending = new ExpiryQueue(runtime);
  }

  /** Calls that are under way. */
  get pending(): number {
    return this.#pending.size;
  }

  run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    const endsAt = this.runtime.clock.monotonic() + this.ms;
    // An earlier deadline further out frees the caller; a timer here would only come too late.
    if (endsAt >= context.endsAt) return call.proceed(depth, context);
    const outer = context.scope;
    if (outer?.aborted) return Promise.reject(outer.reason);
    return new Promise<T>((resolve, reject) => {
      const scope = new Scope();
      const pending = new PendingCall(this, this.#pending, { scope, outer, endsAt, reject });
      call.proceed(depth, context.withScope(scope, context.attempt, endsAt)).then(
        (value) => {
          pending.leave();
          resolve(value);
        },
        (error: unknown) => {
          pending.leave();
          reject(pending.error ?? error);
        },
      );
    });
  }
}

class PendingCall implements Expiring, AbortListener {
  readonly endsAt: number;
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  /** What the caller is told instead of what the operation says after the time was up. */
  error: unknown;
  readonly #layer: TimeoutLayer;
  readonly #queue: ExpiryQueue<PendingCall>;
  readonly #scope: Scope;
  readonly #outer: Scope | undefined;
  readonly #reject: (error: unknown) => void;
  #waits = true;

  constructor(
    layer: TimeoutLayer,
    queue: ExpiryQueue<PendingCall>,
    call: {
      readonly scope: Scope;
      readonly outer: Scope | undefined;
      readonly endsAt: number;
      readonly reject: (error: unknown) => void;
    },
  ) {
    this.#layer = layer;
    this.#queue = queue;
    this.#scope = call.scope;
    this.#outer = call.outer;
    this.endsAt = call.endsAt;
    this.#reject = call.reject;
    queue.push(this);
    call.outer?.tell(this);
  }

  /** Harmless when repeated. */
  leave(): void {
    if (!this.#waits) return;
    this.#waits = false;
    this.#queue.remove(this);
    this.#outer?.forget(this);
  }

  expire(): void {
    this.#waits = false;
    this.#outer?.forget(this);
    const { name, ms } = this.#layer;
    const error = new TimeoutError(
      `${name}: not done within ${ms} ms, and may yet be done; allow more time or find out what is slow`,
      // The operation had begun: what it asked for may have happened.
      { definite: false, details: { name, timeoutMs: ms } },
    );
    if (expired.hasSubscribers) expired.publish({ name, timeoutMs: ms });
    this.#stop(error);
  }

  onAbort(reason: unknown): void {
    this.leave();
    this.#stop(reason);
  }

  #stop(reason: unknown): void {
    this.error = reason;
    this.#scope.onAbort(reason);
    if (!this.#layer.cooperative) this.#reject(reason);
  }
}
