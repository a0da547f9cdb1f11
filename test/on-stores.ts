import assert from "node:assert/strict";
import { describe } from "node:test";
import { isAshlarError, sleep, systemRuntime } from "../src/core/index.ts";
import type { Engine } from "../src/engine/index.ts";
import { type StoreKind, storeKinds } from "./stores.ts";

/** The facts, on every engine. */
export function onAllStores(what: string, facts: (kind: StoreKind) => void): void {
  for (const kind of storeKinds) describe(`${what} on ${kind.name}`, { skip: kind.skip }, () => facts(kind));
}

/** A test with two processes' engines of one store. */
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

/** For `assert.rejects`. */
export const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
