import { linkSignals } from "../../core/index.ts";
import type { Engine, Entry as StoredEntry } from "../../engine/index.ts";
import { firstOf, type Leases, patiently, untilAbsent, watchUntil } from "../lease/index.ts";
import type { Claim } from "./claim.ts";
import type { Denial, LockCommits } from "./commits.ts";
import type { Entry, Resource, Share } from "./resource.ts";

/** What ended a wait. */
type Event = "changed" | "granted" | { readonly dead: string };

/**
 * The wait for one's turn. Each claim watches itself (somebody may hand over to it) and the one before it, and only the first one what is held, so giving something back wakes at most two, whoever waits behind
 * them. Who stands in the way under a lease that has ended is removed by the one that it keeps waiting.
 */
export class Queue {
  readonly #root: Engine;
  readonly #leases: Leases;
  readonly #commits: LockCommits;

  constructor(root: Engine, leases: Leases, commits: LockCommits) {
    this.#root = root;
    this.#leases = leases;
    this.#commits = commits;
  }

  /**
   * Waits until the claim has been granted. Resolves with its tokens; `undefined`: it has lost its place and must begin anew.
   * @throws the reason of the signal, or of the lease's if that has ended
   */
  async turn(claim: Claim, given: AbortSignal): Promise<readonly number[] | undefined> {
    using linked = linkSignals(given, claim.lease.signal);
    const { signal } = linked;
    for (const share of claim.shares)
      await patiently(this.#root, () => this.#becomeFirst(claim, share, signal), signal);
    for (;;) {
      for (const share of claim.shares)
        await patiently(this.#root, () => this.#untilThereIsRoom(claim, share, signal), signal);
      // Made again after an answer that was lost: its place in the queue can be used up only once.
      const outcome = await patiently(this.#root, () => this.#commits.take(claim, signal), signal);
      if ("tokens" in outcome) return outcome.tokens;
      const denial: Denial = outcome;
      if (denial.because === "full") continue;
      // Handed over by the one who held it, or taken before an answer that was lost, or cleared away.
      if (denial.because !== "queue") return undefined;
      return await patiently(this.#root, () => this.#commits.renewTokens(claim, signal), signal);
    }
  }

  /** Removes the holders of a resource whose leases have ended, and those who wait before the first that lives. Resolves with whether there were any. */
  async clear(resource: Resource, signal: AbortSignal): Promise<boolean> {
    let cleared = false;
    for (const entry of await this.#held(resource, signal)) {
      if (!(await this.#leases.lives(entry.value.lease, { signal })))
        cleared = (await this.#commits.purge(resource, entry, true)) || cleared;
      else if (resource.kind === "lock") return cleared;
    }
    const queue = { prefix: this.#commits.keys.queue(resource) };
    for await (const entry of this.#root.kv.list<Entry>(queue, { signal })) {
      if (await this.#leases.lives(entry.value.lease, { signal })) break;
      cleared = (await this.#commits.purge(resource, entry, false)) || cleared;
    }
    return cleared;
  }

  async #becomeFirst(claim: Claim, share: Share, signal: AbortSignal): Promise<void> {
    const { resource } = share;
    const own = claim.placeKey(share);
    const before = { prefix: this.#commits.keys.queue(resource), end: own };
    for (;;) {
      const [previous] = await Array.fromAsync(this.#root.kv.list<Entry>(before, { limit: 1, reverse: true, signal }));
      if (!previous) return;
      const event = await this.#firstEvent(claim, share, signal, [previous.value.lease], (until) =>
        untilAbsent(this.#root, previous.key, until),
      );
      // Taking it will tell whether it has been granted.
      if (event === "granted") return;
      if (event !== "changed") await this.#commits.purge(resource, previous, false);
    }
  }

  /** Until there is room for the claim, or it has been granted by another. Holders who are gone are cleared away. */
  async #untilThereIsRoom(claim: Claim, share: Share, signal: AbortSignal): Promise<void> {
    const { resource, weight } = share;
    for (;;) {
      const held = await this.#held(resource, signal);
      const used = held.reduce((sum, entry) => sum + entry.value.weight, 0);
      if (used + weight <= resource.permits) return;
      const leases = held.map(({ value }) => value.lease);
      const event = await this.#firstEvent(claim, share, signal, leases, (until) =>
        this.#untilOneIsGone(resource, held, until),
      );
      if (event === "granted") return;
      if (event === "changed") continue;
      for (const entry of held) if (entry.value.lease === event.dead) await this.#commits.purge(resource, entry, true);
    }
  }

  /** Waits for the change, for the claim to be granted by another, or for the end of one of the leases. */
  #firstEvent(
    claim: Claim,
    share: Share,
    signal: AbortSignal,
    leases: readonly string[],
    change: (signal: AbortSignal) => Promise<void>,
  ): Promise<Event> {
    const others = new Set(leases);
    // The end of its own lease ends the wait anyhow.
    others.delete(claim.lease.id);
    return firstOf<Event>(signal, [
      (until) => change(until).then(() => "changed"),
      (until) => untilAbsent(this.#root, claim.placeKey(share), until).then(() => "granted"),
      ...[...others].map(
        (dead) => (until: AbortSignal) => this.#leases.gone(dead, { signal: until }).then(() => ({ dead })),
      ),
    ]);
  }

  async #untilOneIsGone(resource: Resource, held: readonly StoredEntry<Entry>[], signal: AbortSignal): Promise<void> {
    const claims = held.map(({ key }) => key.at(-1));
    const range = { prefix: this.#commits.keys.allHeld(resource) };
    await watchUntil(
      this.#root,
      range,
      (changes, first) => {
        if (!first) return changes.some(({ deleted }) => deleted);
        const present = new Set(changes.map(({ key }) => key.at(-1)));
        return claims.some((claim) => !present.has(claim));
      },
      signal,
    );
  }

  #held(resource: Resource, signal: AbortSignal): Promise<StoredEntry<Entry>[]> {
    return Array.fromAsync(this.#root.kv.list<Entry>({ prefix: this.#commits.keys.allHeld(resource) }, { signal }));
  }
}
