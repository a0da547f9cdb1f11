/** Hears of an abort once. */
export interface AbortListener {
  onAbort(reason: unknown): void;
}

/**
 * An abort that may come: of a caller's signal, of a deadline, of a race that was lost. An `AbortSignal` is made only when somebody asks for it, because making one
 * costs more than all else that a policy does in a call.
 */
export class Scope implements AbortListener {
  /** The caller's signal that it stands for; a scope of our own has none. */
  readonly #external: AbortSignal | undefined;
  #controller: AbortController | undefined;
  #listeners: Set<AbortListener> | undefined;
  #aborted = false;
  #reason: unknown;

  constructor(external?: AbortSignal) {
    this.#external = external;
  }

  get aborted(): boolean {
    return this.#external?.aborted ?? this.#aborted;
  }

  get reason(): unknown {
    return this.#external === undefined ? this.#reason : this.#external.reason;
  }

  /** The same signal at each call. */
  get signal(): AbortSignal {
    if (this.#external !== undefined) return this.#external;
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** The listener is told once, unless it is forgotten before; at once if the abort has come already. */
  tell(listener: AbortListener): void {
    if (this.aborted) {
      listener.onAbort(this.reason);
      return;
    }
    if (this.#listeners === undefined) this.#listeners = new Set();
    if (this.#listeners.size === 0) this.#external?.addEventListener("abort", this.#onExternalAbort);
    this.#listeners.add(listener);
  }

  /** Leaves nothing behind on the caller's signal once the last listener is gone. */
  forget(listener: AbortListener): void {
    if (this.#listeners?.delete(listener) && this.#listeners.size === 0)
      this.#external?.removeEventListener("abort", this.#onExternalAbort);
  }

  /** Only for a scope of our own. Harmless when repeated: the first reason stands. */
  onAbort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.#tellAll(reason);
  }

  readonly #onExternalAbort = (): void => {
    this.#external?.removeEventListener("abort", this.#onExternalAbort);
    this.#tellAll(this.#external?.reason);
  };

  #tellAll(reason: unknown): void {
    const listeners = this.#listeners;
    this.#listeners = undefined;
    if (listeners !== undefined) for (const listener of listeners) listener.onAbort(reason);
  }
}
