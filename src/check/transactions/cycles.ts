import { type Components, componentsOf, follow, statesOf, type Walk } from "./components.ts";
import { type DependencyGraph, type EdgeKind, edgeKinds } from "./dependency-graph.ts";
import type { AnomalyName, CycleName } from "./levels.ts";

/** A dependency between two transactions; `label` is the number of the write that it is about, or -1. */
export interface Step {
  readonly from: number;
  readonly to: number;
  readonly kind: EdgeKind;
  readonly label: number;
}

export interface Cycle {
  readonly name: AnomalyName;
  readonly steps: readonly Step[];
}

/** A class of cycles: those over edges of some kinds, with at least one edge of the kind `start`. */
interface CycleClass {
  readonly kinds: number;
  readonly start: number;
  readonly nonadjacent: boolean;
}

const { ww, wr, rw, process, realtime, inner } = edgeKinds;
/** Each includes the walks of those before it, so what prohibits one class prohibits all before it. */
const classes: readonly CycleClass[] = [
  { kinds: ww, start: ww, nonadjacent: false },
  { kinds: ww | wr, start: wr, nonadjacent: false },
  { kinds: ww | wr | rw, start: rw, nonadjacent: true },
  { kinds: ww | wr | rw, start: rw, nonadjacent: false },
];
const orders: readonly number[] = [0, process, process | realtime];

const keptAtMost = 8;
/** Starting points per class, so that a small cycle is likely among the found. */
const startsAtMost = 32;

/**
 * Cycles of each class that has any, small ones first, a few of each name. Whether a class has cycles is decided
 * exactly and in linear time: there is one if and only if an edge of the kind `start` lies within a strongly connected
 * component of the walk. `steps` only bounds how long smaller cycles are looked for: edges that are looked at. A class
 * that needs process order or real time is passed over if one as weak has cycles by the data alone.
 */
export function findCycles(graph: DependencyGraph, steps: number): Cycle[] {
  const found = new Map<AnomalyName, Map<string, Cycle>>();
  const budget = { steps };
  let weakest = classes.length;
  for (const order of orders) {
    for (const [strength, { kinds, start, nonadjacent }] of classes.entries()) {
      if (order !== 0 && strength >= weakest) break;
      const walk = { graph, kinds: kinds | order | inner, nonadjacent };
      const cycles = new CycleSearch(walk, start, budget).run();
      if (order === 0 && cycles.length > 0) weakest = Math.min(weakest, strength);
      for (const cycle of cycles) {
        const ofName = found.get(cycle.name) ?? new Map<string, Cycle>();
        ofName.set(identity(cycle.steps), cycle);
        found.set(cycle.name, ofName);
      }
    }
  }
  return [...found.values()].flatMap((cycles) =>
    [...cycles.values()].sort((a, b) => a.steps.length - b.steps.length).slice(0, keptAtMost),
  );
}

class CycleSearch {
  readonly #walk: Walk;
  readonly #start: number;
  readonly #budget: { steps: number };
  readonly #components: Components;
  /** Of the state: its number of steps in the last search, if `#stamp` says that it was reached. */
  readonly #distance: Int32Array;
  readonly #stamp: Int32Array;
  readonly #cameFrom: Int32Array;
  readonly #cameBy: Int32Array;
  #searches = 0;

  constructor(walk: Walk, start: number, budget: { steps: number }) {
    this.#walk = walk;
    this.#start = start;
    this.#budget = budget;
    this.#components = componentsOf(walk);
    const isCyclic = this.#components.sizes.some((size) => size > 1);
    const states = isCyclic ? statesOf(walk) : 0;
    this.#distance = new Int32Array(states);
    this.#stamp = new Int32Array(states);
    this.#cameFrom = new Int32Array(states);
    this.#cameBy = new Int32Array(states);
  }

  run(): Cycle[] {
    if (this.#stamp.length === 0) return [];
    const cycles = new Map<string, Cycle>();
    const covered = new Set<string>();
    let tries = 0;
    for (const { from, edge } of this.#starts()) {
      if (tries > 0 && this.#budget.steps <= 0) break;
      if (covered.has(`${from} ${edge}`)) continue;
      tries++;
      let best = this.#through(from, edge);
      // A long cycle often runs through the one edge that goes back in time; the shortest through that edge is better.
      for (const each of best.edges) {
        covered.add(`${each.from} ${each.edge}`);
        if (this.#graph.kinds[each.edge] !== this.#start || this.#budget.steps <= 0) continue;
        const other = this.#through(each.from, each.edge);
        if (other.steps.length < best.steps.length) best = other;
      }
      for (const each of best.edges) covered.add(`${each.from} ${each.edge}`);
      const steps = this.#walk.nonadjacent ? simple(best.steps) : best.steps;
      cycles.set(identity(steps), { name: nameOf(steps), steps });
    }
    return [...cycles.values()];
  }

  get #graph(): DependencyGraph {
    return this.#walk.graph;
  }

  /** Edges of the kind `#start` within components, some of each component, the smaller components first. */
  #starts(): { from: number; edge: number }[] {
    const { offsets, kinds, nodes } = this.#graph;
    const { of, sizes } = this.#components;
    const width = this.#walk.nonadjacent ? 2 : 1;
    const byComponent = new Map<number, { from: number; edge: number }[]>();
    for (let node = 0; node < nodes; node++) {
      const component = of[node * width] ?? 0;
      if ((sizes[component] ?? 0) < 2) continue;
      for (let edge = offsets[node] ?? 0; edge < (offsets[node + 1] ?? 0); edge++) {
        if (kinds[edge] !== this.#start || of[follow(this.#walk, node * width, edge)] !== component) continue;
        const starts = byComponent.get(component);
        if (starts) starts.push({ from: node, edge });
        else byComponent.set(component, [{ from: node, edge }]);
      }
    }
    const groups = [...byComponent].sort(([a], [b]) => (sizes[a] ?? 0) - (sizes[b] ?? 0)).slice(0, startsAtMost);
    return groups.flatMap(([, starts]) => {
      const stride = Math.ceil((starts.length * groups.length) / startsAtMost);
      return starts.filter((_, i) => i % stride === 0);
    });
  }

  /** The shortest closed walk that begins with an edge: breadth first; inner edges take no step. */
  #through(from: number, edge: number): { steps: Step[]; edges: { from: number; edge: number }[] } {
    const { offsets } = this.#graph;
    const shift = this.#walk.nonadjacent ? 1 : 0;
    const goal = from << shift;
    const component = this.#components.of[goal];
    const first = follow(this.#walk, goal, edge);
    const search = ++this.#searches;
    this.#reach(first, goal, edge, 1, search);
    let level = [first];
    for (let distance = 1; level.length > 0 && this.#stamp[goal] !== search; distance++) {
      const next: number[] = [];
      for (let i = 0; i < level.length; i++) {
        const state = level[i] ?? 0;
        if (this.#distance[state] !== distance) continue;
        const end = offsets[(state >> shift) + 1] ?? 0;
        for (let out = offsets[state >> shift] ?? 0; out < end; out++) {
          this.#budget.steps--;
          const to = follow(this.#walk, state, out);
          if (to < 0 || this.#components.of[to] !== component) continue;
          const isInner = this.#graph.kinds[out] === inner;
          const length = isInner ? distance : distance + 1;
          if (this.#stamp[to] === search && (this.#distance[to] ?? 0) <= length) continue;
          this.#reach(to, state, out, length, search);
          (isInner ? level : next).push(to);
        }
      }
      level = next;
    }
    return this.#walkBack(goal, shift);
  }

  #reach(state: number, from: number, by: number, distance: number, search: number): void {
    this.#stamp[state] = search;
    this.#distance[state] = distance;
    this.#cameFrom[state] = from;
    this.#cameBy[state] = by;
  }

  #walkBack(goal: number, shift: number): { steps: Step[]; edges: { from: number; edge: number }[] } {
    const edges: { from: number; edge: number }[] = [];
    let state = goal;
    do {
      const before = this.#cameFrom[state] ?? goal;
      edges.push({ from: before >> shift, edge: this.#cameBy[state] ?? 0 });
      state = before;
    } while (state !== goal);
    edges.reverse();
    const { kinds, targets, labels } = this.#graph;
    const steps: Step[] = [];
    for (const { from, edge } of edges) {
      const to = targets[edge] ?? 0;
      const label = labels[edge] ?? -1;
      const last = steps.at(-1);
      if (kinds[edge] === inner && last) steps[steps.length - 1] = { ...last, to, label };
      else steps.push({ from, to, kind: kindOf(kinds[edge] ?? 0), label });
    }
    return { steps, edges };
  }
}

function kindOf(bits: number): EdgeKind {
  if (bits === ww) return "ww";
  if (bits === wr) return "wr";
  if (bits === rw) return "rw";
  return bits === process ? "process" : "realtime";
}

/**
 * Of a closed walk without two anti-dependencies in a row, one that visits no transaction twice and has none in a row
 * either. At a transaction that is visited twice the walk falls into two closed ones; at most one of them has
 * anti-dependencies meet there.
 */
function simple(steps: readonly Step[]): readonly Step[] {
  const seen = new Map<number, number>();
  for (const [i, { from }] of steps.entries()) {
    const before = seen.get(from);
    if (before !== undefined) {
      const inside = steps.slice(before, i);
      const outside = [...steps.slice(0, before), ...steps.slice(i)];
      return simple(inside.at(-1)?.kind === "rw" && inside[0]?.kind === "rw" ? outside : inside);
    }
    seen.set(from, i);
  }
  return steps;
}

function nameOf(steps: readonly Step[]): AnomalyName {
  const has = (kind: EdgeKind) => steps.some((step) => step.kind === kind);
  const anti = steps.filter(({ kind }) => kind === "rw").length;
  const isAdjacent = steps.some(({ kind }, i) => kind === "rw" && steps[(i + 1) % steps.length]?.kind === "rw");
  let name: CycleName;
  if (anti === 0) name = has("wr") ? "G1c" : "G0";
  else if (anti === 1) name = "G-single";
  else name = isAdjacent ? "G2-item" : "G-nonadjacent";
  if (has("realtime")) return `${name}-realtime`;
  return has("process") ? `${name}-process` : name;
}

/** The same for the same cycle, wherever it is entered. */
function identity(steps: readonly Step[]): string {
  return steps
    .map(({ from, to }) => `${from}>${to}`)
    .sort()
    .join(" ");
}
