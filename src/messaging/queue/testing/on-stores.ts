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

export async function untilEmpty(queue: Pick<Queue<never>, "counts">): Promise<void> {
  await until(async () => {
    const { waiting, delayed, blocked, active } = await queue.counts();
    return waiting + delayed + blocked + active === 0;
  });
}

/** The engine, but with `instead` asked first by one function of its keys; in scopes, too. */
export function meddledKv(engine: Engine, name: "get" | "list", instead: (...args: unknown[]) => unknown): Engine {
  const meddled = (kv: Engine["kv"]): Engine["kv"] => {
    const real = kv[name].bind(kv) as (...args: unknown[]) => unknown;
    return replaced(kv, { [name]: (...args: unknown[]) => instead(...args) ?? real(...args) });
  };
  const scope = (...parts: string[]): Engine => meddledKv(engine.scope(...parts), name, instead);
  return replaced(engine, { kv: meddled(engine.kv), scope });
}

function replaced<T extends object>(target: T, by: Readonly<Record<string, unknown>>): T {
  return new Proxy(target, {
    get(_, property) {
      if (typeof property === "string" && Object.hasOwn(by, property)) return by[property];
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
