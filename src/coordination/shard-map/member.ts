import {
  createCloser,
  createIds,
  fullJitter,
  type Ids,
  isAshlarError,
  LeaseLostError,
  linkSignals,
  raceAbort,
  sleep,
  throwIfAborted,
} from "../../core/index.ts";
import { Balancer } from "./balancer.ts";
import { shardMapChannels } from "./channels.ts";
import type { MapHost } from "./host.ts";
import { giveUpAll, untilDone, writeMember } from "./joining.ts";
import { type MapSettings, type MemberSettings, toShard } from "./options.ts";
import { type OwnedShard, Ownership, type Stay } from "./ownership.ts";
import { targets } from "./plan.ts";

/** A worker that takes part. Should it lose its lease, it owns nothing any more and joins anew by itself. */
export interface ShardMember extends AsyncDisposable {
  readonly worker: string;
  /** What it owns at this moment, by its own reckoning: empty at once when its lease can no longer be relied on. */
  readonly owned: ReadonlySet<number>;
  /**
   * First what it owns now, then whenever that has changed, the latest state always; the same shards once more if one was lost and came back, under another epoch. Ends when the member is
   * closed, or by the signal (rejects with its reason); rejects if the engine is closed before the member.
   */
  watch(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<ReadonlySet<number>>;
  /**
   * The ownership of a shard as it is now: a fence, a fencing token, a signal.
   * @throws LeaseLostError it does not own the shard
   */
  shard(shard: number): OwnedShard;
  /**
   * Leaves: hands all shards over, as after `onRevoke`, to those who are to have them. Waits at most for the time of grace and the ttl; while the engine is away for longer, the
   * end of the lease does the rest.
   */
  close(): Promise<void>;
}

/** What keeps a worker from joining for a while, besides what can be tried again as it is. */
const again: ReadonlySet<string> = new Set(["OUTCOME_UNKNOWN", "LEASE_LOST"]);

interface Session {
  readonly stay: Stay;
  readonly ownership: Ownership;
  end(): void;
}

export class MapMember implements ShardMember {
  readonly worker: string;
  readonly #host: MapHost;
  readonly #map: MapSettings;
  readonly #settings: MemberSettings;
  readonly #ids: Ids;
  readonly #closing = new AbortController();
  readonly #closer = createCloser(() => this.#leave(), "the member of the shard map");
  #session: Session | undefined;
  #revision = 0;
  #changed = Promise.withResolvers<void>();

  constructor(host: MapHost, map: MapSettings, settings: MemberSettings) {
    this.#host = host;
    this.#map = map;
    this.#settings = settings;
    this.worker = settings.worker;
    this.#ids = createIds(host.root.runtime);
  }

  /** Joins for the first time. */
  async begin(signal: AbortSignal | undefined): Promise<void> {
    this.#host.enter();
    try {
      await this.#host.ready(signal);
      this.#enter(await this.#joinPatiently(signal));
    } catch (error) {
      this.#host.leave();
      throw error;
    }
  }

  get owned(): ReadonlySet<number> {
    return this.#session?.ownership.shards ?? new Set();
  }

  async *watch(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<ReadonlySet<number>> {
    let shown: string | undefined;
    for (let seen = -1; ; ) {
      options.signal?.throwIfAborted();
      if (seen !== this.#revision) {
        seen = this.#revision;
        const now = this.#session?.ownership.fingerprint ?? "";
        if (shown === now) continue;
        shown = now;
        yield this.owned;
      } else if (this.#closer.closed && !this.#session) return;
      else {
        using linked = linkSignals(options.signal, this.#host.closing);
        await raceAbort(this.#changed.promise, linked.signal);
      }
    }
  }

  shard(shard: number): OwnedShard {
    const owned = this.#session?.ownership.owned(toShard(shard, this.#map.shards));
    if (owned) return owned;
    throw new LeaseLostError(
      `shard ${shard} of ${JSON.stringify(this.#host.name)} is not owned by ${JSON.stringify(this.worker)}`,
      { details: { map: this.#host.name, shard, worker: this.worker } },
    );
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #join(signal: AbortSignal): Promise<Stay> {
    const lease = await this.#host.leases.acquire(this.#map.ttl, { signal });
    const id = this.#ids.next();
    try {
      await writeMember(this.#host, { id, lease, map: this.#map, member: this.#settings, signal });
    } catch (error) {
      lease.release();
      throw error;
    }
    let gone = false;
    const letGo = (): void => {
      if (!gone) lease.release();
      gone = true;
    };
    return { id, worker: this.worker, lease, letGo };
  }

  #enter(stay: Stay): void {
    const host = this.#host;
    const { onRevoke, grace } = this.#settings;
    const ownership = new Ownership(host, stay, { onRevoke, grace, onChange: () => this.#announce() });
    const ignore = host.onChange(() => ownership.sync());
    const balancer = new Balancer(host, { member: stay.id, ttl: this.#map.ttl, settle: this.#map.settle });
    const onLost = (): void => {
      if (this.#session?.stay !== stay) return;
      this.#session.end();
      ownership.end();
      this.#session = undefined;
      stay.letGo();
      this.#tell("left", stay, "the lease was lost");
      this.#announce();
      if (!this.#closer.closed) void this.#rejoin();
    };
    stay.lease.signal.addEventListener("abort", onLost, { once: true });
    const end = (): void => {
      ignore();
      balancer.close();
      stay.lease.signal.removeEventListener("abort", onLost);
    };
    this.#session = { stay, ownership, end };
    this.#tell("joined", stay);
    ownership.sync();
    if (stay.lease.signal.aborted) onLost();
  }

  /** Tries until it is done, or the member is closed. */
  async #rejoin(): Promise<void> {
    const { signal } = this.#closing;
    try {
      const stay = await this.#joinPatiently(signal);
      if (signal.aborted) void this.#withdraw(stay, () => giveUpAll(this.#host, stay));
      else this.#enter(stay);
    } catch (error) {
      if (!signal.aborted && !isAshlarError(error, "CLOSED")) throw error;
    }
  }

  /** Each attempt is a stay of its own: what became of an earlier one does not matter to it. */
  async #joinPatiently(given: AbortSignal | undefined): Promise<Stay> {
    const { runtime } = this.#host.root;
    using linked = linkSignals(given, this.#host.closing);
    const { signal } = linked;
    for (let failures = 0; ; failures++) {
      try {
        return await this.#join(signal);
      } catch (error) {
        throwIfAborted(signal);
        if (!isAshlarError(error) || !(error.retryable || again.has(error.code))) throw error;
      }
      await sleep(runtime, fullJitter(runtime, failures, { base: 20, cap: 1000 }), { signal, ref: false });
    }
  }

  async #leave(): Promise<void> {
    this.#closing.abort(new DOMException("the member of the shard map was closed", "AbortError"));
    const session = this.#session;
    if (session) await this.#handOverAll(session);
    this.#session = undefined;
    this.#announce();
    this.#host.leave();
  }

  async #handOverAll({ stay, ownership, end }: Session): Promise<void> {
    const { runtime } = this.#host.root;
    const to = targets(this.#host.input, stay.id);
    const leaving = (async () => {
      // From here on nobody gives it anything any more.
      await this.#withdraw(stay, () => untilDone(this.#host, stay.lease, () => ownership.leave(to)));
    })();
    const limit = new AbortController();
    const timer = runtime.timers.after(this.#settings.grace + this.#map.ttl, () => limit.abort());
    await raceAbort(leaving, limit.signal).catch(() => {});
    timer.cancel();
    end();
    ownership.end();
    if (this.#session?.stay === stay) this.#tell("left", stay, "closed");
  }

  /** Deletes the entry, does what is to be done then, and lets the lease go. */
  async #withdraw({ id, lease, letGo }: Stay, then: () => Promise<unknown>): Promise<void> {
    await untilDone(this.#host, lease, () => this.#host.root.kv.delete(this.#host.keys.member(id)));
    await then();
    letGo();
  }

  #announce(): void {
    this.#revision++;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  #tell(event: "joined" | "left", { id }: Stay, reason?: string): void {
    const channel = shardMapChannels[event];
    if (!channel.hasSubscribers) return;
    channel.publish({ map: this.#host.name, worker: this.worker, member: id, ...(reason && { reason }) });
  }
}
