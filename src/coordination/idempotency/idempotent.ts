import type { Engine } from "../../engine/index.ts";
import type { RunContext } from "./contract.ts";
import { createIdempotency } from "./idempotency.ts";
import type { CallOptions } from "./options.ts";

/**
 * `fn` once for each key, its answer for everybody: `createIdempotency(engine, "default").run(key, fn, options)`, for who needs no names and no settings of his own.
 * @throws see `Idempotency.run`
 */
export async function idempotent<T>(
  engine: Engine,
  key: string,
  fn: (context: RunContext) => T | Promise<T>,
  options: CallOptions<T> = {},
): Promise<T> {
  return (await createIdempotency(engine, "default").run(key, fn, options)).value;
}
