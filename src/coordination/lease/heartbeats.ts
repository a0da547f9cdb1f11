import type { Engine } from "../../engine/index.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { HeldLease } from "./held-lease.ts";

interface Band {
  readonly leases: Set<HeldLease>;
  readonly heartbeat: Heartbeat;
}

/**
 * The heartbeats of a process: one for all leases whose times to live are of a size. A renewal is given up after a part of the shortest time that it carries, so one that is too short
 * for the engine's latency must not carry long ones with it.
 */
export class Heartbeats {
  readonly #root: Engine;
  readonly #retire: (lease: HeldLease) => void;
  readonly #bands = new Map<number, Band>();

  constructor(root: Engine, retire: (lease: HeldLease) => void) {
    this.#root = root;
    this.#retire = retire;
  }

  add(lease: HeldLease): void {
    const { leases, heartbeat } = this.#bandOf(lease);
    leases.add(lease);
    heartbeat.schedule();
  }

  delete(lease: HeldLease): void {
    const { leases, heartbeat } = this.#bandOf(lease);
    leases.delete(lease);
    heartbeat.schedule();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#bands.values()].map(({ heartbeat }) => heartbeat.close()));
  }

  /** Each band is four times as wide as the one before. */
  #bandOf({ ttl }: HeldLease): Band {
    const size = Math.floor(Math.log2(ttl) / 2);
    let band = this.#bands.get(size);
    if (!band) {
      const leases = new Set<HeldLease>();
      band = { leases, heartbeat: new Heartbeat(this.#root, leases, this.#retire) };
      this.#bands.set(size, band);
    }
    return band;
  }
}
