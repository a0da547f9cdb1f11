import { type Cell, createCell } from "./cells.ts";
import type { Policy } from "./policy.ts";

/**
 * Cells by key, at most `maxKeys` of them. A cell that is idle says the same as a new one and is dropped, in two generations: what was not
 * touched for as long as a cell takes to become idle is looked at once, and dropped unless it still means something.
 *
 * When all `maxKeys` cells mean something, further keys share one cell. A key that gets a cell of its own later starts from a copy of the shared
 * one. So no key is ever allowed more than its limit, whatever the number of keys; those that share are allowed less.
 */
export class CellTable {
  readonly #policy: Policy;
  readonly #maxKeys: number;
  readonly #generationMs: number;
  #young = new Map<string, Cell>();
  #old = new Map<string, Cell>();
  #turnAt: number;
  /** For the keys that found no place. */
  #shared: Cell | undefined;

  constructor(policy: Policy, maxKeys: number, now: number) {
    this.#policy = policy;
    this.#maxKeys = maxKeys;
    const refillMs = (policy.capacity * policy.perMs) / policy.limit;
    this.#generationMs = policy.algorithm === "sliding-window" ? 2 * policy.perMs : Math.max(refillMs, policy.perMs);
    this.#turnAt = now + this.#generationMs;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** The cell of the key, a new one if there is none. */
  at(key: string, now: number): Cell {
    if (now >= this.#turnAt) this.#turn(now);
    return this.#young.get(key) ?? this.#find(key, now);
  }

  /** The cell of the key if it has one: asking makes none. */
  existing(key: string): Cell | undefined {
    return this.#young.get(key) ?? this.#old.get(key) ?? this.#shared;
  }

  delete(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }

  #find(key: string, now: number): Cell {
    const old = this.#old.get(key);
    if (old !== undefined) {
      this.#old.delete(key);
      this.#young.set(key, old);
      return old;
    }
    if (this.#shared !== undefined && this.#shared.idleAt() <= now) this.#shared = undefined;
    // Full: look for what has become idle, but not so often that each take pays for a look at all cells.
    if (this.size >= this.#maxKeys && now >= this.#turnAt - (this.#generationMs * 7) / 8) this.#turn(now);
    if (this.size >= this.#maxKeys) {
      this.#shared ??= createCell(this.#policy);
      return this.#shared;
    }
    const cell = this.#shared?.copy() ?? createCell(this.#policy);
    this.#young.set(key, cell);
    return cell;
  }

  #turn(now: number): void {
    this.#turnAt = now + this.#generationMs;
    for (const [key, cell] of this.#old) if (cell.idleAt() <= now) this.#old.delete(key);
    // While full, the young may be idle too: a cell that was used once early in its generation.
    if (this.size >= this.#maxKeys)
      for (const [key, cell] of this.#young) if (cell.idleAt() <= now) this.#young.delete(key);
    const [kept, next] = [this.#old, this.#young];
    if (kept.size === 0) {
      this.#old = next;
      this.#young = kept;
      return;
    }
    for (const [key, cell] of kept) next.set(key, cell);
    this.#old = next;
    this.#young = new Map();
  }
}
