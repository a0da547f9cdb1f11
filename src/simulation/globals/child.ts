import type { PatchedGlobals } from "../run.ts";
import type { Scenario } from "../scenario.ts";
import { simulate } from "../simulate.ts";
import type { SimulateOptions } from "../sized-scenario.ts";
import { toWire } from "../wire.ts";

/** What the parent wants to be run. */
export interface Task {
  /** URL of the module. */
  readonly module: string;
  readonly exportName: string;
  readonly options: Omit<SimulateOptions, "signal">;
}

process.once("message", (task: Task) => {
  run(task).then(
    (result) => process.send?.({ result: toWire(result) }, () => process.disconnect()),
    (error: Error) =>
      process.send?.({ error: { name: error.name, message: error.message, stack: error.stack } }, () =>
        process.disconnect(),
      ),
  );
});

async function run({ module, exportName, options }: Task) {
  const patched = (globalThis as Record<symbol, unknown>)[Symbol.for("ashlar.simulation.patched")] as PatchedGlobals;
  const exported: Record<string, unknown> = await import(module);
  const scenario = exported[exportName] as Scenario | undefined;
  if (typeof scenario?.workload?.operation !== "function")
    throw new Error(`${module} exports no scenario ${exportName}`);
  return await simulate({ ...scenario, ...options }, patched);
}
