import type { Duration } from "../../core/index.ts";

/** A version of the configuration, as its schema gives it back. */
export interface Current<T> {
  /** Plain objects and arrays in it are frozen. */
  readonly value: T;
  /** 1 for the first that was set, one more for each that followed. 0: nothing was set yet, the value is that of `defaults`. */
  readonly version: number;
  /** When it was set: milliseconds since the epoch, by the engine's clock. `undefined` for version 0. */
  readonly time: number | undefined;
  readonly author?: string;
  readonly reason?: string;
  /** The version of which this is a repetition, by `rollback`. */
  readonly rolledBackTo?: number;
}

/** A version as it is stored; what it holds need not satisfy the schema any more. */
export interface Revision extends Omit<Current<unknown>, "time"> {
  readonly time: number;
}

/** The engine has not confirmed the value for longer than `staleAfter`. */
export interface Stale {
  /** Until then the value was surely the latest: milliseconds since the epoch, by this process's clock. */
  readonly since: number;
  /** How long ago that is, in milliseconds. */
  readonly forMs: number;
}

/** What is stored does not satisfy the schema of this process. */
export interface Invalid {
  /** `undefined`: it was not written by `set` at all. */
  readonly version: number | undefined;
  /** An `InvalidArgumentError`; `details.issues` names what is wrong. A `CorruptionError` if it was not written by `set`. */
  readonly error: unknown;
}

export interface ChangeOptions {
  /** Who changes it. 1 to 200 characters. */
  readonly author?: string;
  /** Why. 1 to 2,000 characters. */
  readonly reason?: string;
  /** Change it only if this is the present version; 0: only if nothing was set yet. Default: whatever it is. */
  readonly expectedVersion?: number;
  /** Its abort ends the call with its reason; a commit that was on its way may have been applied. */
  readonly signal?: AbortSignal;
}

/** One value that all processes watch, with its schema and its history. */
export interface Config<T, Input = T> extends AsyncDisposable {
  /**
   * Resolves once the value has been read from the engine; waits for an engine that is away. At once if it has been.
   * @param options `timeout`: default for as long as it takes
   * @throws TimeoutError not read in time; it goes on in the background
   * @throws InvalidArgumentError `defaults` do not satisfy the schema
   */
  ready(options?: { readonly timeout?: Duration; readonly signal?: AbortSignal }): Promise<void>;
  /**
   * The value as this process knows it: the latest that was set and satisfies the schema, or `defaults`. No call: what others set arrives by itself.
   * @throws InvalidStateError not read yet (see `ready`), or nothing was set that satisfies the schema and there are no defaults
   */
  get(): T;
  /** The same with its version, time, author and reason. */
  current(): Current<T>;
  /** Whether, and since when, the engine has been away, so that the value may not be the latest; asked of the clock. `undefined`: it was confirmed within `staleAfter`. */
  readonly stale: Stale | undefined;
  /** The stored version that does not satisfy the schema of this process, which therefore keeps an earlier one. `undefined`: all is well. */
  readonly invalid: Invalid | undefined;
  /**
   * Sets a new version. When it resolves, `get` of this process gives it back.
   * @throws InvalidArgumentError the value does not satisfy the schema, or cannot be stored
   * @throws LimitError more than `maxBytes`
   * @throws ConflictError another version than `expectedVersion` is present; `details` is `{ expected, actual }`
   * @throws OutcomeUnknownError the answer was lost for good: it may be set. `history` tells
   */
  set(value: Input, options?: ChangeOptions): Promise<Current<T>>;
  /**
   * Sets what the function makes of the present value; nothing that others set meanwhile is lost. The function may run several times.
   * @throws as for `set`; InvalidStateError nothing was set and there are no defaults
   */
  update(fn: (value: T, version: number) => Input | Promise<Input>, options?: ChangeOptions): Promise<Current<T>>;
  /**
   * Sets the value of an earlier version again, as a new version.
   * @throws InvalidArgumentError that version is not kept, or does not satisfy the schema any more
   */
  rollback(version: number, options?: ChangeOptions): Promise<Current<T>>;
  /**
   * The versions that are kept, latest first, the present one included; without gaps.
   * @param options `limit`: 1 to 10,000, default 20; `before`: only versions below this one, for the next page
   */
  history(options?: {
    readonly limit?: number;
    readonly before?: number;
    readonly signal?: AbortSignal;
  }): Promise<Revision[]>;
  /**
   * First the value as it is, then each change: always the latest, so versions may be skipped, but ascend. What does not satisfy the schema is left out. Waits while there is nothing. Ends by `return`, by the signal (rejects
   * with its reason), or when the configuration is closed.
   */
  watch(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<Current<T>>;
  /**
   * Calls the function with each change from now on, and what was before; the next call comes when the previous one's promise has resolved, with the latest. What it throws is an unhandled rejection.
   * Disposing of the result ends it.
   */
  onChange(
    fn: (current: Current<T>, previous: Current<T> | undefined) => void | Promise<void>,
    options?: { readonly signal?: AbortSignal },
  ): Disposable;
  /** Ends watches and stops following. `get` keeps the last value. */
  close(): Promise<void>;
}
