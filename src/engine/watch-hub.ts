import { type ByteRange, ClosedError, fullJitter, type Runtime, type Timer, toBinaryString } from "../core/index.ts";
import type { ChangeSink, Driver, RawChange, RawEntry, RawFeed } from "./driver.ts";
import { Watcher } from "./watcher.ts";

/**
 * One change feed of the driver, shared by all watches and log tails of an engine: the feed is open while anyone watches, and for a
 * little longer, since watchers come and go.
 */
export class WatchHub {
  readonly #driver: Driver;
  readonly #runtime: Runtime;
  readonly #sweepSoon: (ms: number) => void;
  /** Watchers of a single key, by key: a thousand waiters for locks cost one look-up a change. */
  readonly #points = new Map<string, Set<Watcher>>();
  readonly #ranges = new Set<Watcher>();
  readonly #topics = new Map<string, Set<TopicListener>>();
  /** Those who wait for the feed to reach a position. */
  readonly #barriers = new Set<Barrier>();
  #feed: Promise<RawFeed> | undefined;
  #position = 0;
  #linger: Timer | undefined;
  #closed = false;

  /** @param sweepSoon asks for expired entries to be swept in so many milliseconds */
  constructor(driver: Driver, runtime: Runtime, sweepSoon: (ms: number) => void) {
    this.#driver = driver;
    this.#runtime = runtime;
    this.#sweepSoon = sweepSoon;
  }

  /** Whether anyone watches or tails: expiry must then be noticed soon, and the process has a reason to live. */
  get watched(): boolean {
    return this.#points.size > 0 || this.#ranges.size > 0 || this.#topics.size > 0;
  }

  /** A watch of the range; it begins at the first `next`. */
  watch(range: ByteRange): Watcher {
    const watcher: Watcher = new Watcher(range, {
      open: () => this.#open(watcher),
      list: (page) => this.#list(page),
      settle: () => this.#settle(),
      expires: (ttl) => this.#sweepSoon(ttl + 1),
      pause: (failures) => this.#pause(failures),
      close: () => this.#remove(watcher),
    });
    return watcher;
  }

  /**
   * Calls `wake` whenever the topic may have grown, and `fail` once if the feed ends. Resolves once every later append will wake; the
   * function it resolves with ends it.
   */
  async onTopic(topic: Uint8Array, listener: TopicListener): Promise<() => void> {
    if (this.#closed) throw closedError();
    const name = toBinaryString(topic);
    addTo(this.#topics, name, listener);
    this.#sweepSoon(0);
    const end = () => {
      removeFrom(this.#topics, name, listener);
      this.#lingerIfIdle();
    };
    try {
      await this.#start();
    } catch (error) {
      end();
      throw error;
    }
    return end;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#linger?.cancel();
    this.#failAll(closedError());
    const feed = await this.#feed?.catch(() => undefined);
    await feed?.close();
  }

  #add(watcher: Watcher): void {
    const point = watcher.point;
    if (point === undefined) this.#ranges.add(watcher);
    else addTo(this.#points, point, watcher);
    this.#sweepSoon(0);
  }

  #remove(watcher: Watcher): void {
    const point = watcher.point;
    if (point === undefined) this.#ranges.delete(watcher);
    else removeFrom(this.#points, point, watcher);
    this.#lingerIfIdle();
  }

  async #open(watcher: Watcher): Promise<void> {
    if (this.#closed) throw closedError();
    this.#add(watcher);
    await this.#start();
  }

  #start(): Promise<RawFeed> {
    this.#linger?.cancel();
    this.#feed ??= this.#subscribe();
    return this.#feed;
  }

  #subscribe(): Promise<RawFeed> {
    const feed: Promise<RawFeed> = this.#driver.watch(this.#sink(() => this.#feed === feed)).then(
      (live) => {
        this.#position = Math.max(this.#position, live.start);
        return live;
      },
      (error) => {
        if (this.#feed === feed) this.#feed = undefined;
        throw error;
      },
    );
    return feed;
  }

  /** @param current false for a feed that was given up: what it still reports is of no use */
  #sink(current: () => boolean): ChangeSink {
    return {
      wants: (key) => this.#wants(key),
      changed: (changes, topics, position) => {
        if (current()) this.#changed(changes, topics, position);
      },
      reset: () => {
        if (current()) this.#reset();
      },
      failed: (error) => {
        if (!current()) return;
        this.#feed = undefined;
        this.#failAll(error);
      },
    };
  }

  #wants(key: Uint8Array): boolean {
    if (this.#points.size > 0 && this.#points.has(toBinaryString(key))) return true;
    for (const watcher of this.#ranges) if (watcher.covers(key)) return true;
    return false;
  }

  #changed(changes: readonly RawChange[], topics: readonly Uint8Array[], position: number): void {
    this.#position = Math.max(this.#position, position);
    for (const change of changes) {
      for (const watcher of this.#points.get(toBinaryString(change.key)) ?? []) watcher.note(change);
      for (const watcher of this.#ranges) if (watcher.covers(change.key)) watcher.note(change);
    }
    for (const barrier of this.#barriers) if (barrier.target <= this.#position) this.#release(barrier);
    if (this.#runtime.maybe("watch: lose the place")) this.#reset();
    for (const topic of topics) for (const listener of this.#topics.get(toBinaryString(topic)) ?? []) listener.wake();
  }

  #reset(): void {
    this.#each((watcher) => watcher.restart());
    for (const listeners of this.#topics.values()) for (const listener of listeners) listener.wake();
  }

  /** Resolves once the feed has reached the present revision of the store. */
  async #settle(): Promise<void> {
    const target = await this.#driver.revision();
    if (this.#position >= target) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#barriers.add({ target, resolve });
    const feed = await this.#feed;
    feed?.refresh();
    await promise;
  }

  #release(barrier: Barrier): void {
    this.#barriers.delete(barrier);
    barrier.resolve();
  }

  async #list(range: ByteRange): Promise<RawEntry[]> {
    return await this.#driver.list(range, { limit: this.#driver.limits.listEntries, reverse: false });
  }

  async #pause(failures: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#runtime.timers.after(fullJitter(this.#runtime, failures, { base: 50, cap: 2000 }), resolve);
    await promise;
  }

  #lingerIfIdle(): void {
    if (this.watched || !this.#feed || this.#closed) return;
    this.#linger?.cancel();
    this.#linger = this.#runtime.timers.after(lingerMs, () => this.#stopIfIdle(), { ref: false });
  }

  #stopIfIdle(): void {
    if (this.watched) return;
    const feed = this.#feed;
    this.#feed = undefined;
    // The feed is of no use to anyone any more; an error while ending it concerns nobody either.
    feed?.then((live) => live.close()).catch(() => {});
  }

  #each(visit: (watcher: Watcher) => void): void {
    for (const watchers of this.#points.values()) for (const watcher of watchers) visit(watcher);
    for (const watcher of this.#ranges) visit(watcher);
  }

  #failAll(error: Error): void {
    this.#each((watcher) => watcher.fail(error));
    for (const barrier of this.#barriers) this.#release(barrier);
    for (const listeners of this.#topics.values()) for (const listener of listeners) listener.fail(error);
  }
}

/** Someone who waits for a topic to grow. */
export interface TopicListener {
  wake(): void;
  fail(error: Error): void;
}

interface Barrier {
  readonly target: number;
  readonly resolve: () => void;
}

const lingerMs = 5_000;

function closedError(): ClosedError {
  return new ClosedError("the engine was closed while watching");
}

function addTo<T>(map: Map<string, Set<T>>, key: string, value: T): void {
  const set = map.get(key);
  if (set) set.add(value);
  else map.set(key, new Set([value]));
}

function removeFrom<T>(map: Map<string, Set<T>>, key: string, value: T): void {
  const set = map.get(key);
  set?.delete(value);
  if (set?.size === 0) map.delete(key);
}
