/** No slot. */
export const none = -1;

/** The links of all lists over one set of slots: a slot is in one list at most, so one array serves them all. */
export class Links {
  /** Of slot s: at 2 s the next one, towards the tail, at 2 s + 1 the previous one. Neighbours in memory, because they are needed together. */
  pairs = new Int32Array(0);

  /** Makes room for the slots 0 to `slots - 1`. */
  grow(slots: number): void {
    this.pairs = grown(this.pairs, 2 * slots);
  }
}

/** A doubly linked list of slots. New ones come in at the head; the tail is the oldest. */
export class SlotList {
  readonly #links: Links;
  head = none;
  tail = none;
  size = 0;

  constructor(links: Links) {
    this.#links = links;
  }

  pushHead(slot: number): void {
    const { pairs } = this.#links;
    const head = this.head;
    pairs[2 * slot] = head;
    pairs[2 * slot + 1] = none;
    if (head === none) this.tail = slot;
    else pairs[2 * head + 1] = slot;
    this.head = slot;
    this.size++;
  }

  remove(slot: number): void {
    const { pairs } = this.#links;
    const next = pairs[2 * slot] as number;
    const previous = pairs[2 * slot + 1] as number;
    if (previous === none) this.head = next;
    else pairs[2 * previous] = next;
    if (next === none) this.tail = previous;
    else pairs[2 * next + 1] = previous;
    this.size--;
  }

  moveToHead(slot: number): void {
    if (this.head === slot) return;
    this.remove(slot);
    this.pushHead(slot);
  }

  clear(): void {
    this.head = none;
    this.tail = none;
    this.size = 0;
  }
}

/** The array with room for `length` elements; what it held stays. */
export function grown<A extends Int32Array | Uint32Array | Uint8Array | Float64Array>(array: A, length: number): A {
  const larger = new (array.constructor as new (length: number) => A)(length);
  larger.set(array);
  return larger;
}
