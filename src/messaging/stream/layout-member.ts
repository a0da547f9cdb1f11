import { createShardMap, type ShardMember } from "../../coordination/shard-map/index.ts";
import type { Layout } from "./layout.ts";
import { earlierThan, type Layouts } from "./layouts.ts";
import { type ConsumerParts, PartitionConsumer } from "./partition-consumer.ts";

interface Running {
  readonly epoch: number;
  /** Takes up no further batch. */
  stop(): void;
  /** Ends the handler as well. */
  end(): void;
  readonly ended: Promise<void>;
}

/** A member of a group within one layout: owns partitions of it, and consumes them side by side. */
export class LayoutMember<T> {
  readonly #parts: ConsumerParts<T>;
  readonly #layouts: Layouts;
  readonly #first: number;
  readonly #count: number;
  readonly #fail: (error: unknown) => void;
  readonly #running = new Map<number, Running>();
  #member: ShardMember | undefined;

  /** @param fail a partition cannot be consumed any more */
  constructor(parts: ConsumerParts<T>, layouts: Layouts, [first, count]: Layout, fail: (error: unknown) => void) {
    this.#parts = parts;
    this.#layouts = layouts;
    this.#first = first;
    this.#count = count;
    this.#fail = fail;
  }

  get owned(): readonly number[] {
    return [...(this.#member?.owned ?? [])].map((shard) => this.#first + shard);
  }

  /** Resolves when the signal is aborted and everything has been handed over. */
  async live(signal: AbortSignal): Promise<void> {
    const { user, stream, group, settings } = this.#parts;
    try {
      const map = createShardMap(user, `stream/${stream}/${group}/${this.#first}`, {
        shards: this.#count,
        ttl: settings.lease,
      });
      this.#member = await map.join({
        worker: settings.instance,
        grace: Math.max(settings.drain, 1),
        onRevoke: (shard, context) => this.#release(shard, context.signal),
        signal,
      });
      for await (const owned of this.#member.watch({ signal })) this.#follow(owned);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await this.#leave();
    }
  }

  #follow(owned: ReadonlySet<number>): void {
    for (const index of owned) {
      const member = this.#member as ShardMember;
      let shard: ReturnType<ShardMember["shard"]>;
      try {
        shard = member.shard(index);
      } catch {
        // Lost again since: the watch says so next.
        continue;
      }
      const running = this.#running.get(index);
      if (running?.epoch === shard.epoch) continue;
      running?.end();
      this.#start(index, shard, running?.ended);
    }
  }

  #start(index: number, shard: ReturnType<ShardMember["shard"]>, before: Promise<void> | undefined): void {
    const stop = new AbortController();
    const hard = new AbortController();
    const reason = new DOMException("the partition goes to another member, or the consumer was closed", "AbortError");
    const onLost = (): void => {
      stop.abort(shard.signal.reason);
      hard.abort(shard.signal.reason);
    };
    if (shard.signal.aborted) onLost();
    else shard.signal.addEventListener("abort", onLost, { once: true });
    const partition = this.#first + index;
    const place = { partition, layout: this.#first, owned: shard, earlier: earlierThan(this.#layouts.all, partition) };
    const consumer = new PartitionConsumer(this.#parts, place, stop.signal, hard.signal);
    const ended = (before ?? Promise.resolve()).then(() => consumer.run()).catch(this.#fail);
    const running: Running = {
      epoch: shard.epoch,
      stop: () => stop.abort(reason),
      end: () => {
        stop.abort(reason);
        hard.abort(reason);
      },
      ended: ended.finally(() => {
        if (this.#running.get(index) === running) this.#running.delete(index);
      }),
    };
    this.#running.set(index, running);
  }

  /** The batch under way is finished first, within the time of grace. */
  async #release(index: number, grace: AbortSignal): Promise<void> {
    const running = this.#running.get(index);
    if (!running) return;
    running.stop();
    const end = (): void => running.end();
    grace.addEventListener("abort", end, { once: true });
    await running.ended.finally(() => grace.removeEventListener("abort", end));
  }

  async #leave(): Promise<void> {
    for (const running of this.#running.values()) running.stop();
    await this.#member?.close().catch(() => {});
    for (const running of this.#running.values()) running.end();
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }
}
