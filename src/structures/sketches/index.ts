/** Summaries of large sets in little memory: mergeable, with a stable format and stated errors. */
export { createBlockedBloomFilter, readBlockedBloomFilter } from "./blocked-bloom-filter.ts";
export { type BloomFilter, createBloomFilter, readBloomFilter } from "./bloom-filter.ts";
export { type CountMin, type CountMinOptions, createCountMin, readCountMin } from "./count-min.ts";
export {
  type CountingBloomFilter,
  createCountingBloomFilter,
  readCountingBloomFilter,
} from "./counting-bloom-filter.ts";
export { type CuckooFilter, createCuckooFilter, readCuckooFilter } from "./cuckoo-filter.ts";
export { createHyperLogLog, type HyperLogLog, type HyperLogLogOptions, readHyperLogLog } from "./hyperloglog.ts";
export type { FilterOptions, MembershipSketch } from "./membership.ts";
export { createTDigest, readTDigest, type TDigest, type TDigestOptions } from "./t-digest.ts";
