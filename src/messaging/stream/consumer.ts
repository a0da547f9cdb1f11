import { createShardMap, type ShardMember } from "../../coordination/shard-map/index.ts";
import { type Closer, createCloser, isAshlarError, sleep } from "../../core/index.ts";
import type { StreamConsumer } from "./contract.ts";
import { keys } from "./layout.ts";
import { type ConsumerParts, PartitionConsumer } from "./partition-consumer.ts";

interface Running {
  readonly epoch: number;
  /** Takes up no further batch. */
  stop(): void;
  /** Ends the handler as well. */
  end(): void;
  readonly ended: Promise<void>;
}

/** A member of a group: owns partitions, and consumes them side by side. */
export class GroupConsumer<T> implements StreamConsumer {
  readonly group: string;
  readonly instance: string;
  readonly done: Promise<void>;
  readonly #parts: ConsumerParts<T>;
  readonly #running = new Map<number, Running>();
  readonly #stopping = new AbortController();
  readonly #closer: Closer;
  #member: ShardMember | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @param ready the stream's definition has been compared with the store's */
  constructor(parts: ConsumerParts<T>, ready: () => Promise<void>) {
    const { settings } = parts;
    this.#parts = parts;
    this.group = parts.group;
    this.instance = settings.instance;
    this.#closer = createCloser(async () => {
      this.#stopping.abort(new DOMException("the consumer was closed", "AbortError"));
      await live.catch(() => {});
    }, `consumer ${settings.instance} of group ${parts.group}`);
    const live = this.#live(ready);
    this.done = live;
    // Whoever wants to hear of the end asks for it.
    this.done.catch(() => {});
    const stop = (): void => void this.close();
    settings.signal?.addEventListener("abort", stop, { once: true });
    live.catch(() => {}).finally(() => settings.signal?.removeEventListener("abort", stop));
    if (settings.signal?.aborted) stop();
  }

  get owned(): ReadonlySet<number> {
    return this.#member?.owned ?? new Set();
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #live(ready: () => Promise<void>): Promise<void> {
    const { engine, user, stream, definition, settings, group } = this.#parts;
    const { signal } = this.#stopping;
    try {
      await this.#patiently(async () => {
        await ready();
        await engine.kv.set(keys.group(group), true);
      });
      const map = createShardMap(user, `stream/${stream}/${group}`, {
        shards: definition.partitions,
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
      if (!signal.aborted) this.#failure ??= { error };
    } finally {
      await this.#leave();
    }
    if (this.#failure) throw this.#failure.error;
  }

  async #patiently(attempt: () => Promise<void>): Promise<void> {
    const { runtime } = this.#parts.engine;
    const { signal } = this.#stopping;
    for (;;) {
      try {
        await attempt();
        return;
      } catch (error) {
        if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) throw error;
      }
      await sleep(runtime, 50 + runtime.random.next() * 200, { signal, ref: false });
    }
  }

  #follow(owned: ReadonlySet<number>): void {
    for (const partition of owned) {
      const member = this.#member as ShardMember;
      let shard: ReturnType<ShardMember["shard"]>;
      try {
        shard = member.shard(partition);
      } catch {
        // Lost again since: the watch says so next.
        continue;
      }
      const running = this.#running.get(partition);
      if (running?.epoch === shard.epoch) continue;
      running?.end();
      this.#start(partition, shard, running?.ended);
    }
  }

  #start(partition: number, shard: ReturnType<ShardMember["shard"]>, before: Promise<void> | undefined): void {
    const stop = new AbortController();
    const hard = new AbortController();
    const reason = new DOMException("the partition goes to another member, or the consumer was closed", "AbortError");
    const onLost = (): void => {
      stop.abort(shard.signal.reason);
      hard.abort(shard.signal.reason);
    };
    if (shard.signal.aborted) onLost();
    else shard.signal.addEventListener("abort", onLost, { once: true });
    const consumer = new PartitionConsumer(this.#parts, shard, stop.signal, hard.signal);
    const ended = (before ?? Promise.resolve())
      .then(() => consumer.run())
      .then(
        () => {},
        (error) => {
          this.#failure ??= { error };
          this.#stopping.abort(new DOMException("the consumer gave up", "AbortError"));
        },
      );
    const running: Running = {
      epoch: shard.epoch,
      stop: () => stop.abort(reason),
      end: () => {
        stop.abort(reason);
        hard.abort(reason);
      },
      ended: ended.finally(() => {
        if (this.#running.get(partition) === running) this.#running.delete(partition);
      }),
    };
    this.#running.set(partition, running);
  }

  /** The batch under way is finished first, within the time of grace. */
  async #release(partition: number, grace: AbortSignal): Promise<void> {
    const running = this.#running.get(partition);
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
