import { compareKeys, encodeKey, type KeyPart, toBinaryString } from "../../core/index.ts";
import type { Change, Version } from "../contract.ts";

/** An entry as a watch showed it. */
export interface Seen<V> {
  readonly key: KeyPart[];
  readonly value: V;
  readonly version: Version;
}

/** The observer of a watch: consumes it in the background and keeps the state that it adds up to. */
export class Follower<V = unknown> {
  /** Every array that the watch gave. */
  readonly arrays: Change<V>[][] = [];
  readonly #changes: AsyncIterator<Change<V>[]>;
  readonly #entries = new Map<string, Seen<V>>();
  readonly #visitors: ((follower: Follower<V>) => void)[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #ended: Promise<void>;
  #error: unknown;
  #over = false;

  constructor(changes: AsyncIterator<Change<V>[]>) {
    this.#changes = changes;
    this.#ended = this.#consume();
  }

  /** The present state in key order. */
  get entries(): Seen<V>[] {
    return [...this.#entries.values()].sort((a, b) => compareKeys(a.key, b.key));
  }

  get values(): V[] {
    return this.entries.map(({ value }) => value);
  }

  get(...key: KeyPart[]): V | undefined {
    return this.#entries.get(nameOf(key))?.value;
  }

  /** Calls `visit` after each array. What it throws ends the follower and is thrown by `until`. */
  onState(visit: (follower: Follower<V>) => void): this {
    this.#visitors.push(visit);
    return this;
  }

  /** Resolves when the state is such; rejects when the watch ends before. */
  async until(condition: (follower: Follower<V>) => boolean): Promise<this> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      if (this.arrays.length > 0 && condition(this)) return this;
      if (this.#over) throw new Error("the watch ended without an error before the state was reached");
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  /** Resolves when the first array has come. */
  begun(): Promise<this> {
    return this.until(() => true);
  }

  async stop(): Promise<void> {
    await this.#changes.return?.();
    await this.#ended;
  }

  async #consume(): Promise<void> {
    try {
      for (;;) {
        const next = await this.#changes.next();
        if (next.done === true) break;
        this.arrays.push(next.value);
        for (const change of next.value) this.#apply(change);
        for (const visit of this.#visitors) visit(this);
        this.#wake();
      }
    } catch (error) {
      this.#error = error;
    }
    this.#over = true;
    this.#wake();
  }

  #apply(change: Change<V>): void {
    const name = nameOf(change.key);
    if (change.deleted) this.#entries.delete(name);
    else this.#entries.set(name, { key: change.key, value: change.value, version: change.version });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

function nameOf(key: readonly KeyPart[]): string {
  return toBinaryString(encodeKey(key));
}
