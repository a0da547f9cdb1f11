import { ClosedError } from "./errors.ts";

/** The closing of something that has a lifetime. */
export interface Closer {
  /** True from the moment that `close` was first called. */
  readonly closed: boolean;
  /** @throws ClosedError `close` was called */
  assertOpen(): void;
  /** Runs the closing function once; every call returns the same promise. */
  close(): Promise<void>;
}

/**
 * Gives something with a lifetime its `close`. `what` names it in the message of `ClosedError`: "the engine".
 * A closing function that throws makes `close` reject, for every caller.
 */
export function createCloser(fn: () => Promise<void>, what: string): Closer {
  let closing: Promise<void> | undefined;
  return {
    get closed() {
      return closing !== undefined;
    },
    assertOpen() {
      if (closing !== undefined) throw new ClosedError(`${what} is closed: open it anew to use it again`);
    },
    close() {
      if (closing === undefined) {
        // Set before `fn` runs, so that what `fn` calls already finds it closed.
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        closing = promise;
        new Promise<void>((done) => done(fn())).then(resolve, reject);
      }
      return closing;
    },
  };
}
