/**
 * An ordered map from binary strings, kept as a list of sorted leaves (a B+-tree of two levels): look-up by binary search of the leaves and within
 * one, insertion moves at most a leaf, iteration is a walk over arrays. With 512 entries to a leaf a million keys are
 * two thousand leaves, so that splitting one is cheap as well.
 */
export class SortedMap<V> {
  /** Invariant: no leaf is empty (but for the only one), keys ascend within and across leaves. */
  #leaves: Leaf<V>[] = [{ keys: [], values: [] }];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    const leaf = this.#leaves[this.#leafOf(key)] as Leaf<V>;
    const at = lowerBound(leaf.keys, key);
    return leaf.keys[at] === key ? leaf.values[at] : undefined;
  }

  set(key: string, value: V): void {
    const index = this.#leafOf(key);
    const leaf = this.#leaves[index] as Leaf<V>;
    const at = lowerBound(leaf.keys, key);
    if (leaf.keys[at] === key) {
      leaf.values[at] = value;
      return;
    }
    leaf.keys.splice(at, 0, key);
    leaf.values.splice(at, 0, value);
    this.#size++;
    if (leaf.keys.length > leafSize) this.#split(index);
  }

  delete(key: string): boolean {
    const index = this.#leafOf(key);
    const leaf = this.#leaves[index] as Leaf<V>;
    const at = lowerBound(leaf.keys, key);
    if (leaf.keys[at] !== key) return false;
    leaf.keys.splice(at, 1);
    leaf.values.splice(at, 1);
    this.#size--;
    if (leaf.keys.length === 0 && this.#leaves.length > 1) this.#leaves.splice(index, 1);
    return true;
  }

  /** Visits the entries with `start <= key < end`, ascending or descending, until the visitor returns false. The visitor must not change the map. */
  visit(start: string, end: string, reverse: boolean, visitor: (key: string, value: V) => boolean): void {
    if (start >= end) return;
    if (reverse) this.#visitDown(start, end, visitor);
    else this.#visitUp(start, end, visitor);
  }

  #visitUp(start: string, end: string, visitor: (key: string, value: V) => boolean): void {
    for (let index = this.#leafOf(start), first = true; index < this.#leaves.length; index++, first = false) {
      const { keys, values } = this.#leaves[index] as Leaf<V>;
      for (let at = first ? lowerBound(keys, start) : 0; at < keys.length; at++) {
        const key = keys[at] as string;
        if (key >= end || !visitor(key, values[at] as V)) return;
      }
    }
  }

  #visitDown(start: string, end: string, visitor: (key: string, value: V) => boolean): void {
    for (let index = this.#leafOf(end), first = true; index >= 0; index--, first = false) {
      const { keys, values } = this.#leaves[index] as Leaf<V>;
      for (let at = (first ? lowerBound(keys, end) : keys.length) - 1; at >= 0; at--) {
        const key = keys[at] as string;
        if (key < start || !visitor(key, values[at] as V)) return;
      }
    }
  }

  /** The last leaf whose first key is not above the key, or the first leaf. */
  #leafOf(key: string): number {
    let low = 0;
    let high = this.#leaves.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (((this.#leaves[middle] as Leaf<V>).keys[0] as string) <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #split(index: number): void {
    const leaf = this.#leaves[index] as Leaf<V>;
    // Ascending inserts, the common case of logs and ids, leave full leaves behind instead of half-full ones.
    const at = index === this.#leaves.length - 1 ? leaf.keys.length - 1 : leaf.keys.length >>> 1;
    this.#leaves.splice(index + 1, 0, { keys: leaf.keys.splice(at), values: leaf.values.splice(at) });
  }
}

const leafSize = 512;

interface Leaf<V> {
  readonly keys: string[];
  readonly values: V[];
}

/** The first index whose key is not below the key. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
