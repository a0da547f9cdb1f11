import { hash32 } from "../../core/index.ts";
import type { PlacementNode } from "./nodes.ts";

/** The points of a ring in ascending order with the node that each belongs to, and an index that finds a place in constant time. */
export interface RingPoints {
  /** The first point at or after a place, around the end to the first of all. */
  find(place: number): number;
  /** Of each point, the position of its node among the nodes. */
  readonly owners: Uint16Array | Uint32Array;
  /** Of the nodes. */
  readonly ids: readonly string[];
}

/** A point and its node in one double: 32 bits and 17 bits are exact in it, and sort by the point, then by the node. */
const nodeBits = 2 ** 17;

/**
 * Each node gets `virtualNodes` × weight points, at least one: the hashes of its id with the seeds `seed`, `seed + 1`, …
 * Nodes whose points coincide stand in the order of their ids.
 */
export function ringPoints(nodes: readonly Required<PlacementNode>[], virtualNodes: number, seed: number): RingPoints {
  const counts = nodes.map(({ weight }) => Math.max(1, Math.round(virtualNodes * weight)));
  const total = counts.reduce((sum, count) => sum + count, 0);
  const packed = new Float64Array(total);
  let at = 0;
  for (const [node, { id }] of nodes.entries()) {
    const count = counts[node] as number;
    for (let i = 0; i < count; i++) packed[at++] = hash32(id, (seed + i) >>> 0) * nodeBits + node;
  }
  packed.sort();
  const points = new Uint32Array(total);
  // Half the memory is half the misses of the caches, which are what a lookup in a large ring waits for.
  const owners = nodes.length <= 0xffff ? new Uint16Array(total) : new Uint32Array(total);
  for (let i = 0; i < total; i++) {
    const value = packed[i] as number;
    points[i] = Math.floor(value / nodeBits);
    owners[i] = value % nodeBits;
  }
  return { find: finder(points), owners, ids: nodes.map(({ id }) => id) };
}

/**
 * As many buckets as points, rounded up to a power of two: each knows the first point in it, and the point sought is, on
 * average, less than one step from there.
 */
function finder(points: Uint32Array): (place: number) => number {
  const bits = Math.max(1, Math.ceil(Math.log2(points.length)));
  const shift = 32 - bits;
  const firsts = new Uint32Array(2 ** bits);
  let point = 0;
  for (let bucket = 0; bucket < firsts.length; bucket++) {
    while (point < points.length && (points[point] as number) >>> shift < bucket) point++;
    firsts[bucket] = point;
  }
  return (place) => {
    let i = firsts[place >>> shift] as number;
    while (i < points.length && (points[i] as number) < place) i++;
    return i === points.length ? 0 : i;
  };
}
