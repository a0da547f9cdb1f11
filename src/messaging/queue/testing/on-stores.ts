import assert from "node:assert/strict";
import { describe } from "node:test";
import { type StoreKind, storeKinds } from "../../../../test/stores.ts";
import { isAshlarError, sleep, systemRuntime } from "../../../core/index.ts";
import type { Engine } from "../../../engine/index.ts";
import type { Queue } from "../index.ts";

export const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

/** The facts, on every engine. */
export function onAllStores(facts: (kind: StoreKind) => void): void {
  for (const kind of storeKinds) describe(`queues on ${kind.name}`, { skip: kind.skip }, () => facts(kind));
}

export function on(kind: StoreKind, fn: (a: Engine, b: Engine) => Promise<void>): () => Promise<void> {
  return async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };
}

/** Collects until there are so many. */
export function collector<T>(count: number): { readonly items: T[]; readonly all: Promise<T[]>; add(item: T): void } {
  const { promise, resolve } = Promise.withResolvers<T[]>();
  const items: T[] = [];
  return {
    items,
    all: promise,
    add(item) {
      items.push(item);
      if (items.length === count) resolve(items);
    },
  };
}

export const quick = { retry: { attempts: 3, backoff: { base: 1, cap: 2 } } } as const;

export async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = systemRuntime.clock.monotonic() + 20_000; !(await holds()); ) {
    assert.ok(systemRuntime.clock.monotonic() < end, "waited for 20 s");
    await sleep(systemRuntime, 2);
  }
}

/** Counts are not of one instant: a job that moves on may be missed, but not time and again. */
export async function untilEmpty(queue: Pick<Queue<never>, "counts">): Promise<void> {
  let empty = 0;
  await until(async () => {
    const { waiting, delayed, blocked, active } = await queue.counts();
    empty = waiting + delayed + blocked + active === 0 ? empty + 1 : 0;
    return empty === 4;
  });
}
