import { hash32, invalidArgument, refuseUnknown } from "../../core/index.ts";
import { assertSeed } from "../seeds.ts";
import { assertCount, NodeSet, type Placement, type PlacementNode } from "./nodes.ts";

export interface MaglevOptions {
  /** Slots of the table: a prime from 11 to 10,000,019, and much more than there are nodes (a hundred times is good). Default 65,537. */
  readonly tableSize?: number;
  /** Tables with different seeds place keys independently of each other. Default 0. */
  readonly seed?: number;
}

/**
 * The lookup table of Maglev (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016), with weights: a lookup
 * is one hash and one read, and every node has its part of the slots to within one or two. When nodes change, almost only their keys move:
 * a few of the others do too. A node whose weight is less than one slot's worth may get none.
 */
export function createMaglevTable(
  nodes: Iterable<string | PlacementNode> = [],
  options: MaglevOptions = {},
): Placement {
  refuseUnknown(options, ["tableSize", "seed"]);
  const { tableSize = 65_537, seed = 0 } = options;
  assertSeed(seed);
  if (!Number.isInteger(tableSize) || tableSize < 11 || tableSize > 10_000_019 || !isPrime(tableSize))
    throw invalidArgument("tableSize", tableSize, "a prime from 11 to 10,000,019");
  return new MaglevTable(nodes, tableSize, seed);
}

class MaglevTable implements Placement {
  readonly #set: NodeSet;
  readonly #size: number;
  readonly #seed: number;
  /** Of each slot, the position of its node among the nodes. Made anew at the first question after a change. */
  #table: Uint32Array | undefined;

  constructor(nodes: Iterable<string | PlacementNode>, size: number, seed: number) {
    this.#set = new NodeSet(nodes, { nodes: Math.min(size, 100_000) });
    this.#size = size;
    this.#seed = seed;
  }

  get nodes(): readonly Required<PlacementNode>[] {
    return this.#set.sorted;
  }

  locate(key: string | Uint8Array): string | undefined {
    const nodes = this.#set.sorted;
    if (nodes.length === 0) return undefined;
    return nodes[this.#slots()[hash32(key, this.#seed) % this.#size] as number]?.id;
  }

  replicas(key: string | Uint8Array, count: number): string[] {
    assertCount(count);
    const nodes = this.#set.sorted;
    const found = new Set<number>();
    const wanted = Math.min(count, nodes.length);
    if (wanted > 0) {
      const slots = this.#slots();
      const start = hash32(key, this.#seed);
      for (let i = 0; i < this.#size && found.size < wanted; i++) found.add(slots[(start + i) % this.#size] as number);
    }
    return Array.from(found, (node) => (nodes[node] as PlacementNode).id);
  }

  add(node: string | PlacementNode): void {
    this.#set.add(node);
    this.#table = undefined;
  }

  remove(id: string): boolean {
    this.#table = undefined;
    return this.#set.remove(id);
  }

  #slots(): Uint32Array {
    this.#table ??= populate(this.#set.sorted, this.#size, this.#seed);
    return this.#table;
  }
}

const free = 0xffffffff;

/**
 * Every node goes through the slots in an order of its own, offset + i × skip, and takes the next free one when it is its turn; a
 * node of half the greatest weight takes one in every other round.
 */
function populate(nodes: readonly Required<PlacementNode>[], size: number, seed: number): Uint32Array {
  const table = new Uint32Array(size).fill(free);
  const next = Uint32Array.from(nodes, ({ id }) => hash32(id, seed) % size);
  const skip = Uint32Array.from(nodes, ({ id }) => (hash32(id, (seed + 0x9e3779b9) >>> 0) % (size - 1)) + 1);
  const greatest = nodes.reduce((most, { weight }) => Math.max(most, weight), 0);
  const turns = Float64Array.from(nodes, () => 0);
  for (let filled = 0; ; ) {
    for (let node = 0; node < nodes.length; node++) {
      turns[node] = (turns[node] as number) + (nodes[node] as Required<PlacementNode>).weight / greatest;
      if ((turns[node] as number) < 1) continue;
      turns[node] = (turns[node] as number) - 1;
      let slot = next[node] as number;
      while (table[slot] !== free) slot = (slot + (skip[node] as number)) % size;
      table[slot] = node;
      next[node] = (slot + (skip[node] as number)) % size;
      if (++filled === size) return table;
    }
  }
}

function isPrime(value: number): boolean {
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return true;
}
