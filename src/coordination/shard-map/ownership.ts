import { fullJitter, isAshlarError, LeaseLostError, raceAbort, sleep, withDeadline } from "../../core/index.ts";
import type { Fence, Transaction, Version } from "../../engine/index.ts";
import type { Lease } from "../lease/index.ts";
import { shardMapChannels } from "./channels.ts";
import type { MapHost } from "./host.ts";
import type { MemberEntry, Party, ShardEntry, WantedEntry } from "./keys.ts";
import { askedFor } from "./plan.ts";

/** A shard that this process owns. As a fence: transactions that it guards fail with `LEASE_LOST` once the shard belongs to another, even if this process has not noticed. */
export interface OwnedShard extends Fence {
  readonly shard: number;
  /** The fencing token: greater than that of every earlier owner of this shard. */
  readonly epoch: number;
  /** Aborted with a `LeaseLostError` when it is given up or can no longer be relied on. */
  readonly signal: AbortSignal;
  /** Whether it can be relied on at this moment, asked of the clock. */
  readonly held: boolean;
}

/** Called when a shard is to be handed over: finish what is under way and write down what the next owner needs. The shard is still owned until it ends. */
export type OnRevoke = (
  shard: number,
  context: {
    /** Aborted when the time of grace is over, or the shard is lost. */
    readonly signal: AbortSignal;
    /** As a fence for what is written down. */
    readonly owned: OwnedShard;
  },
) => void | Promise<void>;

export interface Stay {
  readonly id: string;
  readonly worker: string;
  readonly lease: Lease;
  /** Gives the lease back; harmless when repeated. */
  letGo(): void;
}

export interface OwnershipOptions {
  readonly onRevoke: OnRevoke | undefined;
  /** Milliseconds. */
  readonly grace: number;
  /** What is owned has changed. */
  readonly onChange: () => void;
}

interface Held {
  readonly owned: OwnedShard;
  readonly version: Version;
  readonly controller: AbortController;
  phase: "owned" | "draining";
}

/**
 * What one stay of a member owns, by its own reckoning.
 *
 * Invariant: a shard that is here is this stay's in the store as long as the lease lasts. It comes in when the feed shows an entry that names the stay, with an epoch above all that it has given
 * up; only the stay itself writes the entry while its lease lasts; and it goes out before the commit that gives it up is sent.
 */
export class Ownership {
  readonly #host: MapHost;
  readonly #stay: Stay;
  readonly #options: OwnershipOptions;
  readonly #held = new Map<number, Held>();
  /** The greatest epoch of each shard that the stay has given up. */
  readonly #past = new Map<number, number>();
  readonly #revoking = new Map<number, Promise<void>>();
  #leaving = false;

  constructor(host: MapHost, stay: Stay, options: OwnershipOptions) {
    this.#host = host;
    this.#stay = stay;
    this.#options = options;
  }

  get shards(): ReadonlySet<number> {
    return this.#stay.lease.held ? new Set([...this.#held.keys()].sort((a, b) => a - b)) : new Set();
  }

  /** The ownerships, for comparing: the same text, the same shards under the same epochs. */
  get fingerprint(): string {
    if (!this.#stay.lease.held) return "";
    return [...this.#held]
      .map(([shard, { owned }]) => `${shard}:${owned.epoch}`)
      .sort()
      .join(" ");
  }

  owned(shard: number): OwnedShard | undefined {
    return this.#stay.lease.held ? this.#held.get(shard)?.owned : undefined;
  }

  /** Takes note of what the feed shows. */
  sync(): void {
    const { state } = this.#host;
    if (!this.#stay.lease.held) return;
    for (const [shard, { value, version }] of state.shards) {
      const held = this.#held.get(shard);
      if (held && value.epoch > held.owned.epoch) this.#drop(shard, held, "lost");
      if (value.owner?.member === this.#stay.id && !this.#held.has(shard)) this.#gain(shard, value, version);
    }
    for (const [shard, { owned, phase }] of this.#held) {
      const wanted = askedFor(state.wanted.get(shard), { epoch: owned.epoch });
      if (wanted && wanted.member !== this.#stay.id && phase === "owned") this.#revoke(shard, wanted);
    }
  }

  /** The lease has ended: nothing is owned any more. */
  end(): void {
    for (const [shard, held] of this.#held) this.#drop(shard, held, "lost");
  }

  /** Gives everything up, each shard to its party of `to` if that lives, or to nobody. */
  async leave(to: readonly (Party | undefined)[]): Promise<void> {
    this.#leaving = true;
    for (const [shard, { phase }] of this.#held) if (phase === "owned") this.#revoke(shard, to[shard]);
    await Promise.all(this.#revoking.values());
    // What was assigned meanwhile and has not been shown by the feed.
    const { root, keys } = this.#host;
    const mine: number[] = [];
    for await (const { key, value } of root.kv.list<ShardEntry>({ prefix: keys.shards }))
      if (value.owner?.member === this.#stay.id) mine.push(key.at(-1) as number);
    await Promise.all(mine.map((shard) => this.#pass(shard, to[shard])));
  }

  #gain(shard: number, { epoch }: ShardEntry, version: Version): void {
    if (this.#leaving || this.#revoking.has(shard) || epoch <= (this.#past.get(shard) ?? 0)) return;
    const controller = new AbortController();
    const { lease, worker } = this.#stay;
    const { root, keys, name } = this.#host;
    const { signal } = controller;
    const lost = (): LeaseLostError =>
      new LeaseLostError(`shard ${shard} of ${JSON.stringify(name)}: epoch ${epoch} is over: it belongs to another`, {
        details: { map: name, shard, epoch },
      });
    const owned: OwnedShard = {
      shard,
      epoch,
      signal,
      get held() {
        return !signal.aborted && lease.held;
      },
      guard(tx: Transaction) {
        if (signal.aborted) throw signal.reason;
        lease.guard(tx);
        root.join(tx).check({ key: keys.shard(shard), version }, { otherwise: lost });
      },
    };
    this.#held.set(shard, { owned, version, controller, phase: "owned" });
    if (shardMapChannels.gained.hasSubscribers) shardMapChannels.gained.publish({ map: name, worker, shard, epoch });
    this.#options.onChange();
  }

  #drop(shard: number, { owned, controller }: Held, reason: "handed-over" | "lost"): void {
    const { name } = this.#host;
    const { epoch } = owned;
    this.#held.delete(shard);
    this.#past.set(shard, epoch);
    controller.abort(
      new LeaseLostError(
        `shard ${shard} of ${JSON.stringify(name)} is not owned any more: it was ${reason === "lost" ? "lost with the lease" : "handed over"}`,
        { details: { map: name, shard, epoch } },
      ),
    );
    const { dropped } = shardMapChannels;
    if (dropped.hasSubscribers) dropped.publish({ map: name, worker: this.#stay.worker, shard, epoch, reason });
    this.#options.onChange();
  }

  #revoke(shard: number, to: Party | undefined): void {
    const revoking = this.#drain(shard)
      .then(() => this.#pass(shard, to))
      .finally(() => {
        this.#revoking.delete(shard);
        // It may have become this stay's again.
        this.sync();
      });
    this.#revoking.set(shard, revoking);
  }

  /** Lets the worker finish with the shard; afterwards it is not owned by this stay's own reckoning. */
  async #drain(shard: number): Promise<void> {
    const held = this.#held.get(shard);
    if (!held) return;
    held.phase = "draining";
    const { onRevoke, grace } = this.#options;
    if (onRevoke) {
      using scope = withDeadline(this.#host.root.runtime, {
        signal: held.owned.signal,
        deadlineMs: grace,
        name: `onRevoke of shard ${shard}`,
      });
      try {
        await raceAbort(
          Promise.resolve().then(() => onRevoke(shard, { signal: scope.signal, owned: held.owned })),
          scope.signal,
        );
      } catch (error) {
        const { revokeFailed } = shardMapChannels;
        if (revokeFailed.hasSubscribers)
          revokeFailed.publish({ map: this.#host.name, worker: this.#stay.worker, shard, error });
      }
    }
    if (this.#held.get(shard) === held) this.#drop(shard, held, "handed-over");
  }

  /** Gives the shard up in the store; tries again until that is certain, or the lease has ended. */
  async #pass(shard: number, to: Party | undefined): Promise<void> {
    const { root } = this.#host;
    const { runtime } = root;
    for (let failures = 0; this.#stay.lease.held; failures++) {
      try {
        const epoch = await root.transact((tx) => this.#giveUp(tx, shard, to), { deadline: "5s" });
        this.#past.set(shard, Math.max(epoch, this.#past.get(shard) ?? 0));
        return;
      } catch (error) {
        if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) return;
      }
      await sleep(runtime, fullJitter(runtime, failures, { base: 10, cap: 1000 }), { ref: false });
    }
  }

  /**
   * To the one who is wanted now, or else to the one that was meant, if it lives. If nobody takes it: to nobody by who leaves; otherwise it stays here under a new epoch, so that a commit of
   * this kind that is still under way is refused. Resolves with the epoch that is over.
   */
  async #giveUp(tx: Transaction, shard: number, meant: Party | undefined): Promise<number> {
    const { keys, leases } = this.#host;
    const entry = await tx.get<ShardEntry>(keys.shard(shard));
    if (entry?.owner?.member !== this.#stay.id) return (entry?.epoch ?? 1) - 1;
    const wanted = await tx.get<WantedEntry>(keys.wanted(shard));
    const { epoch } = entry;
    const next = { epoch: epoch + 1 };
    for (const to of [wanted?.epoch === epoch ? wanted : undefined, meant]) {
      if (!to || to.member === this.#stay.id) continue;
      const [member, lease] = await tx.getMany<MemberEntry>([keys.member(to.member), leases.keyOf(to.lease)]);
      if (!member || member.void || lease === undefined) continue;
      const { worker, zone } = to;
      const owner: Party = { member: to.member, worker, lease: to.lease, ...(zone !== undefined && { zone }) };
      tx.set(keys.shard(shard), { ...next, owner } satisfies ShardEntry);
      this.#count(tx, shard, wanted);
      return epoch;
    }
    tx.set(keys.shard(shard), (this.#leaving ? next : { ...next, owner: entry.owner }) satisfies ShardEntry);
    this.#count(tx, shard, wanted);
    return epoch;
  }

  #count(tx: Transaction, shard: number, wanted: WantedEntry | undefined): void {
    const { keys } = this.#host;
    if (wanted) tx.delete(keys.wanted(shard));
    tx.add(keys.version, 1);
  }
}
