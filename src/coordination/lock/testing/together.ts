import { createManualRuntime, type ManualRuntime } from "../../../core/testing/manual-runtime.ts";
import { MemoryStore } from "../../../engine/memory/index.ts";
import { open, type Process } from "../../lease/testing/process.ts";

/** Processes in virtual time, with one clock, on one store. */
export interface Together extends AsyncDisposable {
  readonly runtime: ManualRuntime;
  readonly processes: readonly Process[];
}

export function together(count: number): Together {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const processes = Array.from({ length: count }, () => open(store, runtime));
  return {
    runtime,
    processes,
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map(({ engine }) => engine.close()));
    },
  };
}
