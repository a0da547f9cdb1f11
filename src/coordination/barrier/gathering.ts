import { InvalidStateError, isAshlarError, type Key } from "../../core/index.ts";
import type { AfterCommit, Engine, Transaction, Version } from "../../engine/index.ts";
import { type Lease, type Leases, leasesOf, watchUntil } from "../lease/index.ts";

/** Rewritten whenever parties pass or somebody withdraws; who comes checks that it has not been. */
interface State {
  readonly generation: number;
  readonly parties: number;
}

/** Somebody who has come. */
interface Arrival {
  readonly lease: string;
  /** Tells two who go by the same name apart. */
  readonly token: string;
  /** The engine's clock, estimated. */
  readonly at: number;
}

type Passed = readonly [party: string, token: string];

/** Who passed is remembered for those who were away at that moment; a barrier that nobody uses for that long is forgotten. */
const memory = 24 * 3600 * 1000;
const forgetting = 30 * memory;

function settled(sum: AfterCommit<number>): number {
  try {
    return sum.value;
  } catch (error) {
    if (isAshlarError(error, "INVALID_STATE")) return Number.POSITIVE_INFINITY;
    throw error;
  }
}

/**
 * What lies in the store about the parties of one barrier.
 *
 * | key, below `["barrier"]` | value |
 * |---|---|
 * | `[name, "state"]` | the generation that gathers, and how many must come |
 * | `[name, "arrived", generation, party]` | an arrival |
 * | `[name, "count", generation]` | how many have come, those included who went or died: when it is enough, it is time to look closer |
 * | `[name, "passed", generation]` | name and token of each who passed |
 *
 * Invariants: nobody is added to or taken from a generation but by a commit that checks the state (to come) or rewrites it (to withdraw), and parties pass by a commit
 * that checks it too. So those who pass are exactly those who were told so, and whoever was told that it withdrew is not among them.
 */
export class Gathering {
  readonly engine: Engine;
  readonly name: string;
  readonly leases: Leases;
  readonly #parties: number;
  readonly #state: Key;

  constructor(engine: Engine, name: string, parties: number) {
    this.engine = engine;
    this.name = name;
    this.leases = leasesOf(engine);
    this.#parties = parties;
    this.#state = [name, "state"];
  }

  /**
   * Comes, under the lease. Resolves with the generation and whether it is time to look whether all have come; `undefined` if the generation before, in which this
   * party had come, has ended.
   * @param options `onAttempt`: told the generation before each attempt to commit
   */
  async enter(
    as: { readonly party: string; readonly token: string; readonly lease: Lease },
    before: number | undefined,
    options: { readonly signal: AbortSignal; readonly onAttempt: (generation: number) => void },
  ): Promise<{ readonly generation: number; readonly enough: () => boolean } | undefined> {
    const { signal, onAttempt } = options;
    const at = await this.leases.now();
    return await this.engine.transact(
      async (tx) => {
        const state = await this.#read(tx);
        if (before !== undefined && state?.generation !== before) return undefined;
        const { generation } = state ?? this.#begin(tx, at);
        onAttempt(generation);
        const arrival: Arrival = { lease: as.lease.id, token: as.token, at };
        tx.set([this.name, "arrived", generation, as.party], arrival, { ttl: forgetting });
        const count = tx.add([this.name, "count", generation], 1, { ttl: forgetting });
        // A sum that was lost with the answer may have been enough.
        return { generation, enough: () => settled(count) >= this.#parties };
      },
      { fence: as.lease, signal, deadline: "1h" },
    );
  }

  /** Lets all pass if they have come. Somebody who came after all the others had finds that; whoever withdraws or dies, another will come in its place. */
  async letPass(generation: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const state = await this.engine.kv.get<State>(this.#state, { signal });
      if (state?.value.generation !== generation) return;
      const arrivals = await this.#arrivals(generation, signal);
      const living = await this.leases.living(
        arrivals.map(({ lease }) => lease),
        { signal },
      );
      const present = arrivals.filter(({ lease }) => living.has(lease)).sort((a, b) => a.at - b.at);
      if (present.length < this.#parties) return;
      const passing = present.slice(0, this.#parties).map(({ party, token }): Passed => [party, token]);
      if (!(await this.#commitPassage(state, passing, signal))) continue;
      // What is left over does no harm, and expires.
      for (const { party } of arrivals)
        this.engine.kv.delete([this.name, "arrived", generation, party]).catch(() => {});
      return;
    }
  }

  async #commitPassage(
    { value, version }: { readonly value: State; readonly version: Version },
    passing: readonly Passed[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const { generation } = value;
    const { ok } = await this.engine.kv.tryCommit(
      {
        checks: [{ key: this.#state, version }],
        mutations: [
          { set: this.#state, value: { ...value, generation: generation + 1 }, ttl: forgetting },
          { set: [this.name, "passed", generation], value: passing, ttl: memory },
          { delete: [this.name, "count", generation] },
        ],
      },
      { signal },
    );
    return ok;
  }

  /** Resolves when the generation is not gathering any more. */
  over(generation: number, signal: AbortSignal): Promise<void> {
    return watchUntil(
      this.engine,
      { key: this.#state },
      (changes, first) =>
        (first && changes.length === 0) ||
        changes.some(({ value, deleted }) => deleted || (value as State).generation !== generation),
      signal,
    );
  }

  /** Those who passed; `undefined` while the generation gathers, or when it is forgotten. */
  async passed(generation: number, signal?: AbortSignal): Promise<readonly Passed[] | undefined> {
    const entry = await this.engine.kv.get<readonly Passed[]>([this.name, "passed", generation], {
      ...(signal && { signal }),
    });
    return entry?.value;
  }

  /**
   * Takes an arrival back, also one whose commit is still under way: it will not find the state that it checks. Resolves with whether that was in time: the
   * generation had not ended.
   */
  async leave(
    generation: number,
    as: { readonly party: string; readonly token: string },
    signal: AbortSignal,
  ): Promise<boolean> {
    return await this.engine.transact(
      async (tx) => {
        const state = await this.#read(tx);
        if (state !== undefined && state.generation !== generation) return false;
        tx.set(this.#state, state ?? { generation, parties: this.#parties }, { ttl: forgetting });
        const key: Key = [this.name, "arrived", generation, as.party];
        if ((await tx.get<Arrival>(key))?.token === as.token) tx.delete(key);
        return true;
      },
      { signal, deadline: "1h" },
    );
  }

  async waiting(options: { readonly signal?: AbortSignal }): Promise<string[]> {
    const state = await this.engine.kv.get<State>(this.#state, options);
    if (state === undefined) return [];
    const arrivals = await this.#arrivals(state.value.generation, options.signal);
    const living = await this.leases.living(
      arrivals.map(({ lease }) => lease),
      options,
    );
    return arrivals.filter(({ lease }) => living.has(lease)).map(({ party }) => party);
  }

  async #arrivals(generation: number, signal?: AbortSignal): Promise<(Arrival & { readonly party: string })[]> {
    const arrivals: (Arrival & { readonly party: string })[] = [];
    const range = { prefix: [this.name, "arrived", generation] };
    for await (const { key, value } of this.engine.kv.list<Arrival>(range, { ...(signal && { signal }) }))
      arrivals.push({ ...value, party: key[3] as string });
    return arrivals;
  }

  async #read(tx: Transaction): Promise<State | undefined> {
    const state = await tx.get<State>(this.#state);
    if (state && state.parties !== this.#parties) {
      throw new InvalidStateError(
        `barrier ${JSON.stringify(this.name)}: others use it for ${state.parties} parties, and this one for ${this.#parties}: use one number, or another name`,
        { details: { name: this.name, given: this.#parties, present: state.parties } },
      );
    }
    return state;
  }

  /** Generations count from the time of the first, so that they ascend even after the barrier was forgotten. */
  #begin(tx: Transaction, at: number): State {
    const state: State = { generation: Math.floor(at), parties: this.#parties };
    tx.set(this.#state, state, { ttl: forgetting });
    return state;
  }
}
