import type { Operation } from "../history.ts";
import type { Model } from "./model.ts";

const cachedAtMost = 1 << 18;
const unitsPerState = 4;
const charactersPerUnit = 8;

/** Numbers the states that a search meets, from 0, and remembers where operations led. */
export class States {
  readonly #model: Model;
  readonly #operations: readonly Operation[];
  readonly #ids = new Map<string | number, number>();
  readonly #states: unknown[] = [];
  readonly #next = new Map<number, number>();
  /** Units of memory that it takes, of some 30 bytes. */
  weight = 0;

  constructor(model: Model, operations: readonly Operation[]) {
    this.#model = model;
    this.#operations = operations;
  }

  /** The number of the state; the same for equal ones. */
  intern(state: unknown): number {
    const id = this.idOf(this.#model.key(state));
    this.#states[id] ??= state;
    return id;
  }

  /** The number of the state with this key, met or not. */
  idOf(key: string | number): number {
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.#ids.size;
      this.#ids.set(key, id);
      this.weight += unitsPerState + (typeof key === "string" ? Math.floor(key.length / charactersPerUnit) : 0);
    }
    return id;
  }

  /** A state that was met. */
  get(id: number): unknown {
    return this.#states[id];
  }

  /** The state to which the operation at `index` leads, or -1. */
  next(id: number, index: number): number {
    const pair = id * this.#operations.length + index;
    const known = this.#next.get(pair);
    if (known !== undefined) return known;
    const state = this.#model.step(this.#states[id], this.#operations[index] as Operation);
    const next = state === undefined ? -1 : this.intern(state);
    // What it holds can be found out again, so it is simply emptied.
    if (this.#next.size >= cachedAtMost) this.#next.clear();
    this.#next.set(pair, next);
    return next;
  }
}
