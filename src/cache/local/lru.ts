import type { Policy } from "./policy.ts";
import { Links, SlotList } from "./slot-list.ts";

/** The entry that was not used for the longest time leaves. */
export function createLru(): Policy {
  return new Lru();
}

class Lru implements Policy {
  readonly #links = new Links();
  readonly #list = new SlotList(this.#links);

  grow(slots: number): void {
    this.#links.grow(slots);
  }

  insert(slot: number): void {
    this.#list.pushHead(slot);
  }

  access(slot: number): void {
    this.#list.moveToHead(slot);
  }

  evict(): number {
    const slot = this.#list.tail;
    this.#list.remove(slot);
    return slot;
  }

  remove(slot: number): void {
    this.#list.remove(slot);
  }

  clear(): void {
    this.#list.clear();
  }
}
