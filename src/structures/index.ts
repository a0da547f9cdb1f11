/** Structures that stand by themselves, without an engine: where keys belong among nodes, and summaries of large sets. */
export { hash32 } from "../core/index.ts";
export {
  type BoundedLoadRing,
  type BoundedLoadRingOptions,
  createBoundedLoadRing,
  type PlacedWork,
} from "./placement/bounded-load-ring.ts";
export { createHashRing, type HashRingOptions } from "./placement/hash-ring.ts";
export { jumpHash } from "./placement/jump.ts";
export { createMaglevTable, type MaglevOptions } from "./placement/maglev.ts";
export type { Placement, PlacementNode } from "./placement/nodes.ts";
export { createRendezvous, type RendezvousOptions } from "./placement/rendezvous.ts";
export { createBlockedBloomFilter, readBlockedBloomFilter } from "./sketches/blocked-bloom-filter.ts";
export { type BloomFilter, createBloomFilter, readBloomFilter } from "./sketches/bloom-filter.ts";
export { type CountMin, type CountMinOptions, createCountMin, readCountMin } from "./sketches/count-min.ts";
export {
  type CountingBloomFilter,
  createCountingBloomFilter,
  readCountingBloomFilter,
} from "./sketches/counting-bloom-filter.ts";
export { type CuckooFilter, createCuckooFilter, readCuckooFilter } from "./sketches/cuckoo-filter.ts";
export {
  createHyperLogLog,
  type HyperLogLog,
  type HyperLogLogOptions,
  readHyperLogLog,
} from "./sketches/hyperloglog.ts";
export type { FilterOptions, MembershipSketch } from "./sketches/membership.ts";
export { createTDigest, readTDigest, type TDigest, type TDigestOptions } from "./sketches/t-digest.ts";
