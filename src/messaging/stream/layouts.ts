import { hash32, InvalidStateError, limitExceeded } from "../../core/index.ts";
import type { Engine, Transaction, Version } from "../../engine/index.ts";
import { keys, type Layout } from "./layout.ts";

/** The layouts of a stream that may still hold records, oldest first. The last is appended to, the others are sealed. */
export interface Layouts {
  readonly all: readonly Layout[];
  readonly current: Layout;
  readonly version: Version;
}

/** So often a stream can be laid out anew before what is older must have been trimmed. */
const mostLayouts = 100;

export function toLayouts(all: readonly Layout[], version: Version): Layouts {
  return { all, version, current: all.at(-1) as Layout };
}

export function partitionsOf(...layouts: readonly Layout[]): number[] {
  return layouts.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i));
}

export function partitionOfKey([first, count]: Layout, key: string): number {
  return first + (hash32(key) % count);
}

export function isSealed({ current }: Layouts, partition: number): boolean {
  return partition < current[0];
}

/**
 * The partitions of earlier layouts that may hold records of this partition's keys. A hash `h` is in the `i`th of `n` and the `j`th of `m` at once only if `i` and `j` leave the same rest when divided by
 * the greatest common divisor of `n` and `m` (Chinese remainder theorem).
 */
export function earlierThan(layouts: readonly Layout[], partition: number): number[] {
  const own = layouts.find(([first, count]) => partition >= first && partition < first + count);
  if (own === undefined) return [];
  const [start, size] = own;
  return layouts
    .filter(([first]) => first < start)
    .flatMap(([first, count]) => {
      const divisor = greatestCommonDivisor(count, size);
      return partitionsOf([first, count]).filter((each) => (each - first) % divisor === (partition - start) % divisor);
    });
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** What this process knows of the stream's layouts. The store decides: whoever appends checks that it is still so. */
export class LayoutBook {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #count: number;
  #known: Promise<Layouts> | undefined;
  /** Transactions that contain the check already. */
  readonly #checked = new WeakSet<object>();

  /** @param count of partitions, if nobody has made the stream yet */
  constructor(engine: Engine, name: string, count: number) {
    this.#engine = engine;
    this.#name = name;
    this.#count = count;
  }

  /** As last seen; the first to ask makes the stream. */
  get(): Promise<Layouts> {
    if (this.#known === undefined) {
      const known = this.#readOrMake();
      this.#known = known;
      known.catch(() => this.#forget(known));
    }
    return this.#known;
  }

  /** As they are now. */
  async read(): Promise<Layouts> {
    this.#known = undefined;
    return await this.get();
  }

  /**
   * The commit takes place only if the layouts are these; a conflict makes this process read them again.
   * @param whole the transaction of which `tx` is a view
   */
  check(tx: Transaction, layouts: Layouts, whole: Transaction = tx): void {
    if (this.#checked.has(whole)) return;
    this.#checked.add(whole);
    const known = this.#known;
    tx.check(
      { key: keys.partitions, version: layouts.version },
      {
        otherwise: () => {
          if (known) this.#forget(known);
          return undefined;
        },
      },
    );
  }

  /** Seals the present layout and begins one of so many partitions. */
  async extend(count: number, options: { readonly signal?: AbortSignal }): Promise<void> {
    await this.get();
    await this.#engine.transact(async (tx) => {
      const all = await this.#stored(tx);
      const [first, present] = all.at(-1) as Layout;
      if (present === count) return;
      if (all.length >= mostLayouts)
        throw limitExceeded("layouts", all.length + 1, mostLayouts, "layouts that hold records");
      tx.set(keys.partitions, [...all, [first + present, count]]);
    }, options);
    this.#known = undefined;
  }

  /** Forgets the oldest layouts, as far as nothing is left in their partitions. @returns the partitions that are no more */
  async retire(isEmpty: (partition: number) => Promise<boolean>): Promise<readonly number[]> {
    const { all } = await this.read();
    let count = 0;
    while (count < all.length - 1) {
      const empty = await Promise.all(partitionsOf(all[count] as Layout).map(isEmpty));
      if (empty.includes(false)) break;
      count++;
    }
    const gone = all.slice(0, count);
    if (count === 0) return [];
    await this.#engine.transact(async (tx) => {
      const stored = await this.#stored(tx);
      const left = stored.filter(([first]) => !gone.some(([other]) => other === first));
      if (left.length < stored.length) tx.set(keys.partitions, left);
    });
    this.#known = undefined;
    return partitionsOf(...gone);
  }

  async #stored(tx: Transaction): Promise<readonly Layout[]> {
    const all = await tx.get<readonly Layout[]>(keys.partitions);
    if (all === undefined) throw new InvalidStateError(`stream ${this.#name} was deleted from the store`);
    return all;
  }

  #forget(known: Promise<Layouts>): void {
    if (this.#known === known) this.#known = undefined;
  }

  async #readOrMake(): Promise<Layouts> {
    for (;;) {
      const present = await this.#engine.kv.get<readonly Layout[]>(keys.partitions);
      if (present) return toLayouts(present.value, present.version);
      await this.#engine.kv.tryCommit({
        checks: [{ key: keys.partitions, version: undefined }],
        mutations: [{ set: keys.partitions, value: [[0, this.#count]] satisfies readonly Layout[] }],
      });
    }
  }
}
