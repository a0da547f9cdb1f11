import type { Model, Movement } from "./model.ts";
import type { Timeline } from "./timeline.ts";

/**
 * In which order to try the operations of queues. What is put in first must come out first, but that shows only much later, when
 * the search has long gone on. So items go in in the order in which the history takes them out, and come out as soon as they can.
 */
export class Queues {
  readonly #movements: readonly (Movement | undefined)[];
  readonly #last: number;
  /** By item: the deadlines of those who take it, in order. */
  readonly #takes = new Map<string | number, number[]>();
  /** By item: how often it was put in. */
  readonly #puts = new Map<string | number, number>();

  constructor(model: Model, { entries }: Timeline, deadline: Int32Array) {
    this.#last = entries.length;
    this.#movements = entries.map(({ operation }) => model.movement?.(operation));
    for (const [index, movement] of this.#movements.entries()) {
      if (movement?.kind !== "take") continue;
      const takes = this.#takes.get(movement.item) ?? [];
      takes.push(deadline[index] as number);
      this.#takes.set(movement.item, takes);
    }
    for (const takes of this.#takes.values()) takes.sort((a, b) => a - b);
  }

  /** The smaller, the sooner it should be tried; `undefined`: no opinion. */
  urgency(index: number): number | undefined {
    const movement = this.#movements[index];
    if (movement === undefined) return undefined;
    if (movement.kind === "take") return -1;
    return this.#takes.get(movement.item)?.[this.#puts.get(movement.item) ?? 0] ?? this.#last + index;
  }

  /** The entry takes effect (1), or that is undone (-1). */
  count(index: number, by: 1 | -1): void {
    const movement = this.#movements[index];
    if (movement?.kind === "put") this.#puts.set(movement.item, (this.#puts.get(movement.item) ?? 0) + by);
  }
}
