import { createCloser, type Key, linkSignals, raceAbort, sleep, type Timer, withDeadline } from "../../core/index.ts";
import type { MapHost } from "./host.ts";
import { assertSameShards, type ShardEntry } from "./keys.ts";
import { toShard } from "./options.ts";
import { shardOf } from "./shard-of.ts";

/** Who owns a shard. */
export interface ShardOwner {
  readonly shard: number;
  readonly worker: string;
  readonly zone: string | undefined;
  /** The fencing token. Hand it along with a request, and a worker that has come to own the shard later knows that the sender's view is old. */
  readonly epoch: number;
}

/** The distribution as this process knows it, kept up by a watch: looking at it costs no call. It lags behind by a moment; who is asked wrongly has to say so. */
export interface ShardView extends AsyncDisposable {
  /** Grows with each commit that changes owners. */
  readonly version: number;
  readonly shards: number;
  /** Whether more than the ttl of the map has passed since it was last sure to be the latest: the engine is away. */
  readonly stale: boolean;
  /** The owner of the shard of that key, or `undefined`: nobody, or one that is dead. */
  ownerOf(key: string | Key): ShardOwner | undefined;
  /** The owner of a shard by its number. */
  owner(shard: number): ShardOwner | undefined;
  /** How many shards each worker owns, those with none included. */
  load(): ReadonlyMap<string, number>;
  /** Reads the store and waits until the view is at least as new as what was read: for who was sent away by a worker. */
  refresh(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Its version now, then whenever owners change or die, the latest state always. Ends when the view is closed, or by the signal (rejects with its reason); rejects if the engine is closed first. */
  watch(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<ShardView>;
  close(): Promise<void>;
}

export function toOwner(shard: number, entry: ShardEntry | undefined): ShardOwner | undefined {
  if (!entry?.owner) return undefined;
  const { worker, zone } = entry.owner;
  return { shard, worker, zone, epoch: entry.epoch };
}

export class MapView implements ShardView {
  readonly shards: number;
  readonly #host: MapHost;
  readonly #ttl: number;
  readonly #ignore: () => void;
  readonly #closing = new AbortController();
  readonly #closer = createCloser(async () => {
    this.#ignore();
    this.#timer?.cancel();
    this.#closing.abort(new DOMException("the view was closed", "AbortError"));
    this.#announce();
    this.#host.leave();
  }, "the view of the shard map");
  #timer: Timer | undefined;
  #revision = 0;
  #changed = Promise.withResolvers<void>();

  /** The host has been entered and is ready. */
  constructor(host: MapHost, { shards, ttl }: { readonly shards: number; readonly ttl: number }) {
    this.#host = host;
    this.shards = shards;
    this.#ttl = ttl;
    this.#ignore = host.onChange(() => this.#announce());
    this.#confirmLater();
  }

  get version(): number {
    return this.#host.state.version;
  }

  get stale(): boolean {
    const { confirmedAt, root } = this.#host;
    return this.#closer.closed || confirmedAt === undefined || root.runtime.clock.monotonic() - confirmedAt > this.#ttl;
  }

  ownerOf(key: string | Key): ShardOwner | undefined {
    return this.owner(shardOf(key, this.shards));
  }

  owner(shard: number): ShardOwner | undefined {
    this.#closer.assertOpen();
    assertSameShards(this.#host.name, this.#host.state.config, this.shards);
    const entry = this.#host.state.shards.get(toShard(shard, this.shards))?.value;
    return entry?.owner && this.#host.liveness.lives(entry.owner.lease) ? toOwner(shard, entry) : undefined;
  }

  load(): ReadonlyMap<string, number> {
    this.#closer.assertOpen();
    const { state, liveness } = this.#host;
    const load = new Map<string, number>();
    for (const { value } of state.members.values())
      if (!value.void && liveness.lives(value.lease)) load.set(value.worker, 0);
    for (let shard = 0; shard < this.shards; shard++) {
      const worker = this.owner(shard)?.worker;
      if (worker !== undefined) load.set(worker, (load.get(worker) ?? 0) + 1);
    }
    return load;
  }

  async refresh(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#closer.assertOpen();
    const { root, keys } = this.#host;
    const sentAt = root.runtime.clock.monotonic();
    const version = (await root.kv.get<number>(keys.version, options))?.value ?? 0;
    for (;;) {
      this.#closer.assertOpen();
      if (this.version >= version) break;
      await this.#change(options.signal);
    }
    this.#host.confirmedAt = Math.max(this.#host.confirmedAt ?? sentAt, sentAt);
  }

  async *watch(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<ShardView> {
    for (let seen = -1; !this.#closer.closed; ) {
      options.signal?.throwIfAborted();
      if (seen !== this.#revision) {
        seen = this.#revision;
        yield this;
      } else await this.#change(options.signal);
    }
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #change(signal: AbortSignal | undefined): Promise<void> {
    using linked = linkSignals(signal, this.#host.closing);
    await raceAbort(this.#changed.promise, linked.signal);
  }

  #announce(): void {
    this.#revision++;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  /** A watch does not say that nothing has changed: a small read does, a few times within the ttl. */
  #confirmLater(): void {
    const { runtime } = this.#host.root;
    this.#timer = runtime.timers.after(this.#ttl / 4, () => void this.#confirm(), { ref: false });
  }

  async #confirm(): Promise<void> {
    const { runtime } = this.#host.root;
    using scope = withDeadline(runtime, {
      signal: this.#closing.signal,
      deadlineMs: this.#ttl / 2,
      name: "confirm the view of a shard map",
    });
    try {
      await raceAbort(this.refresh({ signal: scope.signal }), scope.signal);
    } catch {
      // It is stale then, and says so.
      await sleep(runtime, this.#ttl / 20, { ref: false });
    }
    if (!this.#closer.closed) this.#confirmLater();
  }
}
