import { invalidArgument } from "../../core/index.ts";
import { grown } from "./slot-list.ts";

/** What the entries weigh in one unit, bytes or cost, and how much they may weigh together. */
export class Weights {
  readonly limit: number;
  total = 0;
  readonly #name: string;
  #of = new Float64Array(0);

  constructor(name: string, limit: number) {
    this.#name = name;
    this.limit = limit;
  }

  grow(slots: number): void {
    this.#of = grown(this.#of, slots);
  }

  /** @throws InvalidArgumentError the function gave something else than a finite number of 0 or more */
  checked(weight: number): number {
    if (weight >= 0 && weight < Number.POSITIVE_INFINITY) return weight;
    throw invalidArgument(this.#name, weight, "a finite number, 0 or more");
  }

  of(slot: number): number {
    return this.#of[slot] as number;
  }

  set(slot: number, weight: number): void {
    this.total += weight - (this.#of[slot] as number);
    this.#of[slot] = weight;
  }

  clear(): void {
    this.#of.fill(0);
    this.total = 0;
  }
}
