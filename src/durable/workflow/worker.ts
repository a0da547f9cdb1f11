import { createShardMap, type ShardMember } from "../../coordination/shard-map/index.ts";
import { type Closer, createCloser, createIds } from "../../core/index.ts";
import type { Version } from "../../engine/index.ts";
import type { WorkflowWorker } from "./contract.ts";
import { Gate } from "./gate.ts";
import type { RunRecord } from "./layout.ts";
import type { WorkSettings } from "./options.ts";
import { type OwnerParts, ShardOwner } from "./shard-owner.ts";

interface Owned {
  readonly epoch: number;
  readonly owner: ShardOwner;
}

/** Owns shards, as many as fall to it, and carries their runs on. */
export class GroupWorker implements WorkflowWorker {
  readonly #parts: OwnerParts;
  readonly #settings: WorkSettings;
  readonly #owners = new Map<number, Owned>();
  readonly #stop = new AbortController();
  readonly #closer: Closer;
  readonly done: Promise<void>;
  #member: ShardMember | undefined;

  /** @param left told when it is closed */
  constructor(
    parts: Omit<OwnerParts, "gate" | "room">,
    settings: WorkSettings,
    signal: AbortSignal | undefined,
    left: (worker: GroupWorker) => void,
  ) {
    this.#parts = { ...parts, gate: new Gate(settings.concurrency), room: new Gate(settings.runs) };
    this.#settings = settings;
    this.#closer = createCloser(async () => {
      signal?.removeEventListener("abort", stop);
      left(this);
      this.#stop.abort(new DOMException("the worker was closed", "AbortError"));
      await life.catch(() => {});
    }, `the worker of workflows ${parts.settings.name}`);
    const stop = (): void => void this.close();
    const life = this.#live();
    this.done = life.then(() => this.#closer.close());
    // Whoever does not ask is not to be brought down by it.
    this.done.catch(() => {});
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  }

  get live(): number {
    let count = 0;
    for (const { owner } of this.#owners.values()) count += owner.live;
    return count;
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A run of that shard, begun by this process. */
  offer(shard: number, id: string, record: RunRecord, version: Version): void {
    this.#owners.get(shard)?.owner.offer(id, record, version);
  }

  async #live(): Promise<void> {
    const { user, settings } = this.#parts;
    const { signal } = this.#stop;
    try {
      const map = createShardMap(user, `workflow/${settings.name}`, { shards: settings.shards, ttl: settings.lease });
      this.#member = await map.join({
        worker: createIds(user.runtime).next(),
        grace: Math.max(1, this.#settings.drain),
        onRevoke: (shard, context) => this.#release(shard, context.signal),
        signal,
      });
      for await (const owned of this.#member.watch({ signal })) this.#follow(owned);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await this.#member?.close().catch(() => {});
      for (const { owner } of this.#owners.values()) owner.abandon(new Error("the worker has ended"));
      this.#owners.clear();
    }
  }

  #follow(owned: ReadonlySet<number>): void {
    for (const [index, { owner }] of this.#owners)
      if (!owned.has(index)) {
        owner.abandon(new Error("the shard belongs to another"));
        this.#owners.delete(index);
      }
    for (const index of owned) {
      let shard: ReturnType<ShardMember["shard"]>;
      try {
        shard = (this.#member as ShardMember).shard(index);
      } catch {
        // Lost again since: the watch says so next.
        continue;
      }
      const before = this.#owners.get(index);
      if (before?.epoch === shard.epoch) continue;
      before?.owner.abandon(new Error("the shard was lost in between"));
      const owner = new ShardOwner(this.#parts, shard);
      this.#owners.set(index, { epoch: shard.epoch, owner });
      // Ends with the shard, or with the engine.
      owner.run().catch(() => {});
    }
  }

  /** What is under way is finished first, within the time of grace. */
  async #release(index: number, grace: AbortSignal): Promise<void> {
    const owner = this.#owners.get(index)?.owner;
    if (!owner) return;
    const end = (): void => owner.abandon(grace.reason);
    grace.addEventListener("abort", end, { once: true });
    await owner.stop().finally(() => grace.removeEventListener("abort", end));
  }
}
