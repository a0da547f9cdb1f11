import { hash32, refuseUnknown } from "../../core/index.ts";
import { assertSeed } from "../seeds.ts";
import { assertCount, NodeSet, type Placement, type PlacementNode } from "./nodes.ts";

export interface RendezvousOptions {
  /** Different seeds place keys independently of each other. Default 0. */
  readonly seed?: number;
}

/**
 * Rendezvous hashing, also called highest random weight (Thaler and Ravishankar, 1998), with weights after Schindelhauer and
 * Schomaker (2005): every node draws a score for the key, and the highest has it. The evenest of all, without any table, and only keys
 * of the changed node move; a lookup asks every node, so it is for tens of nodes rather than thousands.
 */
export function createRendezvous(
  nodes: Iterable<string | PlacementNode> = [],
  options: RendezvousOptions = {},
): Placement {
  refuseUnknown(options, ["seed"]);
  const { seed = 0 } = options;
  assertSeed(seed);
  return new Rendezvous(new NodeSet(nodes), seed);
}

interface Contestants {
  readonly ids: readonly string[];
  readonly seeds: Uint32Array;
  /** `undefined` when all weigh the same: then the draws themselves can be compared. */
  readonly weights: Float64Array | undefined;
}

class Rendezvous implements Placement {
  readonly #set: NodeSet;
  readonly #seed: number;
  #contestants: Contestants | undefined;

  constructor(set: NodeSet, seed: number) {
    this.#set = set;
    this.#seed = seed;
  }

  get nodes(): readonly Required<PlacementNode>[] {
    return this.#set.sorted;
  }

  locate(key: string | Uint8Array): string | undefined {
    const contestants = this.#prepared();
    const { ids, seeds, weights } = contestants;
    const hash = hash32(key, this.#seed);
    let best = -1;
    let highest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < seeds.length; i++) {
      const score = weights === undefined ? draw(hash, seeds[i] as number) : scoreOf(hash, contestants, i);
      if (score > highest) {
        highest = score;
        best = i;
      }
    }
    return ids[best];
  }

  replicas(key: string | Uint8Array, count: number): string[] {
    assertCount(count);
    const contestants = this.#prepared();
    const hash = hash32(key, this.#seed);
    return contestants.ids
      .map((id, i) => ({ id, score: scoreOf(hash, contestants, i) }))
      .sort((a, b) => b.score - a.score)
      .slice(0, count)
      .map(({ id }) => id);
  }

  add(node: string | PlacementNode): void {
    this.#set.add(node);
    this.#contestants = undefined;
  }

  remove(id: string): boolean {
    this.#contestants = undefined;
    return this.#set.remove(id);
  }

  #prepared(): Contestants {
    this.#contestants ??= prepare(this.#set.sorted, this.#seed);
    return this.#contestants;
  }
}

function prepare(nodes: readonly Required<PlacementNode>[], seed: number): Contestants {
  const weights = Float64Array.from(nodes, ({ weight }) => weight);
  return {
    ids: nodes.map(({ id }) => id),
    seeds: Uint32Array.from(nodes, ({ id }) => hash32(id, seed)),
    weights: weights.every((weight) => weight === weights[0]) ? undefined : weights,
  };
}

/** −weight ÷ ln u of a draw u between 0 and 1: the chance to be the highest is the weight's part of all weights. Grows with the draw. */
function scoreOf(hash: number, { seeds, weights }: Contestants, i: number): number {
  const drawn = draw(hash, seeds[i] as number);
  return weights === undefined ? drawn : -(weights[i] as number) / Math.log((drawn + 0.5) / 2 ** 32);
}

/** 32 bits from the key's hash and the node's: the finisher of MurmurHash3 over their mixture. */
function draw(hash: number, seed: number): number {
  let mixed = Math.imul(hash, 0x9e3779b1) ^ seed;
  mixed ^= mixed >>> 16;
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
