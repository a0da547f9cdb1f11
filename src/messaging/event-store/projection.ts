import { firstOf, patiently, watchUntil } from "../../coordination/lease/index.ts";
import { createLocks, type Lock, type Locks } from "../../coordination/lock/index.ts";
import {
  type Closer,
  createCloser,
  type Duration,
  fullJitter,
  isAshlarError,
  linkSignals,
  sleep,
  toMilliseconds,
  withDeadline,
} from "../../core/index.ts";
import type { Engine, Version } from "../../engine/index.ts";
import { GaveUp, Moved, type Place, ProjectionBatch, type ProjectionParts } from "./batch.ts";
import * as channels from "./channels.ts";
import type { DomainEvent, Projection, ProjectionStatus, ProjectionView } from "./contract.ts";
import type { Page } from "./feed.ts";
import {
  clearRetired,
  type Generation,
  type ProjectionRecord,
  type Role,
  rebuildOf,
  roleIn,
  roleOf,
  swap,
} from "./generations.ts";
import { keys } from "./layout.ts";

/** References that are read at once at least, however small the batches. */
const leastPage = 500;

/** Owns a generation of a projection, or waits to. */
export class ProjectionRunner<E extends DomainEvent> implements Projection {
  readonly name: string;
  readonly done: Promise<void>;
  readonly #parts: ProjectionParts<E>;
  readonly #engine: Engine;
  readonly #locks: Locks;
  /** Takes up nothing new. */
  readonly #stopping = new AbortController();
  /** Ends the handler, too. */
  readonly #ending = new AbortController();
  readonly #closer: Closer;
  #status: ProjectionStatus = "waiting";
  #rebuilt: Generation | undefined;

  constructor(parts: ProjectionParts<E>) {
    this.#parts = parts;
    this.name = parts.name;
    this.#engine = parts.engine;
    this.#locks = createLocks(parts.engine, { ttl: parts.settings.lease });
    this.#closer = createCloser(() => this.#close(), `projection ${parts.name}`);
    const { signal } = parts.settings;
    const stop = (): void => void this.close();
    signal?.addEventListener("abort", stop, { once: true });
    this.done = this.#live().finally(() => signal?.removeEventListener("abort", stop));
    // Whoever wants to hear of the end asks for it.
    this.done.catch(() => {});
    if (signal?.aborted) stop();
  }

  get status(): ProjectionStatus {
    return this.#status;
  }

  async position(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const active = await this.#active(options.signal);
    if (!active) return 0;
    return (await this.#engine.kv.get<number>(keys.checkpoint(this.name, active.number), options))?.value ?? 0;
  }

  async lag(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const position = await this.position(options);
    return Math.max(0, (await this.#parts.feed.end(options.signal)) - position);
  }

  async waitFor(
    position: number,
    options: { readonly signal?: AbortSignal; readonly timeout?: Duration } = {},
  ): Promise<void> {
    if (options.timeout === undefined) return await this.#waitFor(position, options.signal ?? this.#ending.signal);
    using scope = withDeadline(this.#engine.runtime, {
      deadlineMs: toMilliseconds(options.timeout, "timeout", { min: 0 }),
      name: "waitFor",
      ...(options.signal && { signal: options.signal }),
    });
    await this.#waitFor(position, scope.signal);
  }

  async view(options: { readonly signal?: AbortSignal } = {}): Promise<ProjectionView> {
    const generation = (await this.#active(options.signal))?.number ?? 1;
    return { generation, kv: this.#engine.scope(...keys.view(this.name, generation)).kv };
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #active(signal: AbortSignal | undefined): Promise<Generation | undefined> {
    const entry = await this.#engine.kv.get<ProjectionRecord>(keys.projection(this.name), signal ? { signal } : {});
    return entry?.value.active;
  }

  /** A swap to a generation that is not behind the one before does not matter: what is waited for stays reached. */
  async #waitFor(position: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const active = await patiently(this.#engine, () => this.#active(signal), signal);
      let reached = false;
      const waits = [
        (each: AbortSignal) =>
          watchUntil(
            this.#engine,
            { key: keys.projection(this.name) },
            (changes) =>
              changes.some(({ value }) => (value as ProjectionRecord | undefined)?.active?.number !== active?.number),
            each,
          ),
      ];
      if (active) {
        const key = keys.checkpoint(this.name, active.number);
        waits.push(async (each) => {
          await watchUntil(
            this.#engine,
            { key },
            (changes) => changes.some(({ value }) => (value as number) > position),
            each,
          );
          reached = true;
        });
      }
      await firstOf(signal, waits);
      if (reached) return;
    }
  }

  async #live(): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted; ) {
      try {
        const role = await this.#role(signal);
        if (role.kind === "superseded" || role.kind === "in place") {
          this.#status = role.kind === "in place" ? "live" : "superseded";
          return;
        }
        await this.#whileUnchanged(role.generation, async (unchanged) => {
          this.#status = "waiting";
          const name = `${this.name}/${role.generation.number}`;
          const lock = await this.#locks.acquire(name, { timeout: Number.POSITIVE_INFINITY, signal: unchanged });
          try {
            await this.#own(role.generation, lock, unchanged, () => {
              failures = 0;
            });
          } finally {
            this.#status = "waiting";
            await lock.release();
          }
        });
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof GaveUp || !isAshlarError(error) || isFinal(error.code)) {
          this.#status = "failed";
          throw error instanceof GaveUp ? error.cause : error;
        }
        this.#tellTrouble(error);
        const wait = fullJitter(this.#engine.runtime, failures++, { base: 10, cap: 1000 });
        await sleep(this.#engine.runtime, wait, { signal, ref: false }).catch(() => {});
      }
    }
    this.#status = "closed";
  }

  /** The signal aborts when the projection stops, and when its record changes: then the function's end is waited for, and no error of it counts. */
  async #whileUnchanged(generation: Generation, fn: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const changed = new AbortController();
    const ended = new AbortController();
    using linked = linkSignals(this.#stopping.signal, changed.signal);
    using watching = linkSignals(this.#stopping.signal, ended.signal);
    const key = keys.projection(this.name);
    const record = await this.#engine.kv.get<ProjectionRecord>(key, { signal: linked.signal });
    const { active, next } = record?.value ?? {};
    // It has changed since the role was found out.
    if (active?.number !== generation.number && next?.number !== generation.number) return;
    const differs = (changes: readonly { readonly version?: Version }[]): boolean =>
      changes.some(({ version }) => version !== record?.version);
    watchUntil(this.#engine, { key }, differs, watching.signal).then(
      () => changed.abort(new Moved("the projection has another owner or another role")),
      () => {},
    );
    try {
      await fn(linked.signal);
    } catch (error) {
      if (!changed.signal.aborted || error instanceof GaveUp) throw error;
    } finally {
      ended.abort();
    }
  }

  async #role(signal: AbortSignal): Promise<Role | { readonly kind: "in place" }> {
    const { anew, settings } = this.#parts;
    if (!anew) return await roleOf(this.#engine, this.name, settings.version ?? 1, signal);
    this.#rebuilt ??= await rebuildOf(this.#engine, this.name, settings.version, signal);
    return await roleIn(this.#engine, this.name, this.#rebuilt, signal);
  }

  /** Projects until the generation is out of use or in another role, the lock is lost, or the projection stops. */
  async #own(generation: Generation, lock: Lock, unchanged: AbortSignal, alive: () => void): Promise<void> {
    using linked = linkSignals(unchanged, lock.signal);
    const { signal } = linked;
    const place = await this.#placeOf(generation, signal);
    if (!place) return;
    alive();
    this.#status = place.building ? "building" : "live";
    if (place.building && (await this.#swap(place, lock, signal))) return;
    const { feed, settings } = this.#parts;
    const limit = Math.max(settings.batch, leastPage);
    for await (const page of feed.pages({ from: place.position, live: true, limit, types: settings.types, signal })) {
      try {
        await this.#project(page, place, lock);
      } catch (error) {
        // Another generation is in use, or this one has another role: it is found out anew.
        if (error instanceof Moved) return;
        throw error;
      }
      alive();
      if (signal.aborted) return;
      if (place.building && (await this.#swap(place, lock, signal))) return;
    }
  }

  /** Where to go on; `undefined` if the generation is out of use. */
  async #placeOf(generation: Generation, signal: AbortSignal): Promise<Place | undefined> {
    const { number } = generation;
    const read = async () => {
      const [record, checkpoint] = await this.#engine.kv.getMany<unknown>(
        [keys.projection(this.name), keys.checkpoint(this.name, number)],
        { signal },
      );
      return { record, checkpoint };
    };
    let { record, checkpoint } = await read();
    if ((record?.value as ProjectionRecord | undefined)?.retired.length) {
      await clearRetired(this.#engine, this.name, signal);
      ({ record, checkpoint } = await read());
    }
    const value = record?.value as ProjectionRecord | undefined;
    const building = value?.next?.number === number;
    if (!record || !value || (!building && value.active?.number !== number)) return undefined;
    return {
      generation: number,
      building,
      record: value,
      recordVersion: record.version,
      position: (checkpoint?.value as number | undefined) ?? this.#parts.settings.from,
      checkpointVersion: checkpoint?.version,
    };
  }

  async #project(page: Page<E>, place: Place, lock: Lock): Promise<void> {
    using linked = linkSignals(this.#ending.signal, lock.signal);
    await new ProjectionBatch(this.#parts, place, lock, linked.signal, this.#stopping.signal).run(page);
  }

  /** Whether the generation is in use now. */
  async #swap(place: Place, lock: Lock, signal: AbortSignal): Promise<boolean> {
    const { record, recordVersion, position, generation } = place;
    const { active } = record;
    const until = active
      ? ((await this.#engine.kv.get<number>(keys.checkpoint(this.name, active.number), { signal }))?.value ?? 0)
      : await this.#parts.feed.end(signal);
    if (position < until) return false;
    const own = {
      key: keys.checkpoint(this.name, generation),
      version: place.checkpointVersion as Version | undefined,
    };
    const changed = await swap(
      this.#engine,
      this.name,
      { record, recordVersion, position },
      (tx) => {
        lock.guard(tx);
        tx.check(own);
      },
      signal,
    );
    if (!changed) return false;
    if (channels.swapped.hasSubscribers)
      channels.swapped.publish({
        store: this.#parts.store,
        projection: this.name,
        generation,
        position,
      } satisfies channels.SwappedMessage);
    return true;
  }

  async #close(): Promise<void> {
    this.#stopping.abort(new DOMException("the projection was closed", "AbortError"));
    const timer = this.#engine.runtime.timers.after(this.#parts.settings.drain, () =>
      this.#ending.abort(new DOMException("the projection was closed, and its time to drain is over", "AbortError")),
    );
    await this.done.catch(() => {});
    timer.cancel();
    this.#ending.abort(new DOMException("the projection was closed", "AbortError"));
  }

  #tellTrouble(error: unknown): void {
    if (channels.trouble.hasSubscribers)
      channels.trouble.publish({
        store: this.#parts.store,
        projection: this.name,
        error,
      } satisfies channels.TroubleMessage);
  }
}

/** Codes of errors that pass by themselves neither here nor elsewhere. */
function isFinal(code: string): boolean {
  return ["CLOSED", "INVALID_ARGUMENT", "INVALID_STATE", "UNSUPPORTED", "CORRUPTION", "LIMIT"].includes(code);
}
