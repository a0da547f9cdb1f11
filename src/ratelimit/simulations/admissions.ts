import assert from "node:assert/strict";
import type { SimulatedNode, World } from "../../simulation/index.ts";

/** A take that was allowed, in true time: it was counted at some instant between `from` and `to`. */
export interface Admission {
  readonly from: number;
  readonly to: number;
  readonly cost: number;
}

/** What the world knows and no program may see: true time, and what was allowed, by key. */
export interface Book {
  readonly now: () => number;
  /** The engine's clock less true time. */
  readonly offset: number;
  readonly admissions: Map<string, Admission[]>;
  overSince: number | undefined;
}

export async function openBook(world: World): Promise<void> {
  const book: Book = {
    now: () => world.now,
    offset: (await world.engine.now()) - world.now,
    admissions: new Map(),
    overSince: undefined,
  };
  world.state.set("book", book);
}

export function bookOf({ state }: Pick<World, "state">): Book {
  return state.get("book") as Book;
}

/** Notes down when the take was made, if it was allowed. */
export async function noted(
  node: Pick<SimulatedNode, "state">,
  key: string,
  cost: number,
  take: () => Promise<{ readonly allowed: boolean }>,
): Promise<void> {
  const book = bookOf(node);
  const from = book.now();
  const { allowed } = await take();
  if (!allowed) return;
  const of = book.admissions.get(key) ?? [];
  book.admissions.set(key, of);
  of.push({ from, to: book.now(), cost });
}

/** In every span of time, what was surely allowed within it is at most `bound(length)`. */
export function assertBounded(key: string, admissions: readonly Admission[], bound: (length: number) => number): void {
  const byEnd = admissions.toSorted((a, b) => a.to - b.to);
  for (const { from } of admissions) {
    let sum = 0;
    for (const admission of byEnd) {
      if (admission.from < from) continue;
      sum += admission.cost;
      const length = admission.to - from;
      // A clock in whole microseconds, and sums of fractions.
      const most = bound(length) + 0.01;
      assert.ok(sum <= most, `${key}: ${sum} within ${length} ms from ${from} on, and ${most} is the most`);
    }
  }
}

/** In each window of the engine's clock at most `limit` was surely allowed. */
export function assertWindows(key: string, { admissions, offset }: Book, per: number, limit: number): void {
  const sums = new Map<number, number>();
  for (const { from, to, cost } of admissions.get(key) ?? []) {
    const window = Math.floor((from + offset) / per);
    if (window === Math.floor((to + offset) / per)) sums.set(window, (sums.get(window) ?? 0) + cost);
  }
  for (const [window, sum] of sums) assert.ok(sum <= limit, `${key}: ${sum} in window ${window}, limit ${limit}`);
}
