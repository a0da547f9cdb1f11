/** Leases: what a process owns, it owns for as long as its lease lasts. Locks, leaderships and registrations stand on them. */
export type { LeaseMessage } from "./channels.ts";
export { type Lease, type Leases, leasesOf } from "./leases.ts";
export { type LeaseStatus, Liveness } from "./liveness.ts";
export { firstOf, patiently, untilAbsent, watchUntil } from "./waiting.ts";
