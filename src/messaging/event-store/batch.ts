import type { Lock } from "../../coordination/lock/index.ts";
import { fullJitter, isAshlarError, sleep, throwIfAborted } from "../../core/index.ts";
import type { Engine, OpenTransaction, Transaction, Version } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import type { DomainEvent, PositionedEvent, ProjectionContext, ProjectionHandler } from "./contract.ts";
import type { Feed, Page } from "./feed.ts";
import type { ProjectionRecord } from "./generations.ts";
import { keys } from "./layout.ts";
import type { ProjectionSettings } from "./options.ts";

export interface ProjectionParts<E extends DomainEvent> {
  /** Names, for diagnostics. */
  readonly store: string;
  readonly name: string;
  /** As the store was made with it: the handler's. */
  readonly user: Engine;
  /** The event store's own namespace. */
  readonly engine: Engine;
  readonly feed: Feed<E>;
  readonly handler: ProjectionHandler<E>;
  readonly settings: ProjectionSettings;
  /** Whether it is a rebuild. */
  readonly anew: boolean;
}

/** Where the owner of a generation is. Invariant: while it owns it, the store holds the same. */
export interface Place {
  readonly generation: number;
  readonly building: boolean;
  readonly record: ProjectionRecord;
  readonly recordVersion: Version;
  /** Everything below is projected. */
  position: number;
  checkpointVersion: Version | undefined;
}

/** The record or the checkpoint is another's. */
export class Moved extends Error {}

/** The handler failed too often; its last error is the cause. */
export class GaveUp extends Error {}

/** What the handler threw, and at which event of the batch. */
class HandlerFailure extends Error {
  readonly index: number;

  constructor(index: number, cause: unknown) {
    super("the handler of a projection threw", { cause });
    this.index = index;
  }
}

/** Projects the events of a page in commits of several events each. */
export class ProjectionBatch<E extends DomainEvent> {
  readonly #parts: ProjectionParts<E>;
  readonly #place: Place;
  readonly #lock: Lock;
  readonly #signal: AbortSignal;
  readonly #stopping: AbortSignal;
  /** With the event at which it begins. */
  #failures = 0;

  /** @param signal the handler's; `stopping`: no further batch is to be begun */
  constructor(parts: ProjectionParts<E>, place: Place, lock: Lock, signal: AbortSignal, stopping: AbortSignal) {
    this.#parts = parts;
    this.#place = place;
    this.#lock = lock;
    this.#signal = signal;
    this.#stopping = stopping;
  }

  async run({ events, next }: Page<E>): Promise<void> {
    const { batch } = this.#parts.settings;
    let size = batch;
    let conflicts = 0;
    for (let from = 0; this.#place.position < next && !this.#stopping.aborted; ) {
      const some = events.slice(from, from + size);
      const last = some.at(-1);
      const to = from + some.length === events.length || !last ? next : last.position + 1;
      let committed = false;
      try {
        committed = await this.#commit(some, to);
      } catch (error) {
        size = await this.#failed(error, some);
        continue;
      }
      if (!committed) {
        // At once, unless it happens again and again.
        if (++conflicts > 3) await this.#pause(conflicts - 3, { base: 1, cap: 100 });
        continue;
      }
      from += some.length;
      size = batch;
      conflicts = 0;
      this.#failures = 0;
    }
  }

  /** How many events to try next. */
  async #failed(error: unknown, some: readonly PositionedEvent<E>[]): Promise<number> {
    throwIfAborted(this.#signal);
    if (isAshlarError(error, "LIMIT") && some.length > 1) return Math.ceil(some.length / 2);
    const failure = isAshlarError(error, "LIMIT") && some.length === 1 ? new HandlerFailure(0, error) : error;
    if (!(failure instanceof HandlerFailure)) throw error;
    // What came before it is committed first, so that it fails alone.
    if (failure.index > 0) return failure.index;
    const { cause } = failure;
    const { settings, store, name } = this.#parts;
    const passing = isAshlarError(cause) && cause.retryable;
    if (!passing) this.#failures++;
    if (channels.projectionFailed.hasSubscribers)
      channels.projectionFailed.publish({
        store,
        projection: name,
        generation: this.#place.generation,
        position: (some[0] as PositionedEvent).position,
        failures: this.#failures,
        error: cause,
      } satisfies channels.ProjectionFailedMessage);
    if (this.#failures >= settings.attempts) throw new GaveUp("the handler failed too often", { cause });
    await this.#pause(Math.max(0, this.#failures - 1), settings.backoff);
    return 1;
  }

  async #pause(attempt: number, backoff: { readonly base: number; readonly cap: number }): Promise<void> {
    const { runtime } = this.#parts.engine;
    const wait = backoff.base + fullJitter(runtime, attempt, backoff);
    await sleep(runtime, Math.min(wait, backoff.cap), { signal: this.#stopping, ref: false }).catch(() => {});
  }

  /** False: something that the handler read has changed. */
  async #commit(events: readonly PositionedEvent<E>[], to: number): Promise<boolean> {
    const { user, engine, name } = this.#parts;
    const place = this.#place;
    await using open = user.begin({ signal: this.#signal });
    const own = engine.join(open.tx);
    this.#lock.guard(open.tx);
    const moved = { otherwise: () => new Moved("the projection has another owner or another role") };
    const checkpoint = keys.checkpoint(name, place.generation);
    own.check({ key: keys.projection(name), version: place.recordVersion }, moved);
    own.check({ key: checkpoint, version: place.checkpointVersion }, moved);
    await this.#handle(events, open);
    own.set(checkpoint, to);
    if (!(await open.commit({ signal: this.#signal }))) return false;
    const version = open.version ?? (await engine.kv.get(checkpoint, { signal: this.#signal }))?.version;
    place.position = to;
    place.checkpointVersion = version;
    if (channels.projected.hasSubscribers)
      channels.projected.publish({
        store: this.#parts.store,
        projection: name,
        generation: place.generation,
        events: events.length,
        position: to,
      } satisfies channels.ProjectedMessage);
    return true;
  }

  async #handle(events: readonly PositionedEvent<E>[], open: OpenTransaction): Promise<void> {
    const { engine, name, handler } = this.#parts;
    const { generation } = this.#place;
    let view: Transaction | undefined;
    const context: ProjectionContext = {
      tx: open.tx,
      get view() {
        view ??= engine.scope(...keys.view(name, generation)).join(open.tx);
        return view;
      },
      generation,
      signal: this.#signal,
    };
    for (const [i, event] of events.entries()) {
      throwIfAborted(this.#signal);
      try {
        await handler(event, context);
      } catch (error) {
        throwIfAborted(this.#signal);
        throw new HandlerFailure(i, error);
      }
    }
  }
}
