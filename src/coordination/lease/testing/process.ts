import type { Runtime } from "../../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../../core/testing/manual-runtime.ts";
import { createEngine, type Engine } from "../../../engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../../engine/memory/index.ts";
import { type TappedDriver, tapDriver } from "./tapped-driver.ts";

/** A process in virtual time, with a connection to a store that can be cut. */
export interface Process extends AsyncDisposable {
  readonly engine: Engine;
  readonly runtime: ManualRuntime;
  readonly tap: TappedDriver;
  /** Its end without a goodbye: nothing of it reaches the store any more. */
  die(): Promise<void>;
}

/** A process with a clock of its own on a store, which has another. */
export function open(
  store: MemoryStore,
  runtime = createManualRuntime(),
  options: { readonly seam?: Runtime; readonly doubt?: boolean } = {},
): Process {
  const { seam = runtime, doubt = false } = options;
  const tap = tapDriver(createMemoryDriver(store), { doubt });
  const engine = createEngine(tap.driver, { runtime: seam });
  const close = () => engine.close();
  const die = (): Promise<void> => {
    tap.away = true;
    return close();
  };
  return { engine, runtime, tap, die, [Symbol.asyncDispose]: close };
}

/** One clock for a store and its only process. */
export function alone(): Process {
  const runtime = createManualRuntime();
  return open(new MemoryStore(runtime), runtime);
}
