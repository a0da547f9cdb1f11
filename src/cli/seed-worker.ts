import { type Scenario, type SimulateOptions, simulate, toWire } from "../simulation/index.ts";

/** What a worker is to run; it keeps the module from one seed to the next. */
export interface SeedTask {
  readonly module: string;
  readonly exportName: string;
  readonly options: Omit<SimulateOptions, "signal">;
}

process.on("message", (task: SeedTask) => {
  run(task).then(
    (result) => process.send?.({ result }),
    (error: Error) => process.send?.({ error: { name: error.name, message: error.message, stack: error.stack } }),
  );
});
process.on("disconnect", () => process.exit());

async function run({ module, exportName, options }: SeedTask): Promise<unknown> {
  const exported: Record<string, Scenario> = await import(module);
  const result = await simulate({ ...(exported[exportName] as Scenario), ...options });
  // What nobody will look at need not be carried over.
  return toWire(result.ok && !options.trace && !options.record ? { ...result, history: [], timeline: [] } : result);
}
