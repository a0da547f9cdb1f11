import { AsyncLocalStorage } from "node:async_hooks";
import type { Incarnation } from "../incarnation.ts";

const storage = new AsyncLocalStorage<Incarnation>();
let world: Incarnation | undefined;
let last: Incarnation | undefined;

/** Runs code as an incarnation: patched globals that it calls, now or after any wait, are that incarnation's. */
export function enterAs(incarnation: Incarnation, run: () => void): void {
  if (incarnation.name === "world") world = incarnation;
  last = incarnation;
  storage.run(incarnation, run);
}

/**
 * Whose code is running; the world's if it is nobody's, such as a callback of a module that all machines share. `undefined` outside a
 * simulation, where patched globals do what they always do.
 */
export function currentIncarnation(): Incarnation | undefined {
  return storage.getStore() ?? world;
}

/** The world's incarnation, for what all machines share. `undefined` outside a simulation. */
export function worldIncarnation(): Incarnation | undefined {
  return world;
}

/** Whose event is running, or was the last to run. */
export function lastIncarnation(): Incarnation | undefined {
  return last;
}

/** The simulation is over: code that is nobody's is real again. */
export function leaveWorld(): void {
  world = undefined;
  last = undefined;
}
