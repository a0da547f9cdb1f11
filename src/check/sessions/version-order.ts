import { componentsOf, type Walk } from "../transactions/components.ts";
import { edgeKinds, GraphBuilder } from "../transactions/dependency-graph.ts";

/** A version is not newer than another, and which accesses say so. */
export interface Constraint {
  readonly from: number;
  readonly to: number;
  /** What was given with the edges on the way. */
  readonly reasons: readonly number[];
}

/**
 * Constraints "not newer than" between versions, directly or through inner nodes. They can be kept by some order of the
 * versions if and only if no two versions lie on a cycle.
 */
export class VersionOrder {
  readonly #graph: GraphBuilder;
  readonly #versions: number;

  /** Versions are numbered from 0. */
  constructor(versions: number) {
    this.#graph = new GraphBuilder(versions);
    this.#versions = versions;
  }

  addInner(): number {
    return this.#graph.addNode();
  }

  add(from: number, to: number, reason: number): void {
    this.#graph.addEdge(from, to, "ww", reason);
  }

  /** A short cycle with two versions or more, or `undefined`. */
  contradiction(): Constraint[] | undefined {
    const walk: Walk = { graph: this.#graph.build(), kinds: edgeKinds.ww, nonadjacent: false };
    const { of, sizes } = componentsOf(walk);
    const first = new Map<number, number>();
    let best: Constraint[] | undefined;
    let tries = 0;
    for (let version = 0; version < this.#versions && tries < 8; version++) {
      const component = of[version] ?? 0;
      if ((sizes[component] ?? 0) < 2) continue;
      const other = first.get(component);
      first.set(component, version);
      if (other === undefined) continue;
      tries++;
      const there = this.#path(walk, of, other, version);
      const cycle = [...there, ...this.#path(walk, of, version, other)];
      if (!best || cycle.length < best.length) best = cycle;
    }
    return best;
  }

  /** The shortest path within a component, cut at the versions on it. */
  #path({ graph }: Walk, of: Int32Array, start: number, goal: number): Constraint[] {
    const cameBy = new Map<number, { from: number; reason: number }>();
    const queue = [start];
    for (let i = 0; i < queue.length && !cameBy.has(goal); i++) {
      const node = queue[i] ?? 0;
      for (let edge = graph.offsets[node] ?? 0; edge < (graph.offsets[node + 1] ?? 0); edge++) {
        const to = graph.targets[edge] ?? 0;
        if (of[to] !== of[start] || cameBy.has(to) || to === start) continue;
        cameBy.set(to, { from: node, reason: graph.labels[edge] ?? -1 });
        queue.push(to);
      }
    }
    const path: Constraint[] = [];
    let reasons: number[] = [];
    let end = goal;
    for (let node = goal; node !== start; ) {
      const step = cameBy.get(node);
      if (!step) break;
      if (step.reason >= 0) reasons.unshift(step.reason);
      node = step.from;
      if (node >= this.#versions) continue;
      path.unshift({ from: node, to: end, reasons });
      reasons = [];
      end = node;
    }
    return path;
  }
}
