import type { CreateEngineServer } from "../../simulation/index.ts";
import { createMemoryDriver, MemoryStore } from "../memory/index.ts";

/** A server that knows keys alone, so that the log and the bus run as layers over them. */
export const keysOnlyServer: CreateEngineServer = (runtime) => {
  const store = new MemoryStore(runtime);
  return {
    open: () => {
      const { log: _log, bus: _bus, ...driver } = createMemoryDriver(store);
      return driver;
    },
  };
};
