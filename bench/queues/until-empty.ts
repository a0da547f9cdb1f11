import { setTimeout as pause } from "node:timers/promises";

/** Asks the store itself, every five milliseconds, whether a job is left that has not been acknowledged. */
export async function untilEmpty(left: () => Promise<number>): Promise<void> {
  while ((await left()) > 0) await pause(5);
}
