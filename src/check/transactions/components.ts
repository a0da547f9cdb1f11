import { type DependencyGraph, edgeKinds } from "./dependency-graph.ts";

/**
 * A part of a dependency graph: the edges of some kinds. If `nonadjacent`, a walk may not take two anti-dependencies in
 * a row; its states are then pairs of a node and whether the last edge was one, numbered `node * 2 + wasRw`. Otherwise
 * states are nodes.
 */
export interface Walk {
  readonly graph: DependencyGraph;
  readonly kinds: number;
  readonly nonadjacent: boolean;
}

export function statesOf({ graph, nonadjacent }: Walk): number {
  return nonadjacent ? graph.nodes * 2 : graph.nodes;
}

/** The state after taking an edge, or -1 if it may not be taken. */
export function follow(walk: Walk, state: number, edge: number): number {
  const kind = walk.graph.kinds[edge] ?? 0;
  if ((kind & walk.kinds) === 0) return -1;
  const target = walk.graph.targets[edge] ?? 0;
  if (!walk.nonadjacent) return target;
  const wasRw = state & 1;
  if (kind === edgeKinds.inner) return target * 2 + wasRw;
  if (kind !== edgeKinds.rw) return target * 2;
  return wasRw === 1 ? -1 : target * 2 + 1;
}

/** Strongly connected components. A closed walk stays within one component of more than one state. */
export interface Components {
  readonly of: Int32Array;
  readonly sizes: readonly number[];
}

/** Tarjan's algorithm ("Depth-first search and linear graph algorithms", 1972) with the stack of calls kept by hand. */
export function componentsOf(walk: Walk): Components {
  const { offsets } = walk.graph;
  const shift = walk.nonadjacent ? 1 : 0;
  const states = statesOf(walk);
  const of = new Int32Array(states).fill(-1);
  const sizes: number[] = [];
  /** Order of discovery, from 1; 0 is not yet. */
  const order = new Int32Array(states);
  const low = new Int32Array(states);
  const nextEdge = new Int32Array(states);
  const calls = new Int32Array(states);
  const open = new Int32Array(states);
  let depth = 0;
  let opened = 0;
  let discovered = 0;
  const enter = (state: number) => {
    order[state] = low[state] = ++discovered;
    nextEdge[state] = offsets[state >> shift] ?? 0;
    open[opened++] = state;
    calls[depth++] = state;
  };
  const close = (root: number) => {
    let size = 0;
    for (let state = -1; state !== root; size++) {
      state = open[--opened] ?? root;
      of[state] = sizes.length;
    }
    sizes.push(size);
  };
  for (let root = 0; root < states; root++) {
    if (order[root] !== 0) continue;
    enter(root);
    while (depth > 0) {
      const state = calls[depth - 1] ?? 0;
      const edge = nextEdge[state] ?? 0;
      if (edge < (offsets[(state >> shift) + 1] ?? 0)) {
        nextEdge[state] = edge + 1;
        const next = follow(walk, state, edge);
        if (next < 0) continue;
        if (order[next] === 0) enter(next);
        else if (of[next] === -1) low[state] = Math.min(low[state] ?? 0, order[next] ?? 0);
        continue;
      }
      depth--;
      if (low[state] === order[state]) close(state);
      if (depth > 0) {
        const caller = calls[depth - 1] ?? 0;
        low[caller] = Math.min(low[caller] ?? 0, low[state] ?? 0);
      }
    }
  }
  return { of, sizes };
}
