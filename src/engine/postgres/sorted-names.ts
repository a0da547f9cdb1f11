/** A sorted set of keys as binary strings, small enough for insertion into an array: those that one flush writes. */
export class SortedNames {
  readonly #names: string[] = [];

  add(name: string): void {
    const at = this.#lowerBound(name);
    if (this.#names[at] !== name) this.#names.splice(at, 0, name);
  }

  /** Those with `start <= name < end`. */
  between(start: string, end: string): string[] {
    return start < end ? this.#names.slice(this.#lowerBound(start), this.#lowerBound(end)) : [];
  }

  #lowerBound(name: string): number {
    let low = 0;
    let high = this.#names.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#names[middle] as string) < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
