import { hash32, invalidArgument, refuseUnknown } from "../../core/index.ts";
import { assertSeed } from "../seeds.ts";
import { assertCount, NodeSet, type Placement, type PlacementNode } from "./nodes.ts";
import { type RingPoints, ringPoints } from "./ring-points.ts";

/** 200 MB of points while a ring is made. */
const maxPoints = 2 ** 24;

export interface HashRingOptions {
  /** Points on the ring for a node of weight 1: 1 to 10,000, and at most 16,777,216 for all nodes together; loads differ from even by about 1 / √points. Default 160, as Ketama has. */
  readonly virtualNodes?: number;
  /** Rings with different seeds place keys independently of each other. Default 0. */
  readonly seed?: number;
}

/**
 * A consistent-hash ring (Karger et al., "Consistent Hashing and Random Trees", 1997) with virtual nodes and weights. A node
 * that comes takes keys from the others, one that goes gives its own away, and no other key moves.
 */
export function createHashRing(nodes: Iterable<string | PlacementNode> = [], options: HashRingOptions = {}): Placement {
  return new HashRing(nodes, options);
}

export class HashRing implements Placement {
  readonly #set: NodeSet;
  readonly #virtualNodes: number;
  readonly #seed: number;
  /** Made anew at the first question after a change. */
  #points: RingPoints | undefined;

  constructor(nodes: Iterable<string | PlacementNode>, options: HashRingOptions) {
    refuseUnknown(options, ["virtualNodes", "seed"]);
    const { virtualNodes = 160, seed = 0 } = options;
    if (!Number.isInteger(virtualNodes) || virtualNodes < 1 || virtualNodes > 10_000)
      throw invalidArgument("virtualNodes", virtualNodes, "a whole number from 1 to 10,000");
    assertSeed(seed);
    this.#set = new NodeSet(nodes, { totalWeight: Math.floor(maxPoints / virtualNodes) });
    this.#virtualNodes = virtualNodes;
    this.#seed = seed;
  }

  get nodes(): readonly Required<PlacementNode>[] {
    return this.#set.sorted;
  }

  locate(key: string | Uint8Array): string | undefined {
    const { owners, find, ids } = this.#ring();
    return ids.length === 0 ? undefined : ids[owners[find(hash32(key, this.#seed))] as number];
  }

  replicas(key: string | Uint8Array, count: number): string[] {
    assertCount(count);
    const found: string[] = [];
    if (count > 0) for (const id of this.preferences(key)) if (found.push(id) === count) break;
    return found;
  }

  /** All nodes in the order in which the ring prefers them for the key. */
  *preferences(key: string | Uint8Array): Generator<string, void, undefined> {
    const { owners, find, ids } = this.#ring();
    if (ids.length === 0) return;
    const start = find(hash32(key, this.#seed));
    const seen = new Set<number>();
    for (let i = 0; i < owners.length && seen.size < ids.length; i++) {
      const owner = owners[(start + i) % owners.length] as number;
      if (seen.has(owner)) continue;
      seen.add(owner);
      yield ids[owner] as string;
    }
  }

  add(node: string | PlacementNode): void {
    this.#set.add(node);
    this.#points = undefined;
  }

  remove(id: string): boolean {
    this.#points = undefined;
    return this.#set.remove(id);
  }

  #ring(): RingPoints {
    this.#points ??= ringPoints(this.#set.sorted, this.#virtualNodes, this.#seed);
    return this.#points;
  }
}
