import { type ByteRange, compareBytes, isAshlarError, toBinaryString } from "../core/index.ts";
import type { RawChange, RawEntry } from "./driver.ts";

/** What a watcher needs from the hub. */
export interface WatcherSource {
  /** Registers the watcher; resolves once the feed reports every later commit to it. */
  open(): Promise<void>;
  /** One page of the range, from its start. */
  list(range: ByteRange): Promise<RawEntry[]>;
  /** Resolves once the feed has reported all that a list which has just ended can have seen. */
  settle(): Promise<void>;
  /** An entry was seen that expires in so many milliseconds. */
  expires(ttl: number): void;
  /** Waits before the next try after so many failures. */
  pause(failures: number): Promise<void>;
  close(): void;
}

/**
 * The state of one watch: lists the range, then follows the feed.
 *
 * Why the states it hands out existed: the feed is live before the listing begins, and the listing counts only when the feed
 * has come past everything that the listing could see. By then each key either changed since (and `pending` holds its state as of the feed's position) or
 * did not (and the listing holds it). Together they are the range at the feed's position.
 */
export class Watcher {
  readonly range: ByteRange;
  /** The key as a binary string if the range is that single key. */
  readonly point: string | undefined;
  readonly #source: WatcherSource;
  /** Revision of each present key as last handed out. */
  readonly #known = new Map<string, number>();
  /** Latest state of each key that changed since, in commit order. */
  readonly #pending = new Map<string, RawChange>();
  #phase: "new" | "listing" | "following" = "new";
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(range: ByteRange, source: WatcherSource) {
    this.range = range;
    this.point = pointOf(range);
    this.#source = source;
  }

  covers(key: Uint8Array): boolean {
    return compareBytes(key, this.range.start) >= 0 && compareBytes(key, this.range.end) < 0;
  }

  /** The feed saw this state of a key of the range. */
  note(change: RawChange): void {
    const key = toBinaryString(change.key);
    // Deleted first, so that the key moves to the end: iteration order is commit order.
    this.#pending.delete(key);
    this.#pending.set(key, change);
    this.#wake?.();
  }

  /** The feed lost its place: what is known must be compared with a new listing. */
  restart(): void {
    this.#pending.clear();
    if (this.#phase === "following") this.#phase = "listing";
    else if (this.#phase === "listing") this.#relist = true;
    this.#wake?.();
  }
  #relist = false;

  fail(error: Error): void {
    this.#error ??= error;
    this.#wake?.();
  }

  close(): void {
    this.#source.close();
  }

  /** The present entries at the first call; afterwards what changed, never empty. One call at a time. */
  async next(): Promise<RawChange[]> {
    for (;;) {
      if (this.#error) throw this.#error;
      if (this.#phase === "new") {
        await this.#source.open();
        this.#phase = "listing";
        return await this.#listed();
      }
      const changes = this.#phase === "listing" ? await this.#listed() : this.#drain();
      if (changes.length > 0) return changes;
      if (this.#phase === "following" && this.#pending.size === 0 && !this.#error) await this.#woken();
    }
  }

  async #woken(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
  }

  /** The difference between what was handed out and the range at the feed's position. */
  async #listed(): Promise<RawChange[]> {
    for (let failures = 0; ; ) {
      this.#relist = false;
      try {
        const entries = await this.#listAll();
        await this.#source.settle();
        if (this.#error) throw this.#error;
        if (this.#relist) continue;
        this.#phase = "following";
        return this.#merge(entries);
      } catch (error) {
        if (this.#error || !isAshlarError(error) || !error.retryable || ++failures >= maxFailures) throw error;
        await this.#source.pause(failures);
      }
    }
  }

  async #listAll(): Promise<Map<string, RawEntry>> {
    const entries = new Map<string, RawEntry>();
    let start = this.range.start;
    for (;;) {
      const page = await this.#source.list({ start, end: this.range.end });
      const last = page.at(-1);
      if (!last) return entries;
      for (const entry of page) entries.set(toBinaryString(entry.key), entry);
      if (this.point !== undefined) return entries;
      start = successor(last.key);
    }
  }

  /**
   * What is gone (nobody knows since when), then what is listed, by revision, then what the feed has told since it began or lost its place:
   * a listed key that the feed did not name has not changed since, so its last commit is older.
   */
  #merge(entries: Map<string, RawEntry>): RawChange[] {
    const gone: RawChange[] = [];
    for (const name of this.#known.keys()) {
      if (entries.has(name) || this.#pending.has(name)) continue;
      gone.push({ key: Buffer.from(name, "latin1"), entry: undefined });
    }
    const listed = [...entries].filter(([name]) => !this.#pending.has(name)).map(([, entry]) => entry);
    listed.sort((a, b) => a.revision - b.revision);
    const changes = [...gone, ...listed.map((entry) => ({ key: entry.key, entry })), ...this.#pending.values()];
    this.#pending.clear();
    return changes.filter((change) => this.#isNews(change));
  }

  #drain(): RawChange[] {
    const changes = [...this.#pending.values()].filter((change) => this.#isNews(change));
    this.#pending.clear();
    return changes;
  }

  /** Whether the change differs from what was handed out; remembers it. */
  #isNews({ key, entry }: RawChange): boolean {
    const name = toBinaryString(key);
    if (!entry) return this.#known.delete(name);
    if (entry.ttl !== undefined) this.#source.expires(entry.ttl);
    if (this.#known.get(name) === entry.revision) return false;
    this.#known.set(name, entry.revision);
    return true;
  }
}

const maxFailures = 8;

/** The smallest key after this one. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

function pointOf({ start, end }: ByteRange): string | undefined {
  const single =
    end.length === start.length + 1 &&
    end[start.length] === 0 &&
    compareBytes(end.subarray(0, start.length), start) === 0;
  return single ? toBinaryString(start) : undefined;
}
