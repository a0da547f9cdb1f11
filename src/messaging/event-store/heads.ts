/** Where a stream ends, or ended at some time: the row that ends at its version. */
export interface Head {
  /** 0: the stream has no row yet. */
  readonly version: number;
  /** The version under which the last row lies; 0 if there is none. */
  readonly row: number;
}

export const nowhere: Head = { version: 0, row: 0 };

/**
 * The latest head known of each of the streams used last. What is remembered may be out of date, and is only ever used in commits that check it: versions never go
 * back, so a head that is remembered was the stream's end once.
 */
export class Heads {
  readonly #heads = new Map<string, Head>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  get(stream: string): Head | undefined {
    const head = this.#heads.get(stream);
    if (head === undefined) return undefined;
    this.#heads.delete(stream);
    this.#heads.set(stream, head);
    return head;
  }

  set(stream: string, head: Head): void {
    const known = this.#heads.get(stream);
    if (this.#most === 0 || (known && known.version > head.version)) return;
    this.#heads.delete(stream);
    this.#heads.set(stream, head);
    if (this.#heads.size <= this.#most) return;
    const [oldest] = this.#heads.keys();
    if (oldest !== undefined) this.#heads.delete(oldest);
  }

  forget(stream: string): void {
    this.#heads.delete(stream);
  }
}
