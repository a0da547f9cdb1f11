import type { SimulationResult } from "./result.ts";

/** The result as structured clone can carry it between processes: errors lose their classes. */
export function toWire(result: SimulationResult): unknown {
  const { failure } = result;
  if (failure?.error === undefined) return result;
  const { name, message, stack, code } = failure.error as Error & { code?: unknown };
  const error = { name, message, stack, ...(typeof code === "string" && { code }) };
  return { ...result, failure: { ...failure, error } };
}

export function fromWire(wire: unknown): SimulationResult {
  const result = wire as SimulationResult;
  const { failure } = result;
  if (failure?.error === undefined) return result;
  const { message, ...rest } = failure.error as Error;
  return { ...result, failure: { ...failure, error: Object.assign(new Error(message), rest) } };
}
