import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Scenario } from "../simulation/index.ts";
import { UsageError } from "./command.ts";

/** A scenario that a module exports. */
export interface ExportedScenario {
  /** URL of the module. */
  readonly module: string;
  /** The file as the user named it. */
  readonly file: string;
  readonly exportName: string;
  readonly name: string;
  readonly scenario: Scenario;
}

/**
 * Loads the scenarios of a module: whatever it exports that has a workload with an operation.
 * @param only the name of an export, or of a scenario
 * @throws UsageError no such file, no scenario in it, none of this name
 */
export async function loadScenarios(file: string, only: string | undefined): Promise<ExportedScenario[]> {
  const path = resolve(file);
  if (!existsSync(path)) throw new UsageError(`${file}: there is no such file`);
  const module = pathToFileURL(path).href;
  const exported: Record<string, unknown> = await import(module);
  const found = Object.entries(exported).flatMap(([exportName, value]): ExportedScenario[] => {
    if (!isScenario(value)) return [];
    return [{ module, file, exportName, name: value.name ?? exportName, scenario: value }];
  });
  if (found.length === 0)
    throw new UsageError(
      `${file}: exports no scenario, which is an object with workload.operation, a function of the client`,
    );
  const wanted = found.filter(({ exportName, name }) => only === undefined || exportName === only || name === only);
  if (wanted.length > 0) return wanted;
  throw new UsageError(
    `--only: given ${JSON.stringify(only)}; allowed: ${found.map(({ exportName }) => exportName).join(", ")}`,
  );
}

function isScenario(value: unknown): value is Scenario {
  return typeof (value as Scenario | null | undefined)?.workload?.operation === "function";
}
