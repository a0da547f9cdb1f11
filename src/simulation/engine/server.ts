import type { Runtime } from "../../core/index.ts";
import type { Driver } from "../../engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../engine/memory/index.ts";

/**
 * The engine's server in a simulation: one store, opened by any number of clients. The drivers that it hands out answer within the
 * turn, by promises alone: time and trouble come from the simulated way to it.
 */
export interface EngineServer {
  /** A connection to the store. */
  open(): Driver;
}

/** Makes the server, given the clock and chance of its machine. */
export type CreateEngineServer = (runtime: Runtime) => EngineServer;

/** The reference engine's store, which never loses anything. */
export const memoryServer: CreateEngineServer = (runtime) => {
  const store = new MemoryStore(runtime);
  return { open: () => createMemoryDriver(store) };
};
