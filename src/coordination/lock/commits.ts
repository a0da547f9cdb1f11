import { InvalidStateError, isAshlarError, type Key, raceAbort } from "../../core/index.ts";
import type { Check, Committed, Engine, Mutation, Refusal, Entry as StoredEntry } from "../../engine/index.ts";
import type { Leases } from "../lease/index.ts";
import type { Claim } from "./claim.ts";
import type { Entry, LockKeys, Resource, Share } from "./resource.ts";

/** Why permits were not granted. */
export type Denial =
  /** The lease has ended. */
  | { readonly because: "lease" }
  /** The claim was given up before. */
  | { readonly because: "void" }
  /** Others wait, or its own place in the queue is gone. */
  | { readonly because: "queue"; readonly share: Share }
  /** Too little is free. */
  | { readonly because: "full"; readonly share: Share };

/** The commits of locks: each takes permits, waits, gives back or tidies up at one instant, or does nothing. */
export class LockCommits {
  readonly keys: LockKeys;
  readonly #root: Engine;
  readonly #leases: Leases;
  /** Whether a commit whose answer was lost may arrive later. */
  readonly #mayDoubt: boolean;

  constructor(root: Engine, leases: Leases, keys: LockKeys) {
    this.#root = root;
    this.#leases = leases;
    this.keys = keys;
    this.#mayDoubt = root.guarantees.unknownOutcomes !== "never";
  }

  /** Takes the permits: at once if nobody waits, or from the claim's place in the queue. Resolves with the fencing token of each share. */
  async take(claim: Claim, signal: AbortSignal): Promise<{ readonly tokens: readonly number[] } | Denial> {
    const { checks, reasons } = this.#standing(claim);
    const mutations: Mutation[] = [];
    for (const share of claim.shares) {
      const { resource, weight } = share;
      if (claim.place !== undefined) {
        checks.push({ key: claim.placeKey(share), present: true });
        reasons.push({ because: "queue", share });
      }
      if (resource.kind === "lock") {
        // Neither held nor, for who does not come from the queue, waited for.
        const prefix = claim.place === undefined ? this.keys.all(resource) : this.keys.allHeld(resource);
        checks.push({ range: { prefix }, entries: [] });
        reasons.push({ because: "full", share });
        continue;
      }
      if (claim.place === undefined) {
        checks.push({ range: { prefix: this.keys.queue(resource) }, entries: [] });
        reasons.push({ because: "queue", share });
      }
      mutations.push({ add: this.keys.used(resource), delta: weight, ceiling: resource.permits });
    }
    const counted = mutations.length;
    const inUse = claim.shares.filter(({ resource }) => resource.kind !== "lock");
    for (const share of claim.shares) {
      mutations.push({ set: claim.heldKey(share), value: { ...claim.entry, weight: share.weight } satisfies Entry });
      if (claim.place !== undefined) mutations.push({ delete: claim.placeKey(share) });
    }
    const { counters, tokensOf } = this.#tokens(claim);
    mutations.push(...counters);
    const outcome = await this.#commit(claim, { checks, mutations }, signal);
    if (outcome.ok) return { tokens: tokensOf(outcome.adds.slice(counted).map(({ value }) => value)) };
    const { refusal } = outcome;
    if (refusal.reason === "ceiling") return { because: "full", share: inUse[refusal.mutation] as Share };
    return reasons[refusal.check] as Denial;
  }

  /** Enters the queues. A claim that waits has a place in all of them from one instant on, so two claims never wait for each other. */
  async wait(claim: Claim, place: number, signal: AbortSignal): Promise<Denial | undefined> {
    claim.place = place;
    const { checks, reasons } = this.#standing(claim);
    const mutations = claim.shares.map(
      (share): Mutation => ({
        set: claim.placeKey(share),
        value: { ...claim.entry, weight: share.weight } satisfies Entry,
      }),
    );
    const outcome = await this.#commit(claim, { checks, mutations }, signal);
    return outcome.ok ? undefined : reasons[(outcome.refusal as { check: number }).check];
  }

  /** New tokens for a claim that holds its permits and does not know them; `undefined`: it does not hold them. */
  async renewTokens(claim: Claim, signal: AbortSignal): Promise<readonly number[] | undefined> {
    const { counters, tokensOf } = this.#tokens(claim);
    const checks = claim.shares.map((share): Check => ({ key: claim.heldKey(share), present: true }));
    const outcome = await this.#root.kv.tryCommit({ checks, mutations: counters }, { signal });
    return outcome.ok ? tokensOf(outcome.adds.map(({ value }) => value)) : undefined;
  }

  /** Gives the permits back. Repeated, it does nothing. */
  async release(claim: Claim): Promise<void> {
    // An entry of a claim is never written twice, so deleting it again does no harm; counting it again would.
    const counted = claim.shares.filter(({ resource }) => resource.kind !== "lock");
    const outcome = await this.#root.kv.tryCommit({
      checks: counted.map((share) => ({ key: claim.heldKey(share), present: true })),
      mutations: claim.shares.flatMap((share) => this.#giveBack(claim.heldKey(share), share)),
    });
    // All shares came in one commit and go in one, so one that is absent says that all are.
    if (outcome.ok) this.#forgetUnused(claim, outcome);
  }

  /** Gives what a claim holds to the first in the queue of that owner that waits for this alone, and whose process lives; both need the same. Resolves with whether there was one. */
  async handOver(claim: Claim, owner: string): Promise<boolean> {
    const [share, ...others] = claim.shares;
    if (!share || others.length > 0)
      throw new InvalidStateError("only a single lock can be handed over, not several at once");
    const { resource, weight } = share;
    const prefix = this.keys.queue(resource);
    for await (const { key, value, version } of this.#root.kv.list<Entry>({ prefix })) {
      if (value.owner !== owner || value.weight !== weight) continue;
      // It would hold this one while it waits for the others.
      if (value.names !== undefined) continue;
      const outcome = await this.#root.kv.tryCommit({
        checks: [
          { key: claim.heldKey(share), present: true },
          { key, version },
          { key: this.#leases.keyOf(value.lease), present: true },
        ],
        mutations: [
          { delete: claim.heldKey(share) },
          { delete: key },
          { set: this.keys.held(resource, key.at(-1) as string), value },
        ],
      });
      if (outcome.ok) return true;
    }
    return false;
  }

  /** After this nothing of the claim will ever arrive that is not there already. */
  async void(claim: Claim): Promise<void> {
    await this.#root.kv.set(this.keys.voided(claim.id), true, { ttl: "1h" });
  }

  /** Removes what there is of a claim, held or waiting. Resolves with whether it is all gone. */
  async remove(claim: Claim): Promise<boolean> {
    const places = claim.place === undefined ? [] : claim.shares.map((share) => claim.placeKey(share));
    const found = await this.#root.kv.getMany([...claim.shares.map((share) => claim.heldKey(share)), ...places]);
    const checks: Check[] = [];
    const mutations: Mutation[] = [];
    found.forEach((entry, i) => {
      if (!entry) return;
      checks.push({ key: entry.key, version: entry.version });
      const share = claim.shares[i];
      mutations.push(...(share ? this.#giveBack(entry.key, share) : [{ delete: entry.key }]));
    });
    if (checks.length === 0) return true;
    return (await this.#root.kv.tryCommit({ checks, mutations })).ok;
  }

  /** Removes what stands in the store under a lease that has ended. Whoever else does it at the same time does no harm. */
  async purge(resource: Resource, entry: StoredEntry<Entry>, held: boolean): Promise<boolean> {
    const { lease, weight } = entry.value;
    const outcome = await this.#root.kv.tryCommit({
      checks: [
        { key: this.#leases.keyOf(lease), version: undefined },
        { key: entry.key, version: entry.version },
      ],
      mutations: held ? this.#giveBack(entry.key, { resource, weight }) : [{ delete: entry.key }],
    });
    return outcome.ok;
  }

  /** Checks that hold for any commit of a claim that is alive. */
  #standing(claim: Claim): { readonly checks: Check[]; readonly reasons: Denial[] } {
    const checks: Check[] = [{ key: this.#leases.keyOf(claim.lease.id), present: true }];
    const reasons: Denial[] = [{ because: "lease" }];
    if (this.#mayDoubt) {
      checks.push({ key: this.keys.voided(claim.id), version: undefined });
      reasons.push({ because: "void" });
    }
    return { checks, reasons };
  }

  async #commit(
    claim: Claim,
    batch: { readonly checks: Check[]; readonly mutations: Mutation[] },
    signal: AbortSignal,
  ): Promise<Committed | { readonly ok: false; readonly refusal: Refusal }> {
    const committing = this.#root.kv.tryCommit(batch).then(
      (outcome) => {
        claim.written ||= outcome.ok;
        return outcome;
      },
      (error: unknown) => {
        if (!isAshlarError(error) || !error.definite) claim.doubtful = true;
        throw error;
      },
    );
    // Who gives up waits for the answer before tidying up.
    claim.settled = committing.then(
      () => {},
      () => {},
    );
    return await raceAbort(committing, signal);
  }

  #giveBack(key: Key, { resource, weight }: Share): Mutation[] {
    const mutations: Mutation[] = [{ delete: key }];
    if (resource.kind !== "lock") mutations.push({ add: this.keys.used(resource), delta: -weight });
    return mutations;
  }

  /** Names that share a counter get the same token: it is new to each of them. */
  #tokens(claim: Claim): {
    readonly counters: Mutation[];
    readonly tokensOf: (sums: readonly number[]) => readonly number[];
  } {
    const counters: Mutation[] = [];
    const index = new Map<string, number>();
    const of = claim.shares.map(({ resource }) => {
      const key = this.keys.token(resource);
      const name = String(key.at(-1));
      let at = index.get(name);
      if (at === undefined) {
        at = counters.push({ add: key, delta: 1 }) - 1;
        index.set(name, at);
      }
      return at;
    });
    return { counters, tokensOf: (sums) => of.map((at) => sums[at] as number) };
  }

  /** A counter at zero says no more than its absence. Nobody waits for this, and if it fails the counter stays. */
  #forgetUnused(claim: Claim, { adds, version }: Committed): void {
    const counted = claim.shares.filter(({ resource }) => resource.kind !== "lock");
    counted.forEach(({ resource }, i) => {
      if (adds[i]?.value !== 0) return;
      const key = this.keys.used(resource);
      this.#root.kv.tryCommit({ checks: [{ key, version }], mutations: [{ delete: key }] }).catch(() => {});
    });
  }
}
