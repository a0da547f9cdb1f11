/** Thrown by a delivery, it says that the receiver wants no more messages. */
export class Stopped extends Error {
  constructor(reason: string, cause: unknown) {
    super(reason, cause === undefined ? undefined : { cause });
    this.name = "Stopped";
  }
}

/** For a delivery to throw: the receiver wants no more. The relay is paused, in all processes, until somebody calls `relay.queue.resume()`; this message is retried then. */
export function stop(reason: string, options: { readonly cause?: unknown } = {}): Error {
  return new Stopped(reason, options.cause);
}
