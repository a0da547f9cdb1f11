import { isAshlarError, type Runtime, type Timer } from "../../core/index.ts";
import type { ChangeSink, RawFeed } from "../driver.ts";
import { ChangeCollector } from "./changes.ts";
import type { Statement } from "./database.ts";
import { onNotify } from "./notify.ts";
import type { Position, Reader } from "./reader.ts";

/** Bytes of changes that are still read one by one: beyond that it is less work to read anew what is watched. */
const mostBytes = 4 * 1024 * 1024;

/** Looks in a row that may fail before the feed does. */
const mostFailures = 10;

export interface FeedOptions {
  readonly reader: Reader;
  readonly file: string;
  readonly runtime: Runtime;
  readonly sink: ChangeSink;
  /** Milliseconds between two looks that nobody hinted at. */
  readonly pollMs: number;
}

/**
 * Reports the changes of all processes, read from the table of changes: at hints (a commit of ours, the notification of another process)
 * and every `pollMs`. Keeps the process alive until it is closed, as an open connection to a server would.
 */
export class Feed implements RawFeed {
  readonly start: number;
  readonly #options: FeedOptions;
  readonly #since: Statement<[seq: number, revision: number, keys: Uint8Array]>;
  readonly #endNotify: () => void;
  #position: Position;
  #poll: Timer;
  #soon: Timer | undefined;
  #closed = false;
  /** Looks in a row that failed. */
  #failures = 0;

  constructor(options: FeedOptions) {
    const { reader, file } = options;
    this.#options = options;
    this.#since = reader.prepare("SELECT seq, revision, keys FROM ashlar_changes WHERE seq > ? ORDER BY seq");
    // Before the first look, so that no commit falls between them.
    this.#endNotify = onNotify(file, () => this.refresh());
    this.#position = reader.position();
    this.start = this.#position.revision;
    this.#poll = this.#schedule();
  }

  refresh(): void {
    if (this.#closed) return;
    this.#soon ??= this.#options.runtime.timers.immediate(() => {
      this.#soon = undefined;
      this.#look();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#endNotify();
    this.#poll.cancel();
    this.#soon?.cancel();
  }

  #schedule(): Timer {
    const { runtime, pollMs } = this.#options;
    return runtime.timers.after(pollMs, () => {
      this.#look();
      if (!this.#closed) this.#poll = this.#schedule();
    });
  }

  #look(): void {
    if (this.#closed) return;
    const { reader, sink } = this.#options;
    try {
      reader.guard(() => {
        if (reader.position().seq !== this.#position.seq) this.#report();
      });
      this.#failures = 0;
    } catch (error) {
      // Another process may be recovering the database, or the disk be full for a while: the next look may go better.
      if (isAshlarError(error, "UNAVAILABLE") && ++this.#failures < mostFailures) return;
      void this.close();
      sink.failed(error as Error);
    }
  }

  /** All in one snapshot, so that what is reported is the state of the store at the position that goes with it. */
  #report(): void {
    const { reader, sink } = this.#options;
    const { collected, changes, position } = reader.snapshot(() => {
      const position = reader.position();
      const collected = this.#collect(position);
      const changes = collected?.keys().map(({ key }) => ({ key, entry: reader.get(key) })) ?? [];
      return { collected, changes, position };
    });
    this.#position = position;
    if (!collected) sink.reset();
    sink.changed(changes, collected?.topics() ?? [], position.revision);
  }

  /** `undefined`: too much, or rows that were needed are gone. */
  #collect(position: Position): ChangeCollector | undefined {
    const { seq, total } = this.#position;
    // One row is always read: it has come by the only way in which things come.
    if (position.total - total > mostBytes && position.seq > seq + 1) return undefined;
    const collector = new ChangeCollector((key) => this.#options.sink.wants(key));
    let expected = seq + 1;
    for (const [found, revision, keys] of this.#since.iterate(seq)) {
      if (found !== expected++) return undefined;
      collector.add(revision, keys);
    }
    return collector;
  }
}
