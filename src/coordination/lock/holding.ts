import { LeaseLostError } from "../../core/index.ts";
import type { Hold } from "./hold.ts";

/**
 * Runs the function while something is held, and gives it back afterwards.
 * @throws LeaseLostError the hold was lost before the function had ended
 */
export async function whileHeld<H extends Hold, T>(hold: H, fn: (hold: H) => T | Promise<T>): Promise<T> {
  try {
    const result = await fn(hold);
    if (hold.held) return result;
    throw new LeaseLostError(
      "the lock was lost while the function ran: what it did outside of fenced transactions may have overlapped with another holder's work",
      { cause: hold.signal.reason },
    );
  } finally {
    await hold.release();
  }
}
