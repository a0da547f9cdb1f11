import assert from "node:assert/strict";
import { describe } from "node:test";
import { type StoreKind, storeKinds } from "../../../../test/stores.ts";
import { isAshlarError, sleep, systemRuntime } from "../../../core/index.ts";
import type { Engine } from "../../../engine/index.ts";

export const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

/** The facts, on every engine. */
export function onAllStores(facts: (kind: StoreKind) => void): void {
  for (const kind of storeKinds) describe(`workflows on ${kind.name}`, { skip: kind.skip }, () => facts(kind));
}

export function on(kind: StoreKind, fn: (a: Engine, b: Engine) => Promise<void>): () => Promise<void> {
  return async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };
}

export async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = systemRuntime.clock.monotonic() + 20_000; !(await holds()); ) {
    assert.ok(systemRuntime.clock.monotonic() < end, "waited for 20 s");
    await sleep(systemRuntime, 2);
  }
}

/** Retries that do not wait. */
export const quick = { retry: { attempts: 3, base: 1, cap: 2 } } as const;
