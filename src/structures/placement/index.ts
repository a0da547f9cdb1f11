/** Where keys belong among nodes that come and go. */
export {
  type BoundedLoadRing,
  type BoundedLoadRingOptions,
  createBoundedLoadRing,
  type PlacedWork,
} from "./bounded-load-ring.ts";
export { createHashRing, type HashRingOptions } from "./hash-ring.ts";
export { jumpHash } from "./jump.ts";
export { createMaglevTable, type MaglevOptions } from "./maglev.ts";
export type { Placement, PlacementNode } from "./nodes.ts";
export { createRendezvous, type RendezvousOptions } from "./rendezvous.ts";
