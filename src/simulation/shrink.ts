import type { RunSeed } from "./explore.ts";
import type { Failure, SimulationResult } from "./result.ts";
import type { Reduction } from "./scenario.ts";

export interface ShrinkOptions {
  /** How a seed is run. */
  readonly run: RunSeed;
  /** Runs at most. Default 300. */
  readonly runs?: number;
  readonly signal?: AbortSignal;
  /** Called when a smaller failing run was found. */
  readonly onSmaller?: (result: SimulationResult) => void;
}

export interface Shrunk {
  /** The smallest run found that fails in the same way. */
  readonly result: SimulationResult;
  readonly runs: number;
  /** Nothing smaller was found within the runs allowed, by every way tried. */
  readonly minimal: boolean;
}

/**
 * Looks for a smaller run that fails in the same way: fewer clients, operations and machines by halves, then fewer faults by delta
 * debugging (Zeller & Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", TSE 2002), until neither helps. A fault keeps its name when others are
 * left out, so what remains still means the same.
 */
export async function shrink(failing: SimulationResult, options: ShrinkOptions): Promise<Shrunk> {
  return await new Shrinking(failing, options).run();
}

class Shrinking {
  readonly #options: ShrinkOptions;
  #best: SimulationResult;
  #runs = 0;

  constructor(failing: SimulationResult, options: ShrinkOptions) {
    this.#best = failing;
    this.#options = options;
  }

  async run(): Promise<Shrunk> {
    let before: SimulationResult;
    do {
      before = this.#best;
      await this.#sizes();
      await this.#faults();
    } while (this.#best !== before && !this.#exhausted);
    return { result: this.#best, runs: this.#runs, minimal: !this.#exhausted };
  }

  get #exhausted(): boolean {
    return this.#runs >= (this.#options.runs ?? 300) || this.#options.signal?.aborted === true;
  }

  /** Keeps the run if it fails in the same way. */
  async #try(reduction: Reduction): Promise<boolean> {
    if (this.#exhausted) return false;
    this.#runs++;
    const { seed } = this.#best;
    const result = await this.#options.run({ seed, reduction, signal: this.#options.signal });
    if (!isSameFailure(result.failure, this.#best.failure)) return false;
    this.#best = result;
    this.#options.onSmaller?.(result);
    return true;
  }

  /** Fewer clients, operations and machines: the least that still fails, by bisection, then one by one. */
  async #sizes(): Promise<void> {
    const { clients, operations, nodes } = this.#best.size;
    await this.#least(clients, (count) => ({ clients: count }));
    await this.#least(operations, (count) => ({ operations: count }));
    for (const [role, count] of Object.entries(nodes)) {
      await this.#least(count, (fewer) => ({ nodes: { ...this.#best.size.nodes, [role]: fewer } }));
    }
  }

  async #least(from: number, change: (count: number) => Reduction): Promise<void> {
    let high = from;
    let low = 1;
    while (low < high && !this.#exhausted) {
      const middle = (low + high) >> 1;
      if (await this.#try({ ...this.#reduction, ...change(middle) })) high = middle;
      else low = middle + 1;
    }
  }

  get #reduction(): Reduction {
    return this.#best.reduction ?? {};
  }

  async #faults(): Promise<void> {
    let pieces = 2;
    for (;;) {
      const ids = this.#best.struck.map(({ id }) => id);
      if (ids.length === 0 || this.#exhausted) return;
      if (await this.#without(ids, pieces)) pieces = Math.max(2, pieces - 1);
      else if (pieces >= ids.length) return;
      else pieces = Math.min(ids.length, pieces * 2);
    }
  }

  /** Whether leaving out one of so many pieces still fails. */
  async #without(ids: readonly string[], pieces: number): Promise<boolean> {
    if (pieces === 2 && (await this.#try({ ...this.#reduction, faults: [] }))) return true;
    const size = Math.ceil(ids.length / pieces);
    for (let start = 0; start < ids.length; start += size) {
      const kept = [...ids.slice(0, start), ...ids.slice(start + size)];
      if (await this.#try({ ...this.#reduction, faults: kept })) return true;
    }
    return false;
  }
}

/** The same property fails. Where programs fail, on which machine is a matter of chance. */
function isSameFailure(found: Failure | undefined, original: Failure | undefined): boolean {
  if (!found || !original || found.kind !== original.kind) return false;
  const isProperty = found.kind === "invariant" || found.kind === "check" || found.kind === "eventually";
  return !isProperty || found.subject === original.subject;
}
