import { type Runtime, systemRuntime } from "../../core/index.ts";
import type { Engine } from "../contract.ts";
import { createEngine } from "../engine.ts";
import { createMemoryDriver } from "./driver.ts";
import { MemoryStore } from "./store.ts";

export { createMemoryDriver } from "./driver.ts";
export { MemoryStore } from "./store.ts";

export interface MemoryOptions {
  /** Where the data lies; give the same store to several engines to share it. Default: a new one. */
  readonly store?: MemoryStore;
  /** Clock, chance and timers. Default: the system's. */
  readonly runtime?: Runtime;
}

/** The reference engine: complete, fast, and gone with the process. For tests, simulations and caches that may be lost. */
export function openMemory(options: MemoryOptions = {}): Engine {
  const runtime = options.runtime ?? systemRuntime;
  return createEngine(createMemoryDriver(options.store ?? new MemoryStore(runtime)), { runtime });
}
