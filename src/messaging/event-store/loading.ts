import { InvalidStateError } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import type { DomainEvent } from "./contract.ts";
import { countOf, keys, type StoredSnapshot } from "./layout.ts";
import type { Settings } from "./options.ts";
import type { Row, Streams } from "./streams.ts";

export interface Loaded<S> {
  readonly state: S;
  readonly version: number;
  /** The version that the snapshot has which the state was made from; 0: none. */
  readonly snapshot: number;
  /** The first version that went into the state. */
  readonly first: number;
}

/** Folds streams to states. Snapshots save work, and nothing else. */
export class Loader<S, E extends DomainEvent> {
  readonly #name: string;
  readonly #streams: Streams<E>;
  readonly #settings: Pick<Settings<S, E, never>, "initial" | "evolve" | "snapshots">;
  readonly #writing = new Map<string, Promise<void>>();

  constructor(
    name: string,
    streams: Streams<E>,
    settings: Pick<Settings<S, E, never>, "initial" | "evolve" | "snapshots">,
  ) {
    this.#name = name;
    this.#streams = streams;
    this.#settings = settings;
  }

  async load(stream: string, signal: AbortSignal | undefined): Promise<Loaded<S>> {
    const { initial } = this.#functions();
    if (!this.#settings.snapshots) {
      // What is kept and the first rows are asked for at once: few streams are truncated.
      const asked = [this.#streams.kept(stream, signal), this.#streams.firstRows(stream, 1, signal)] as const;
      const [kept, rows] = await Promise.all(asked);
      const begin = { state: initial(), version: 0, snapshot: 0, first: 1 };
      const loaded = kept === 1 ? await this.#fold(stream, begin, kept, signal, rows) : undefined;
      if (loaded) return loaded;
    }
    for (;;) {
      const { snapshot, kept } = await this.#start(stream, signal);
      const begin: Loaded<S> = snapshot
        ? { state: snapshot.state as S, version: snapshot.version, snapshot: snapshot.version, first: snapshot.first }
        : { state: initial(), version: kept - 1, snapshot: 0, first: kept };
      const loaded = await this.#fold(stream, begin, kept, signal);
      if (loaded) return loaded;
      // The stream was truncated meanwhile.
    }
  }

  /** Goes on from what was loaded with what has been appended since. */
  async refresh(stream: string, loaded: Loaded<S>, signal: AbortSignal | undefined): Promise<Loaded<S>> {
    return (await this.#fold(stream, loaded, loaded.first, signal)) ?? (await this.load(stream, signal));
  }

  /** As the transaction sees it, its own appends included. */
  async loadIn(tx: Transaction, stream: string): Promise<Loaded<S>> {
    const joined = this.#streams.engine.join(tx);
    // Read first: if the stream is truncated after this, what is loaded does not count, and the transaction does not commit.
    const kept = (await joined.get<number>(keys.kept(stream))) ?? 1;
    const loaded = await this.load(stream, tx.signal);
    let { state, version } = loaded;
    // Rows never change, so those that were loaded need no check; that there are no others does.
    for await (const { first, row } of this.#streams.rowsIn(joined, stream, version + 1)) {
      state = this.apply(stream, state, { first, row }, kept);
      version = first + countOf(row) - 1;
    }
    return { ...loaded, state, version };
  }

  /** The state after the events. */
  evolve(state: S, events: readonly E[]): S {
    const { evolve } = this.#functions();
    let next = state;
    for (const event of events) next = evolve(next, event);
    return next;
  }

  apply(stream: string, state: S, { first, row }: Row, kept: number): S {
    const { evolve } = this.#functions();
    let next = state;
    for (let i = Math.max(0, kept - first); i < countOf(row); i++) {
      const event = this.#streams.reader.event(stream, first, row, i);
      if (event) next = evolve(next, event.data);
    }
    return next;
  }

  /** Keeps the state if it is time to, without making anybody wait. One at a time for each stream. */
  keep(stream: string, { state, version, snapshot, first }: Loaded<S>): void {
    const { snapshots } = this.#settings;
    if (!snapshots || version - snapshot < snapshots.every || this.#writing.has(stream)) return;
    const value: StoredSnapshot = { version, form: snapshots.version, first, state };
    const tell = (error?: unknown): void => {
      if (channels.snapshot.hasSubscribers)
        channels.snapshot.publish({
          store: this.#name,
          stream,
          version,
          ...(error !== undefined && { error }),
        } satisfies channels.SnapshotMessage);
    };
    // Encoded before this returns: the state may change afterwards. Too large or not storable: there is none then, which its channel tells.
    const written = this.#streams.engine.kv.set(keys.snapshot(stream), value);
    const done = written.then(() => tell(), tell).finally(() => this.#writing.delete(stream));
    this.#writing.set(stream, done);
  }

  async idle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.all(this.#writing.values());
  }

  async #start(
    stream: string,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly snapshot: StoredSnapshot | undefined; readonly kept: number }> {
    const { snapshots } = this.#settings;
    if (!snapshots) return { snapshot: undefined, kept: await this.#streams.kept(stream, signal) };
    const wanted = [keys.snapshot(stream), keys.kept(stream)];
    const [stored, keptEntry] = await this.#streams.engine.kv.getMany(wanted, signal ? { signal } : {});
    const kept = (keptEntry?.value as number | undefined) ?? 1;
    const snapshot = stored?.value as StoredSnapshot | undefined;
    const usable = snapshot && snapshot.form === snapshots.version && snapshot.first === kept;
    return { snapshot: usable ? snapshot : undefined, kept };
  }

  /** `undefined` if rows that belong to the state are not there any more. */
  async #fold(
    stream: string,
    begin: Loaded<S>,
    kept: number,
    signal: AbortSignal | undefined,
    firstRows?: readonly Row[],
  ): Promise<Loaded<S> | undefined> {
    let { state, version } = begin;
    const truncated = begin.version + 1 === kept && kept > 1;
    const start = truncated ? await this.#streams.rowHolding(stream, kept, signal) : begin.version + 1;
    for await (const page of this.#streams.rows(stream, start, signal, firstRows)) {
      for (const { first, row } of page) {
        if (first > version + 1) return undefined;
        if (row[2]?.some((body, i) => body === null && first + i > version)) return undefined;
        state = this.apply(stream, state, { first, row }, version + 1);
        version = first + countOf(row) - 1;
      }
    }
    return { ...begin, state, version };
  }

  #functions(): { readonly initial: () => S; readonly evolve: (state: S, event: E) => S } {
    const { initial, evolve } = this.#settings;
    if (!initial || !evolve)
      throw new InvalidStateError(
        "the event store was created without initial and evolve, which make a state of events",
      );
    return { initial, evolve };
  }
}
