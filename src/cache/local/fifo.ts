import type { Policy } from "./policy.ts";
import { Links, SlotList } from "./slot-list.ts";

/** First in, first out: the oldest entry leaves, read or not. */
export function createFifo(): Policy {
  return new Fifo();
}

class Fifo implements Policy {
  readonly #links = new Links();
  readonly #list = new SlotList(this.#links);

  grow(slots: number): void {
    this.#links.grow(slots);
  }

  insert(slot: number): void {
    this.#list.pushHead(slot);
  }

  access(): void {}

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
