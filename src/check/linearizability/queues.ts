import type { Model, Movement } from "./model.ts";
import { isRead, type Timeline } from "./timeline.ts";

/** An item that the history puts in once. */
interface Item {
  readonly put: number;
  /** The entry that takes it, surely; -1: none. */
  take: number;
}

/**
 * What first in, first out asks for: an item that surely is taken before another must be put in before it. Without this the search
 * would notice a wrong order only when the items come out, and would have much to try again.
 */
export class Queues {
  readonly #timeline: Timeline;
  readonly #movements: readonly (Movement | undefined)[];
  readonly #deadline: Int32Array;
  readonly #isDone: (index: number) => boolean;
  /** Items that are put in once and taken once at most. */
  readonly #items = new Map<string | number, Item>();
  /** Entries that found the queue empty. */
  readonly #empties: number[] = [];
  /** Whether somebody may take an item that is not known, or that he need not take. */
  #mayVanish = false;

  constructor(model: Model, timeline: Timeline, deadline: Int32Array, isDone: (index: number) => boolean) {
    const { entries } = timeline;
    this.#timeline = timeline;
    this.#deadline = deadline;
    this.#isDone = isDone;
    this.#movements = entries.map(({ operation }) => model.movement?.(operation));
    const repeated = new Set<string | number>();
    for (const [index, movement] of this.#movements.entries()) {
      if (movement?.kind !== "put") continue;
      if (this.#items.has(movement.item)) repeated.add(movement.item);
      this.#items.set(movement.item, { put: index, take: -1 });
    }
    for (const [index, { operation, optional }] of entries.entries()) {
      const movement = this.#movements[index];
      if (movement?.kind === "put") continue;
      if (movement?.kind === "empty") this.#empties.push(index);
      if (movement?.kind === "take") {
        const item = this.#items.get(movement.item);
        if (item && (optional || item.take !== -1)) repeated.add(movement.item);
        else if (item) item.take = index;
      }
      if (optional || (movement === undefined && !isRead(model, operation))) this.#mayVanish = true;
    }
    for (const item of repeated) this.#items.delete(item);
  }

  /**
   * Whether two items surely went in in one order and came out in the other, or one came out before it went in, or the queue
   * was found empty while an item surely was in it: then there is no legal order (Henzinger, Sezgin, Vafeiadis: Aspect-oriented linearizability proofs, CONCUR 2013).
   */
  isHopeless(): boolean {
    const { called, returned } = this.#timeline;
    const at = (times: Float64Array, index: number): number => (index === -1 ? Infinity : (times[index] as number));
    const items = [...this.#items.values()];
    const byEnd = items.toSorted((a, b) => at(returned, a.put) - at(returned, b.put));
    // A queue is empty like one whose first item was put in and taken out at that moment.
    const passing = this.#empties.map((index): Item => ({ put: index, take: index }));
    const byBegin = [...items.filter(({ take }) => take !== -1), ...passing].sort(
      (a, b) => at(called, a.put) - at(called, b.put),
    );
    let ended = 0;
    // Of the items that were in before: when the first moment is at which all may be out.
    let latest = -Infinity;
    for (const { put, take } of byBegin) {
      for (; ended < byEnd.length; ended++) {
        const before = byEnd[ended] as Item;
        if (!(at(returned, before.put) < at(called, put))) break;
        if (before.take !== -1 || !this.#mayVanish) latest = Math.max(latest, at(called, before.take));
      }
      if (at(returned, take) < Math.max(latest, at(called, put))) return true;
    }
    return false;
  }

  /** The smaller, the sooner it should be tried: out as soon as it can, in when it is due itself or is needed. */
  urgency(index: number): number {
    const movement = this.#movements[index];
    if (movement?.kind === "take") return -1;
    const take = movement?.kind === "put" ? (this.#items.get(movement.item)?.take ?? -1) : -1;
    return Math.min(this.#deadline[index] as number, take === -1 ? Infinity : (this.#deadline[take] as number));
  }

  /** Taking the first item now is as good as later: meanwhile it would be in the way, and others could only be put in behind it. */
  isFinal(index: number): boolean {
    const movement = this.#movements[index];
    return movement?.kind === "take" && !this.#mayVanish && this.#items.get(movement.item)?.take === index;
  }

  /**
   * `false` if the entry puts in an item, and another one that has not been put in must come out before.
   * @param front the place in the order of returns before which everything is done
   */
  mayFollow(index: number, front: number): boolean {
    const movement = this.#movements[index];
    if (movement?.kind !== "put") return true;
    const item = this.#items.get(movement.item);
    if (!item || (item.take === -1 && this.#mayVanish)) return true;
    const { returns, returned, called } = this.#timeline;
    // What is never taken comes after all that is.
    const begins = item.take === -1 ? Infinity : (called[item.take] as number);
    for (let place = front; place < returns.length; place++) {
      const other = returns[place] as number;
      if ((returned[other] as number) >= begins) return true;
      const moved = this.#movements[other];
      if (moved?.kind !== "take" || other === item.take) continue;
      const before = this.#items.get(moved.item);
      if (before?.take === other && !this.#isDone(before.put)) return false;
    }
    return true;
  }
}
