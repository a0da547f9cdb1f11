import { until } from "../../../../test/on-stores.ts";
import type { Queue } from "../index.ts";

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

export async function untilEmpty(queue: Pick<Queue<never>, "counts">): Promise<void> {
  await until(async () => {
    const { waiting, delayed, blocked, active } = await queue.counts();
    return waiting + delayed + blocked + active === 0;
  });
}
