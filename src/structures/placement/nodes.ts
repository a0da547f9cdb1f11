import { invalidArgument } from "../../core/index.ts";

/** A node that keys can be placed on. */
export interface PlacementNode {
  /** 1 to 500 characters; no other node has it. */
  readonly id: string;
  /** Its part in proportion to those of the others: above 0, at most 1,000. Default 1. */
  readonly weight?: number;
}

/** Where keys belong: the same nodes, in whatever order they came, give every process the same answers. */
export interface Placement {
  /** Sorted by id. */
  readonly nodes: readonly Required<PlacementNode>[];
  /** The node that a key belongs to; `undefined` when there are no nodes. */
  locate(key: string | Uint8Array): string | undefined;
  /**
   * The first `count` nodes for a key in order of preference, each once: the one of `locate` first, then where replicas
   * belong. Fewer when there are fewer nodes.
   */
  replicas(key: string | Uint8Array, count: number): string[];
  /** Adds a node, or changes the weight of the one with this id. */
  add(node: string | PlacementNode): void;
  /** Whether it was there. */
  remove(id: string): boolean;
}

interface NodeLimits {
  /** Default 100,000. */
  readonly nodes?: number;
  readonly totalWeight?: number;
}

/** The nodes of a placement, checked on their way in. */
export class NodeSet {
  readonly #weights = new Map<string, number>();
  readonly #limits: Required<NodeLimits>;
  #totalWeight = 0;
  #sorted: readonly Required<PlacementNode>[] | undefined;

  constructor(nodes: Iterable<string | PlacementNode>, limits: NodeLimits = {}) {
    this.#limits = { nodes: 100_000, totalWeight: Number.POSITIVE_INFINITY, ...limits };
    for (const node of nodes) this.add(node);
  }

  add(node: string | PlacementNode): void {
    const { id, weight = 1 } = typeof node === "string" ? { id: node } : node;
    if (typeof id !== "string" || id.length === 0 || id.length > 500)
      throw invalidArgument("node.id", id, "a text of 1 to 500 characters");
    if (!(typeof weight === "number" && weight > 0 && weight <= 1000))
      throw invalidArgument("node.weight", weight, "a number above 0, at most 1,000");
    const before = this.#weights.get(id);
    const total = this.#totalWeight - (before ?? 0) + weight;
    const { nodes, totalWeight } = this.#limits;
    if (before === undefined && this.#weights.size >= nodes)
      throw invalidArgument("nodes", this.#weights.size + 1, `at most ${nodes} nodes`);
    if (total > totalWeight)
      throw invalidArgument("node.weight", weight, `as much as keeps all weights together at or below ${totalWeight}`);
    this.#weights.set(id, weight);
    this.#totalWeight = total;
    this.#sorted = undefined;
  }

  remove(id: string): boolean {
    this.#totalWeight -= this.#weights.get(id) ?? 0;
    this.#sorted = undefined;
    return this.#weights.delete(id);
  }

  /** By id, so that nothing depends on the order in which they came. */
  get sorted(): readonly Required<PlacementNode>[] {
    this.#sorted ??= [...this.#weights].map(([id, weight]) => ({ id, weight })).sort((a, b) => (a.id < b.id ? -1 : 1));
    return this.#sorted;
  }
}

/** @throws InvalidArgumentError unless it is a whole number, at least 0 */
export function assertCount(count: number): void {
  if (!Number.isSafeInteger(count) || count < 0) throw invalidArgument("count", count, "a whole number, at least 0");
}
