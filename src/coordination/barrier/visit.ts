import {
  isAshlarError,
  type LinkedSignal,
  linkSignals,
  type Runtime,
  raceAbort,
  type Timer,
  withDeadline,
} from "../../core/index.ts";
import { type Lease, patiently } from "../lease/index.ts";
import type { Passage } from "./barrier.ts";
import { arrived, type BarrierMessage } from "./channels.ts";
import type { Gathering } from "./gathering.ts";

/** Milliseconds for which somebody who gives up waits for the engine to hear of it. */
const farewell = 1000;

/** One party's way through the barrier, from its coming to its passing or giving up. */
export class Visit {
  readonly #gathering: Gathering;
  readonly #as: { readonly party: string; readonly token: string };
  readonly #ttl: number;
  #lease: Lease | undefined;
  /** The generation in which it may have come: a commit was sent for it, and it is not known to be over without this party. */
  #generation: number | undefined;
  #announced = false;

  constructor(gathering: Gathering, options: { readonly party: string; readonly token: string; readonly ttl: number }) {
    this.#gathering = gathering;
    this.#as = { party: options.party, token: options.token };
    this.#ttl = options.ttl;
  }

  async pass(signal: AbortSignal): Promise<Passage> {
    signal.throwIfAborted();
    try {
      for (;;) {
        const passage = await patiently(this.#gathering.engine, () => this.#attempt(signal), signal);
        if (passage === undefined) continue;
        this.#lease?.release();
        return passage;
      }
    } catch (error) {
      const passage = await this.#leave();
      if (passage !== undefined) return passage;
      throw error;
    }
  }

  /** Comes and waits, once: `undefined` if the lease was lost or others passed without this party. */
  async #attempt(signal: AbortSignal): Promise<Passage | undefined> {
    const lease = await this.#gathering.leases.acquire(this.#ttl, { signal });
    this.#lease?.release();
    this.#lease = lease;
    try {
      const generation = await this.#enter(lease, signal);
      using alive = linkSignals(signal, lease.signal);
      if (generation !== undefined) await this.#gathering.over(generation, alive.signal);
    } catch (error) {
      if (isAshlarError(error, "LEASE_LOST") && !signal.aborted) return undefined;
      throw error;
    }
    const passage = await this.#passage(signal);
    this.#generation = undefined;
    return passage;
  }

  /** The generation in which it has come; `undefined` if that in which it may have come before is over. */
  async #enter(lease: Lease, signal: AbortSignal): Promise<number | undefined> {
    const gathering = this.#gathering;
    const entered = await gathering.enter({ ...this.#as, lease }, this.#generation, {
      signal,
      onAttempt: (generation) => {
        this.#generation = generation;
      },
    });
    if (entered === undefined) return undefined;
    if (!this.#announced && arrived.hasSubscribers)
      arrived.publish({ name: gathering.name, party: this.#as.party } satisfies BarrierMessage);
    this.#announced = true;
    if (entered.enough()) await gathering.letPass(entered.generation, signal);
    return entered.generation;
  }

  async #passage(signal: AbortSignal): Promise<Passage | undefined> {
    const generation = this.#generation;
    if (generation === undefined) return undefined;
    const passed = (await this.#gathering.passed(generation, signal)) ?? [];
    const index = passed.findIndex(([, token]) => token === this.#as.token);
    return index < 0 ? undefined : { generation, parties: passed.map(([party]) => party), index };
  }

  /** Withdraws, and goes on trying to when the caller waits no longer. Resolves with the passage if it was too late for that. */
  async #leave(): Promise<Passage | undefined> {
    const { engine } = this.#gathering;
    const lease = this.#lease;
    const generation = this.#generation;
    if (lease === undefined) return undefined;
    const patience = patienceWith(lease, engine.runtime);
    const withdrawal = async (): Promise<Passage | undefined> => {
      if (generation === undefined) return undefined;
      const left = await this.#gathering.leave(generation, this.#as, patience.signal);
      return left ? undefined : await this.#passage(patience.signal);
    };
    const left = patiently(engine, withdrawal, patience.signal)
      .catch(() => undefined)
      .finally(() => {
        patience[Symbol.dispose]();
        lease.release();
      });
    using deadline = withDeadline(engine.runtime, { deadlineMs: farewell, name: "barrier" });
    return await raceAbort(left, deadline.signal).catch(() => undefined);
  }
}

/** Aborts a while after the lease has ended: then the party does not count any more anyhow. */
function patienceWith(lease: Lease, { timers }: Runtime): LinkedSignal {
  const controller = new AbortController();
  let timer: Timer | undefined;
  const onAbort = (): void => {
    timer = timers.after(farewell, () => controller.abort(lease.signal.reason));
  };
  if (lease.signal.aborted) onAbort();
  else lease.signal.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      timer?.cancel();
      lease.signal.removeEventListener("abort", onAbort);
    },
  };
}
