import { fullJitter, isAshlarError, type Timer, toBinaryString } from "../../core/index.ts";
import type { ChangeSink, RawChange, RawFeed } from "../driver.ts";
import type { Row } from "./client.ts";
import type { Connections, Lease } from "./connection.ts";
import type { Listener } from "./listener.ts";
import type { Names } from "./names.ts";
import { toEntry } from "./reads.ts";
import type { Statements } from "./statements.ts";
import { byteaArray, parseByteaArray } from "./wire.ts";

export interface FeedOptions {
  readonly connections: Connections;
  readonly statements: Statements;
  readonly names: Names;
  /** Absent where nothing can be heard: behind a pooler that lends connections by transaction. */
  readonly listener: Listener | undefined;
  /** Milliseconds between looks without a hint. */
  readonly poll: number;
}

/**
 * Follows the table `changes`. Notifications are hints to look at once; the truth is what the look finds, and one happens every `poll`
 * milliseconds in any case. A look is one snapshot: the changes since the last one and the present state of the keys concerned, so
 * that the observer always holds a state that the store had.
 *
 * While the server is away the feed keeps trying, with pauses of up to five seconds, and goes on from its place once it is back. It ends with
 * an error only where trying is of no use: the server does not let us in any more.
 */
export async function openFeed(sink: ChangeSink, options: FeedOptions): Promise<RawFeed> {
  const feed = new Feed(sink, options);
  const start = await feed.begin();
  return { start, refresh: () => feed.refresh(), close: () => feed.close() };
}

class Feed {
  readonly #sink: ChangeSink;
  readonly #options: FeedOptions;
  /** What was committed up to here has been told. */
  #position = 0;
  #quit: (() => Promise<void>) | undefined;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  /** A hint came during a look. */
  #again = false;
  #failures = 0;
  #closed = false;

  constructor(sink: ChangeSink, options: FeedOptions) {
    this.#sink = sink;
    this.#options = options;
  }

  /** Listens first and takes its place then: what is committed later is hinted at. Resolves with that place. */
  async begin(): Promise<number> {
    const { listener, names, connections, statements } = this.#options;
    this.#quit = await listener?.hear(names.changesChannel, {
      keepsAlive: false,
      said: () => this.refresh(),
      reopened: () => this.refresh(),
    });
    try {
      const [row] = await connections.ask(statements.revision, []);
      this.#position = Number(row?.[0] ?? 0);
    } catch (error) {
      await this.#quit?.();
      throw error;
    }
    this.#lookLater(this.#options.poll);
    return this.#position;
  }

  refresh(): void {
    if (this.#closed) return;
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#timer?.cancel();
    this.#looking = this.#look().then((pause) => {
      this.#looking = undefined;
      if (this.#closed) return;
      if (this.#again && this.#failures === 0) this.refresh();
      else this.#lookLater(pause);
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    await this.#looking;
    await this.#quit?.();
  }

  #lookLater(pause: number): void {
    this.#timer = this.#options.connections.runtime.timers.after(pause, () => this.refresh(), { ref: false });
  }

  /** Resolves with the time until the next look. */
  async #look(): Promise<number> {
    const { connections, poll } = this.#options;
    this.#again = false;
    try {
      await this.#deliver();
      this.#failures = 0;
      return poll;
    } catch (error) {
      if (this.#closed) return poll;
      const known = connections.toAshlar(error);
      if (fatal.some((code) => isAshlarError(known, code))) {
        this.#closed = true;
        this.#quit?.().catch(() => {});
        this.#sink.failed(known as Error);
      }
      return fullJitter(connections.runtime, this.#failures++, { base: 100, cap: 5000 });
    }
  }

  async #deliver(): Promise<void> {
    const lease = await this.#options.connections.acquire();
    try {
      const news = await this.#read(lease);
      lease.release();
      if (this.#closed || news === undefined) return;
      this.#position = news.position;
      if (!news.complete) this.#sink.reset();
      this.#sink.changed(news.changes, news.topics, news.position);
    } catch (error) {
      // It may be in the middle of the transaction.
      lease.discard();
      throw error;
    }
  }

  /** One snapshot; `undefined` if nothing was committed since the last one. */
  async #read(lease: Lease): Promise<News | undefined> {
    const s = this.#options.names.quoted;
    const results = await lease.simpleAll(
      `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
      SELECT revision FROM ${s}.changes ORDER BY revision DESC LIMIT 1;
      SELECT forgotten FROM ${s}.meta;
      ${this.#changesAfter(this.#position)}`,
    );
    const [, latest, forgotten, first] = results as [Row[], Row[], Row[], Row[]];
    const position = Number(latest[0]?.[0] ?? 0);
    const news =
      position === this.#position ? undefined : await this.#collect(lease, position, Number(forgotten[0]?.[0]), first);
    await lease.simple("COMMIT");
    return news;
  }

  async #collect(lease: Lease, position: number, forgotten: number, first: Row[]): Promise<News> {
    // A position that went back: the server was restored from a backup.
    if (forgotten > this.#position || position < this.#position)
      return { position, complete: false, changes: [], topics: [] };
    const wanted = new Map<string, Uint8Array>();
    const topics = new Map<string, Uint8Array>();
    let rows = first;
    for (let page = 1; ; page++) {
      for (const [, keys, appended] of rows) {
        for (const key of parseByteaArray(keys)) this.#want(key, wanted);
        for (const topic of parseByteaArray(appended)) topics.set(toBinaryString(topic), topic);
      }
      if (rows.length < pageRows) break;
      if (page === mostPages) return { position, complete: false, changes: [], topics: [] };
      [rows] = (await lease.simpleAll(this.#changesAfter(Number(rows.at(-1)?.[0])))) as [Row[]];
    }
    return { position, complete: true, changes: await this.#present(lease, wanted), topics: [...topics.values()] };
  }

  /** Keeps the keys in the order of their last change. */
  #want(key: Uint8Array, wanted: Map<string, Uint8Array>): void {
    if (!this.#sink.wants(key)) return;
    const name = toBinaryString(key);
    wanted.delete(name);
    wanted.set(name, key);
  }

  async #present(lease: Lease, wanted: ReadonlyMap<string, Uint8Array>): Promise<RawChange[]> {
    if (wanted.size === 0) return [];
    const rows = await lease.run(this.#options.statements.getMany, [byteaArray([...wanted.values()])]);
    const found = new Map(rows.map((row) => [toBinaryString(toEntry(row).key), toEntry(row)]));
    const changes = Array.from(wanted, ([name, key]): RawChange => ({ key, entry: found.get(name) }));
    return changes;
  }

  #changesAfter(revision: number): string {
    return `SELECT * FROM ${this.#options.names.quoted}.changes_1(${revision}, ${pageRows})`;
  }
}

/** What a look found. Not `complete`: too much to tell, or some of it is forgotten. */
interface News {
  readonly position: number;
  readonly complete: boolean;
  readonly changes: readonly RawChange[];
  readonly topics: readonly Uint8Array[];
}

/** What trying again does not mend: the server does not let us in, or read, any more. */
const fatal = ["INVALID_ARGUMENT", "UNSUPPORTED", "CLOSED"];

/** Flushes read at once, and pages of them after which reading everything anew is cheaper. */
const pageRows = 500;
const mostPages = 20;
