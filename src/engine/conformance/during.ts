import type { Runtime } from "../../core/index.ts";

/**
 * Repeats `meanwhile`, one run after another, until the work is done; at least once. Fails with the first failure, after both have
 * ended.
 */
export async function during(
  runtime: Runtime,
  work: Promise<unknown>,
  meanwhile: () => Promise<unknown>,
): Promise<void> {
  let working = true;
  const done = work.finally(() => {
    working = false;
  });
  const repeated = (async () => {
    while (working) {
      await meanwhile();
      // An engine that answers without I/O would starve timers otherwise.
      await turn(runtime);
    }
  })();
  const [first, second] = await Promise.allSettled([done, repeated]);
  if (second.status === "rejected") throw second.reason;
  if (first.status === "rejected") throw first.reason;
}

/** `count` runs one after another. */
export async function repeat(count: number, run: (round: number) => Promise<unknown>): Promise<void> {
  for (let round = 0; round < count; round++) await run(round);
}

/** One turn of the event loop, for timers and for everyone else. */
export function turn(runtime: Runtime): Promise<void> {
  return new Promise((resolve) => void runtime.timers.immediate(resolve));
}
