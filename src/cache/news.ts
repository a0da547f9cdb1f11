import { fullJitter, isAshlarError, sleep } from "../core/index.ts";
import type { Engine, Version } from "../engine/index.ts";
import { generationShard, type Layout, newsShards } from "./layout.ts";

/**
 * What this process has heard of invalidations. Each shard remembers when, in a count of this process's own, it last had news; a copy that was read from the engine
 * before that is suspect. The watch is level-triggered: news may be late, never lost.
 */
export class News {
  readonly #engine: Engine;
  readonly #layout: Layout;
  readonly #heard = new Map<number, Version | undefined>();
  /** By shard, the generation last. */
  readonly #last = new Float64Array(newsShards + 1);
  readonly #stop = new AbortController();
  readonly #watching: Promise<void>;
  #count = 0;

  constructor(engine: Engine, layout: Layout) {
    this.#engine = engine;
    this.#layout = layout;
    this.#watching = this.#watch();
  }

  /** To be taken before the engine is asked for what will be kept. */
  get now(): number {
    return this.#count;
  }

  note(shard: number): void {
    this.#last[shard === generationShard ? newsShards : shard] = ++this.#count;
  }

  noteAll(): void {
    this.#last.fill(++this.#count);
  }

  /** Whether none of the shards, nor the generation, had news since `then`. */
  isQuietSince(then: number, shards: readonly number[]): boolean {
    if ((this.#last[newsShards] as number) > then) return false;
    return shards.every((shard) => (this.#last[shard] as number) <= then);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        for await (const changes of this.#engine.kv.watch(this.#layout.allNews, { signal })) {
          failures = 0;
          for (const { key, version } of changes) this.#hear(Number(key.at(-1)), version);
        }
      } catch (error) {
        if (signal.aborted || isAshlarError(error, "CLOSED")) return;
        await sleep(this.#engine.runtime, fullJitter(this.#engine.runtime, failures, { base: 20, cap: 1000 }), {
          signal,
          ref: false,
        }).catch(() => {});
      }
    }
  }

  #hear(shard: number, version: Version | undefined): void {
    if (this.#heard.has(shard) && this.#heard.get(shard) === version) return;
    this.#heard.set(shard, version);
    this.note(shard);
  }
}
