import assert from "node:assert/strict";
import { createManualRuntime, type ManualRuntime } from "../../../core/testing/manual-runtime.ts";
import { createEngine, type Engine } from "../../../engine/index.ts";
import { createMemoryDriver, type MemoryStore } from "../../../engine/memory/index.ts";
import { type Intercept, type TappedDriver, tapDriver } from "../../lease/testing/tapped-driver.ts";
import { createIdempotency, type Idempotency } from "../index.ts";

/** Of the leases, in milliseconds. */
export const ttl = 1000;

export interface Process extends AsyncDisposable {
  readonly engine: Engine;
  readonly answers: Idempotency;
  readonly runtime: ManualRuntime;
  readonly tap: TappedDriver;
}

let processes = 0;

/** A process with a clock of its own on a store, which has another. Its wall clock differs, for chance does not, and ids are made of both. */
export function open(
  store: MemoryStore,
  runtime = createManualRuntime(1_700_000_000_000 + 1_000_000 * ++processes),
  doubt = false,
): Process {
  const tap = tapDriver(createMemoryDriver(store), { doubt });
  const engine = createEngine(tap.driver, { runtime });
  const answers = createIdempotency(engine, "p", { ttl });
  return { engine, answers, runtime, tap, [Symbol.asyncDispose]: () => engine.close() };
}

/** Time passes everywhere but where it stands still, until the promise is settled. */
export async function after<T>(clocks: readonly ManualRuntime[], promise: Promise<T>): Promise<T> {
  let settled = false;
  const settle = (): void => {
    settled = true;
  };
  promise.then(settle, settle);
  for (let i = 0; i < 5000 && !settled; i++) for (const clock of clocks) await clock.advance(10);
  assert.ok(settled, "it did not come to an end");
  return promise;
}

/** A function that goes on until it is told to end. */
export function held<T>(value: T) {
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<T>();
  const fn = (): Promise<T> => {
    begun.resolve();
    return end.promise;
  };
  return { fn, begun: begun.promise, end: () => end.resolve(value) };
}

/** What is committed under the key's record. */
export const touchesRecord: (commits: Parameters<Intercept>[0]) => boolean = (commits) =>
  commits.some(({ mutations }) =>
    mutations.some((mutation) => "key" in mutation && Buffer.from(mutation.key).includes("idempotency")),
  );
