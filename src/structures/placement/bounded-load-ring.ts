import { invalidArgument } from "../../core/index.ts";
import { HashRing, type HashRingOptions } from "./hash-ring.ts";
import type { PlacementNode } from "./nodes.ts";

export interface BoundedLoadRingOptions extends HashRingOptions {
  /** How far above its even share a node may be loaded: 0.01 to 100. Small values even out more and spill more keys to other nodes. Default 0.25. */
  readonly epsilon?: number;
}

/** One unit of work that was placed. Disposed of or released, once or more often, it gives its room back. */
export interface PlacedWork extends Disposable {
  readonly node: string;
  release(): void;
}

/** Places units of work, such as requests or connections, near where their keys belong, and on no node too many. */
export interface BoundedLoadRing {
  readonly nodes: readonly Required<PlacementNode>[];
  /** Work placed and not released, on the nodes that are there. */
  readonly totalLoad: number;
  /**
   * Places one unit: on the first node, in the ring's order for the key, that has room. A node has room for (1 + epsilon) times
   * its share, by weight, of all work placed and this unit, rounded up. `undefined` when there are no nodes.
   */
  acquire(key: string | Uint8Array): PlacedWork | undefined;
  /** Of one node; 0 for one that is not there. */
  load(id: string): number;
  /** Adds a node, or changes the weight of the one with this id. */
  add(node: string | PlacementNode): void;
  /** Forgets the node and the work on it. Whether it was there. */
  remove(id: string): boolean;
}

/** Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016). */
export function createBoundedLoadRing(
  nodes: Iterable<string | PlacementNode> = [],
  options: BoundedLoadRingOptions = {},
): BoundedLoadRing {
  const { epsilon = 0.25, ...ring } = options;
  if (!(typeof epsilon === "number" && epsilon >= 0.01 && epsilon <= 100))
    throw invalidArgument("epsilon", epsilon, "a number from 0.01 to 100");
  return new BoundedRing(new HashRing(nodes, ring), 1 + epsilon);
}

interface Loaded {
  /** Its part of all weights. */
  share: number;
  load: number;
  removed: boolean;
}

class BoundedRing implements BoundedLoadRing {
  readonly #ring: HashRing;
  readonly #factor: number;
  readonly #loaded = new Map<string, Loaded>();
  #total = 0;

  constructor(ring: HashRing, factor: number) {
    this.#ring = ring;
    this.#factor = factor;
    this.#weigh();
  }

  get nodes(): readonly Required<PlacementNode>[] {
    return this.#ring.nodes;
  }

  get totalLoad(): number {
    return this.#total;
  }

  acquire(key: string | Uint8Array): PlacedWork | undefined {
    const node = this.#firstWithRoom(key);
    if (node === undefined) return undefined;
    const loaded = this.#loaded.get(node) as Loaded;
    loaded.load++;
    this.#total++;
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      loaded.load--;
      // A node that was removed has taken its work out of the sum, even if one of the same name came back.
      if (!loaded.removed) this.#total--;
    };
    return { node, release, [Symbol.dispose]: release };
  }

  load(id: string): number {
    return this.#loaded.get(id)?.load ?? 0;
  }

  add(node: string | PlacementNode): void {
    this.#ring.add(node);
    this.#weigh();
  }

  remove(id: string): boolean {
    const loaded = this.#loaded.get(id);
    if (loaded === undefined) return false;
    loaded.removed = true;
    this.#total -= loaded.load;
    this.#loaded.delete(id);
    this.#ring.remove(id);
    this.#weigh();
    return true;
  }

  /** There is one: if every node were at its capacity, they would hold more than all the work that there is. */
  #firstWithRoom(key: string | Uint8Array): string | undefined {
    const allowed = this.#factor * (this.#total + 1);
    const home = this.#ring.locate(key);
    if (home === undefined || this.#hasRoom(home, allowed)) return home;
    for (const id of this.#ring.preferences(key)) if (this.#hasRoom(id, allowed)) return id;
    return undefined;
  }

  #hasRoom(id: string, allowed: number): boolean {
    const { load, share } = this.#loaded.get(id) as Loaded;
    return load < Math.ceil(allowed * share);
  }

  #weigh(): void {
    const { nodes } = this.#ring;
    const sum = nodes.reduce((total, { weight }) => total + weight, 0);
    for (const { id, weight } of nodes) {
      const loaded = this.#loaded.get(id);
      if (loaded === undefined) this.#loaded.set(id, { share: weight / sum, load: 0, removed: false });
      else loaded.share = weight / sum;
    }
  }
}
