import {
  createCloser,
  type Duration,
  invalidArgument,
  isAshlarError,
  type Key,
  linkSignals,
} from "../../core/index.ts";
import type { Engine, Fence, Transaction, Version } from "../../engine/index.ts";
import { firstOf, type Leases, leasesOf, patiently, watchUntil } from "../lease/index.ts";
import { createLocks, type Lock, type Locks } from "../lock/index.ts";

export interface ElectionOptions {
  /** Who stands for election here: a name that no other candidate has. 1 to 200 characters. */
  readonly candidate: string;
  /** Time to live of the leader's lease: how soon after its death another leads. 100 ms to 1 day. Default "15s". */
  readonly ttl?: Duration;
}

/** At most one leader at a time by its own reckoning, and at most one whose fenced writes take effect; its term is greater than all before. */
export interface Election extends AsyncDisposable {
  /**
   * Stands for election and waits to be the leader; candidates lead in the order in which they came.
   * @param options `timeout`: default for as long as it takes
   * @throws TimeoutError not elected in time
   */
  campaign(options?: { readonly timeout?: Duration; readonly signal?: AbortSignal }): Promise<Leadership>;
  /**
   * Campaigns, runs `fn` as the leader, and campaigns anew whenever the leadership is lost; `fn` must then come to its end, for which
   * `leadership.signal` aborts. Resolves when `fn` has ended as the leader (and resigns), rejects with its error or the reason of the signal.
   */
  lead<T>(fn: (leadership: Leadership) => T | Promise<T>, options?: LeadOptions): Promise<T>;
  /** The leader now, or `undefined`. */
  leader(options?: { readonly signal?: AbortSignal }): Promise<Leader | undefined>;
  /** First the leader as it is, then each change, the latest state always; `undefined` when there is none. Waits out an engine that is away. Ends by the signal. */
  observe(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<Leader | undefined>;
  /** Ends campaigns and resigns. */
  close(): Promise<void>;
}

export interface LeadOptions {
  readonly signal?: AbortSignal;
  /** Runs while others lead: to keep caches warm and follow the state, so that taking over is quick. Its signal aborts when the wait is over, and `fn` begins when it has ended. */
  readonly standby?: (options: { readonly signal: AbortSignal }) => void | Promise<void>;
}

/** As a fence: transactions that it guards fail with `LEASE_LOST` once another may lead. */
export interface Leadership extends Fence, AsyncDisposable {
  readonly candidate: string;
  /** The fencing token: greater than every earlier leader's. */
  readonly term: number;
  /** Aborted with a `LeaseLostError` when the leadership can no longer be relied on. */
  readonly signal: AbortSignal;
  /** Whether it can be relied on at this moment, asked of the clock. */
  readonly held: boolean;
  /**
   * Gives it up. With `to`, to that candidate if it waits, ahead of the others. Resolves with whether it went to the one who was named.
   */
  resign(options?: { readonly to?: string }): Promise<boolean>;
}

export interface Leader {
  readonly candidate: string;
  readonly term: number;
}

/** What stands under `["election", name, "leader"]`: written under the fence of the leadership, so terms ascend. It stays when the leader dies. */
interface Announcement extends Leader {
  readonly lease: string;
}

interface Seen {
  /** `undefined` also if the one who was announced is dead. */
  readonly leader: Announcement | undefined;
  /** Of the announcement. */
  readonly version: Version | undefined;
}

/** The lock of each election is in the scope `"election"`. */
export function createElection(engine: Engine, name: string, options: ElectionOptions): Election {
  if (typeof name !== "string" || name.length === 0 || name.length > 500)
    throw invalidArgument("name", name, "a text of 1 to 500 characters");
  const { candidate, ttl } = options;
  if (typeof candidate !== "string" || candidate.length === 0 || candidate.length > 200)
    throw invalidArgument("candidate", candidate, "a text of 1 to 200 characters");
  const scope = engine.scope("election");
  const locks = createLocks(scope, { owner: candidate, ...(ttl !== undefined && { ttl }) });
  return new EngineElection(scope, locks, name, candidate);
}

class EngineElection implements Election {
  readonly #engine: Engine;
  readonly #locks: Locks;
  readonly #leases: Leases;
  readonly #name: string;
  readonly #candidate: string;
  readonly #key: Key;
  readonly #closing = new AbortController();
  readonly #leaderships = new Set<EngineLeadership>();
  readonly #closer = createCloser(async () => {
    this.#closing.abort(new DOMException("the election was closed", "AbortError"));
    await Promise.all([...this.#leaderships].map((leadership) => leadership.resign()));
  }, "the election");

  constructor(engine: Engine, locks: Locks, name: string, candidate: string) {
    this.#engine = engine;
    this.#locks = locks;
    this.#leases = leasesOf(engine);
    this.#name = name;
    this.#candidate = candidate;
    this.#key = [name, "leader"];
  }

  async campaign(
    options: { readonly timeout?: Duration; readonly signal?: AbortSignal } = {},
  ): Promise<EngineLeadership> {
    this.#closer.assertOpen();
    using linked = linkSignals(this.#closing.signal, options.signal);
    const { signal } = linked;
    const { timeout = Number.POSITIVE_INFINITY } = options;
    for (;;) {
      const lock = await this.#locks.acquire(this.#name, { signal, timeout });
      try {
        await this.#announce(lock, signal);
        const leadership: EngineLeadership = new EngineLeadership(lock, this.#candidate, {
          withdraw: () => this.#withdraw(lock),
          ended: () => this.#leaderships.delete(leadership),
        });
        this.#leaderships.add(leadership);
        return leadership;
      } catch (error) {
        await lock.release();
        if (signal.aborted) throw signal.reason;
        if (!isAshlarError(error, "LEASE_LOST")) throw error;
      }
    }
  }

  async lead<T>(fn: (leadership: Leadership) => T | Promise<T>, options: LeadOptions = {}): Promise<T> {
    for (;;) {
      const leadership = await this.#campaignWithStandby(options);
      try {
        const result = await fn(leadership);
        if (!leadership.lost) return result;
      } catch (error) {
        // Lost in the middle: what `fn` throws because of that is no failure of it.
        if (!leadership.lost || this.#closer.closed) throw error;
      } finally {
        await leadership.resign();
      }
      if (options.signal?.aborted) throw options.signal.reason;
      this.#closer.assertOpen();
    }
  }

  async leader(options: { readonly signal?: AbortSignal } = {}): Promise<Leader | undefined> {
    const { leader } = await this.#read(options);
    return leader && { candidate: leader.candidate, term: leader.term };
  }

  async *observe(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Leader | undefined> {
    using linked = linkSignals(this.#closing.signal, options.signal);
    const { signal } = linked;
    let shown: number | undefined | "nothing yet" = "nothing yet";
    for (;;) {
      const { leader, version } = await patiently(this.#engine, () => this.#read({ signal }), signal);
      if (shown !== leader?.term) {
        shown = leader?.term;
        yield leader && { candidate: leader.candidate, term: leader.term };
      }
      const changed = (until: AbortSignal): Promise<void> =>
        watchUntil(
          this.#engine,
          { key: this.#key },
          (changes, first) => (first ? changes[0]?.version !== version : changes.length > 0),
          until,
        );
      await firstOf(signal, [
        changed,
        ...(leader ? [(until: AbortSignal) => this.#leases.gone(leader.lease, { signal: until })] : []),
      ]);
    }
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #campaignWithStandby({ signal, standby }: LeadOptions): Promise<EngineLeadership> {
    if (!standby) return await this.campaign(signal ? { signal } : {});
    const waiting = new AbortController();
    using linked = linkSignals(waiting.signal, signal);
    const preparing = (async () => await standby({ signal: linked.signal }))();
    // Its failure ends the campaign; its end does not.
    const failed = new Promise<never>((_, reject) => preparing.catch(reject));
    failed.catch(() => {});
    using campaigning = linkSignals(waiting.signal, signal);
    const campaign = this.campaign({ signal: campaigning.signal });
    try {
      const leadership = await Promise.race([campaign, failed]);
      waiting.abort(new DOMException("elected", "AbortError"));
      await preparing.catch(() => {});
      return leadership;
    } catch (error) {
      waiting.abort(error);
      campaign.then((leadership) => leadership.resign()).catch(() => {});
      throw error;
    }
  }

  /** Observers know the leader by this. */
  async #announce(lock: Lock, signal: AbortSignal): Promise<void> {
    const announcement: Announcement = { candidate: this.#candidate, term: lock.token, lease: lock.lease };
    await patiently(
      this.#engine,
      () => this.#engine.transact((tx) => tx.set(this.#key, announcement), { fence: lock, signal }),
      signal,
    );
  }

  /** Best effort: the end of the lease or the next leader tells the same. */
  async #withdraw(lock: Lock): Promise<void> {
    if (!lock.held) return;
    await this.#engine.transact((tx) => tx.delete(this.#key), { fence: lock, deadline: "1s" }).catch(() => {});
  }

  async #read(options: { readonly signal?: AbortSignal }): Promise<Seen> {
    const entry = await this.#engine.kv.get<Announcement>(this.#key, options);
    if (!entry) return { leader: undefined, version: undefined };
    const lives = await this.#leases.lives(entry.value.lease, options);
    return { leader: lives ? entry.value : undefined, version: entry.version };
  }
}

class EngineLeadership implements Leadership {
  readonly candidate: string;
  readonly #lock: Lock;
  readonly #hooks: { readonly withdraw: () => Promise<void>; readonly ended: () => void };
  #resigning: Promise<boolean> | undefined;

  constructor(
    lock: Lock,
    candidate: string,
    hooks: { readonly withdraw: () => Promise<void>; readonly ended: () => void },
  ) {
    this.#lock = lock;
    this.candidate = candidate;
    this.#hooks = hooks;
  }

  get term(): number {
    return this.#lock.token;
  }

  get signal(): AbortSignal {
    return this.#lock.signal;
  }

  get held(): boolean {
    return this.#resigning === undefined && this.#lock.held;
  }

  /** Whether it was lost rather than resigned. */
  get lost(): boolean {
    return this.signal.aborted || (this.#resigning === undefined && !this.#lock.held);
  }

  guard(tx: Transaction): void {
    this.#lock.guard(tx);
  }

  resign(options: { readonly to?: string } = {}): Promise<boolean> {
    this.#resigning ??= this.#resign(options.to).finally(this.#hooks.ended);
    return this.#resigning;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.resign();
  }

  async #resign(to: string | undefined): Promise<boolean> {
    await this.#hooks.withdraw();
    // An answer that was lost, or no lock any more: what is left is to let go.
    const handed = to !== undefined && this.#lock.held && (await this.#lock.handOver(to).catch(() => false));
    if (!handed) await this.#lock.release();
    return handed;
  }
}
