import type { Completion } from "./layout.ts";

/** Which changes of the code a run sees: the same for ever. */
export class Patches {
  readonly #recorded = new Set<string>();
  readonly #answered = new Map<string, boolean>();
  #fresh: string[] = [];

  constructor(history: readonly Completion[]) {
    for (const { kind, name } of history) if (kind === "patch") this.#recorded.add(name);
  }

  /** Those that are to be recorded. */
  get fresh(): readonly string[] {
    return this.#fresh;
  }

  /** @param isFirst whether no code was at this point of the run before */
  has(name: string, isFirst: boolean): boolean {
    const known = this.#answered.get(name);
    if (known !== undefined) return known;
    const recorded = this.#recorded.has(name);
    if (isFirst && !recorded) this.#fresh.push(name);
    this.#answered.set(name, recorded || isFirst);
    return recorded || isFirst;
  }

  recorded(count: number): void {
    this.#fresh = this.#fresh.slice(count);
  }
}
