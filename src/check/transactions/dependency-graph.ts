/** Kinds of edges, as bits, so that a set of kinds is a number. */
export const edgeKinds = { ww: 1, wr: 2, rw: 4, process: 8, realtime: 16, inner: 32 } as const;

export type EdgeKind = "ww" | "wr" | "rw" | "process" | "realtime";

/**
 * Transactions (nodes from 0) and what must come before what. There are further nodes that stand for no transaction:
 * many-to-many relations go through them, so that the edges stay linear in the history. An edge into such a node says
 * the kind of the dependency; `inner` edges lead on from it. Invariant: a path over inner edges never leads from a
 * transaction back to itself.
 *
 * A label is what the dependency is about: the number of a write, or -1. Along inner edges the last label is the one
 * that counts.
 */
export class GraphBuilder {
  readonly transactions: number;
  #nodes: number;
  #size = 0;
  #from = new Int32Array(1024);
  #to = new Int32Array(1024);
  #label = new Int32Array(1024);
  #kind = new Uint8Array(1024);

  constructor(transactions: number) {
    this.transactions = transactions;
    this.#nodes = transactions;
  }

  addNode(): number {
    return this.#nodes++;
  }

  addEdge(from: number, to: number, kind: EdgeKind | "inner", label: number): void {
    if (from === to) return;
    if (this.#size === this.#from.length) this.#grow();
    const at = this.#size++;
    this.#from[at] = from;
    this.#to[at] = to;
    this.#label[at] = label;
    this.#kind[at] = edgeKinds[kind];
  }

  build(): DependencyGraph {
    const offsets = new Int32Array(this.#nodes + 1);
    for (let i = 0; i < this.#size; i++) {
      const next = (this.#from[i] ?? 0) + 1;
      offsets[next] = (offsets[next] ?? 0) + 1;
    }
    for (let node = 0; node < this.#nodes; node++) offsets[node + 1] = (offsets[node + 1] ?? 0) + (offsets[node] ?? 0);
    const free = offsets.slice();
    const targets = new Int32Array(this.#size);
    const labels = new Int32Array(this.#size);
    const kinds = new Uint8Array(this.#size);
    for (let i = 0; i < this.#size; i++) {
      const from = this.#from[i] ?? 0;
      const at = free[from] ?? 0;
      free[from] = at + 1;
      targets[at] = this.#to[i] ?? 0;
      labels[at] = this.#label[i] ?? 0;
      kinds[at] = this.#kind[i] ?? 0;
    }
    return { transactions: this.transactions, nodes: this.#nodes, offsets, targets, labels, kinds };
  }

  #grow(): void {
    const size = this.#size * 2;
    const enlarge = (old: Int32Array<ArrayBuffer>) => {
      const larger = new Int32Array(size);
      larger.set(old);
      return larger;
    };
    this.#from = enlarge(this.#from);
    this.#to = enlarge(this.#to);
    this.#label = enlarge(this.#label);
    const kinds = new Uint8Array(size);
    kinds.set(this.#kind);
    this.#kind = kinds;
  }
}

/** The edges of node `n` are those from `offsets[n]` to before `offsets[n + 1]`. */
export interface DependencyGraph {
  readonly transactions: number;
  readonly nodes: number;
  readonly offsets: Int32Array;
  readonly targets: Int32Array;
  readonly labels: Int32Array;
  readonly kinds: Uint8Array;
}

/**
 * Edges from many nodes to all of some targets but themselves, with a number of edges that is the sum and not the
 * product. Two chains of inner nodes: one leads to the targets up to a position, one to those from a position on; a
 * node that is a target itself gets the part before it and the part after it.
 */
export class Fan {
  readonly #graph: GraphBuilder;
  readonly #targets: readonly number[];
  readonly #labels: readonly number[];
  readonly #positions = new Map<number, number>();
  #upTo: number[] | undefined;
  #fromOn: number[] | undefined;

  /** `labels[i]` is that of the edges to `targets[i]`; the targets are distinct. */
  constructor(graph: GraphBuilder, targets: readonly number[], labels: readonly number[]) {
    this.#graph = graph;
    this.#targets = targets;
    this.#labels = labels;
    for (const [i, target] of targets.entries()) this.#positions.set(target, i);
  }

  connect(from: number, kind: EdgeKind): void {
    const last = this.#targets.length - 1;
    const own = this.#positions.get(from);
    if (own === undefined) this.#connectUpTo(from, kind, last);
    if (own !== undefined && own > 0) this.#connectUpTo(from, kind, own - 1);
    if (own !== undefined && own < last) this.#connectFromOn(from, kind, own + 1);
  }

  #connectUpTo(from: number, kind: EdgeKind, position: number): void {
    if (position < 0) return;
    if (position === 0) {
      this.#graph.addEdge(from, this.#targets[0] ?? 0, kind, this.#labels[0] ?? -1);
      return;
    }
    this.#upTo ??= this.#chain([...this.#targets.keys()]);
    this.#graph.addEdge(from, this.#upTo[position] ?? 0, kind, -1);
  }

  #connectFromOn(from: number, kind: EdgeKind, position: number): void {
    const last = this.#targets.length - 1;
    if (position === last) {
      this.#graph.addEdge(from, this.#targets[last] ?? 0, kind, this.#labels[last] ?? -1);
      return;
    }
    this.#fromOn ??= this.#chain([...this.#targets.keys()].reverse());
    this.#graph.addEdge(from, this.#fromOn[position] ?? 0, kind, -1);
  }

  /** Inner nodes by position, each leading to its target and to the inner node before it in the given order. */
  #chain(positions: readonly number[]): number[] {
    const nodes: number[] = [];
    let before: number | undefined;
    for (const position of positions) {
      const node = this.#graph.addNode();
      nodes[position] = node;
      this.#graph.addEdge(node, this.#targets[position] ?? 0, "inner", this.#labels[position] ?? -1);
      if (before !== undefined) this.#graph.addEdge(node, before, "inner", -1);
      before = node;
    }
    return nodes;
  }
}
