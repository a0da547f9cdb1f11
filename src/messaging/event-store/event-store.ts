import {
  ConflictError,
  createCloser,
  createIds,
  InvalidStateError,
  invalidArgument,
  isAshlarError,
  refuseUnknown,
  throwIfAborted,
  toMilliseconds,
  withDeadline,
} from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { Appender, type AppendOrder } from "./append.ts";
import type {
  AllOptions,
  Appended,
  AppendOptions,
  DomainEvent,
  EventStore,
  EventStoreOptions,
  Executed,
  ExecuteOptions,
  PositionedEvent,
  Projection,
  ProjectionHandler,
  ProjectionOptions,
  ReadStreamOptions,
  RecordedEvent,
} from "./contract.ts";
import { Feed } from "./feed.ts";
import { Heads } from "./heads.ts";
import { KeyedTurns } from "./keyed-turns.ts";
import { type Loaded, Loader } from "./loading.ts";
import {
  type Settings,
  toCount,
  toExpected,
  toIds,
  toMetadata,
  toName,
  toProjectionSettings,
  toSettings,
  toStream,
  toTypes,
  toVersion,
  whole,
} from "./options.ts";
import { ProjectionRunner } from "./projection.ts";
import { prepare, Reader } from "./recording.ts";
import { Streams } from "./streams.ts";
import { remove, truncate } from "./truncation.ts";

/**
 * An event store in the namespace of the engine: processes that give the same name share it.
 * @param name 1 to 200 characters
 */
export function createEventStore<S = unknown, E extends DomainEvent = DomainEvent, C = unknown>(
  engine: Engine,
  name: string,
  options: EventStoreOptions<S, E, C> = {},
): EventStore<S, E, C> {
  return new EngineEventStore(engine, toName(name), toSettings(options));
}

/** References of one page where everything is read. */
const pageSize = 1000;
const defaultDeadline = "10s";

class EngineEventStore<S, E extends DomainEvent, C> implements EventStore<S, E, C> {
  readonly name: string;
  readonly #user: Engine;
  readonly #engine: Engine;
  readonly #settings: Settings<S, E, C>;
  readonly #streams: Streams<E>;
  readonly #appender: Appender<E>;
  readonly #loader: Loader<S, E>;
  readonly #feed: Feed<E>;
  readonly #turns = new KeyedTurns();
  readonly #ids: { next(): string };
  readonly #projections = new Set<ProjectionRunner<E>>();
  readonly #closer = createCloser(() => this.#close(), "the event store");

  constructor(user: Engine, name: string, settings: Settings<S, E, C>) {
    this.name = name;
    this.#user = user;
    this.#engine = user.scope("event-store", name);
    this.#settings = settings;
    const reader = new Reader<E>(settings.upcasters);
    this.#streams = new Streams(this.#engine, new Heads(settings.remembered), reader);
    this.#appender = new Appender(name, this.#streams);
    this.#loader = new Loader<S, E>(name, this.#streams, settings);
    this.#feed = new Feed(this.#engine, reader);
    this.#ids = createIds(user.runtime);
  }

  async append(stream: string, events: readonly E[], options: AppendOptions = {}): Promise<Appended> {
    return (await this.#append(stream, events, options)).appended;
  }

  async #append(
    stream: string,
    events: readonly E[],
    options: AppendOptions,
  ): Promise<{ readonly appended: Appended; readonly stored: readonly E[] }> {
    this.#closer.assertOpen();
    refuseUnknown(options, ["expected", "metadata", "ids", "tx", "deadline", "signal"]);
    const { tx, deadline, signal } = options;
    const expected = toExpected(options.expected);
    if (tx && deadline !== undefined) throw invalidArgument("deadline", deadline, "nothing, as tx is someone else's");
    const deadlineMs = toMilliseconds(deadline ?? defaultDeadline, "deadline", { min: 1 });
    throwIfAborted(signal);
    const about = {
      id: this.#ids.next(),
      ids: options.ids && toIds(options.ids, events?.length ?? 0),
      metadata: toMetadata(options.metadata),
    };
    const prepared = await prepare(this.#settings, this.#engine.limits, events, about);
    const order: AppendOrder = { stream: toStream(stream), prepared, expected, deadline: deadlineMs, signal };
    const appended = tx ? await this.#appender.appendIn(tx, order) : await this.#appendInTurn(order);
    return { appended, stored: prepared.events as readonly E[] };
  }

  /** Appends of this process that would only get into each other's way take turns; the wait counts towards the deadline. */
  async #appendInTurn(order: AppendOrder): Promise<Appended> {
    if (typeof order.expected === "number") return await this.#appender.append(order);
    const { stream, deadline, signal } = order;
    using scope = withDeadline(this.#engine.runtime, { deadlineMs: deadline, name: "append", signal });
    return await this.#turns.run(stream, scope.signal, () => this.#appender.append({ ...order, signal: scope.signal }));
  }

  read(stream: string, options: ReadStreamOptions = {}): AsyncIterableIterator<RecordedEvent<E>> {
    this.#closer.assertOpen();
    toStream(stream);
    refuseUnknown(options, ["from", "to", "reverse", "limit", "signal"]);
    const { reverse = false, signal } = options;
    const from = options.from === undefined ? undefined : toVersion(options.from, "from");
    const to = options.to === undefined ? undefined : toVersion(options.to, "to");
    const limit = toCount(options.limit, "limit");
    const least = (reverse ? to : from) ?? 1;
    const most = (reverse ? from : to) ?? Number.MAX_SAFE_INTEGER;
    return taking(this.#streams.events(stream, least, most, { reverse, signal }), limit);
  }

  async load(
    stream: string,
    options: Parameters<EventStore<S, E, C>["load"]>[1] = {},
  ): Promise<{ state: S; version: number }> {
    this.#closer.assertOpen();
    refuseUnknown(options, ["tx", "signal"]);
    const { tx, signal } = options;
    toStream(stream);
    const loaded = tx ? await this.#loader.loadIn(tx, stream) : await this.#loader.load(stream, signal);
    if (!tx) this.#loader.keep(stream, loaded);
    return { state: loaded.state, version: loaded.version };
  }

  async execute(stream: string, command: C, options: ExecuteOptions = {}): Promise<Executed<S, E>> {
    this.#closer.assertOpen();
    refuseUnknown(options, ["metadata", "tx", "attempts", "signal"]);
    const { tx, signal, metadata } = options;
    const attempts = whole(options.attempts ?? 20, "attempts", 1, 1000);
    toStream(stream);
    if (!this.#settings.decide)
      throw new InvalidStateError("the event store was created without decide, which makes events of a command");
    toMetadata(metadata);
    if (tx) return await this.#attempt(stream, command, await this.#loader.loadIn(tx, stream), options);
    return await this.#turns.run(stream, signal, async () => {
      let loaded = await this.#loader.load(stream, signal);
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.#attempt(stream, command, loaded, options);
        } catch (error) {
          if (!isAshlarError(error, "CONFLICT") || error.details["stream"] !== stream) throw error;
          if (attempt >= attempts)
            throw new ConflictError(`others appended to stream ${stream} in each of ${attempts} attempts`, {
              cause: error,
              details: { ...error.details, attempts },
            });
        }
        loaded = await this.#loader.refresh(stream, loaded, signal);
      }
    });
  }

  all(options: AllOptions<E> = {}): AsyncIterableIterator<PositionedEvent<E>> {
    this.#closer.assertOpen();
    refuseUnknown(options, ["from", "live", "types", "signal"]);
    const { live = false, signal } = options;
    const from = options.from === "end" ? options.from : whole(options.from ?? 0, "from", 0, Number.MAX_SAFE_INTEGER);
    const types = toTypes(options.types);
    return flat(this.#feed.pages({ from, live, limit: pageSize, types, signal }));
  }

  async end(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    this.#closer.assertOpen();
    return await this.#feed.end(options.signal);
  }

  project(name: string, handler: ProjectionHandler<E>, options: ProjectionOptions = {}): Projection {
    return this.#project(name, handler, options, false);
  }

  rebuild(name: string, handler: ProjectionHandler<E>, options: ProjectionOptions = {}): Projection {
    return this.#project(name, handler, options, true);
  }

  async truncate(stream: string, options: Parameters<EventStore<S, E, C>["truncate"]>[1]): Promise<void> {
    this.#closer.assertOpen();
    refuseUnknown(options, ["before", "signal"]);
    const before = toVersion(options.before, "before");
    await truncate(this.#streams, toStream(stream), before, options.signal ?? new AbortController().signal);
  }

  async delete(stream: string, options: Parameters<EventStore<S, E, C>["delete"]>[1] = {}): Promise<boolean> {
    this.#closer.assertOpen();
    refuseUnknown(options, ["expected", "signal"]);
    const expected = toExpected(options.expected);
    const signal = options.signal ?? new AbortController().signal;
    return await remove(this.#streams, toStream(stream), expected, this.#ids.next(), signal);
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One decision on what was loaded. */
  async #attempt(stream: string, command: C, loaded: Loaded<S>, options: ExecuteOptions): Promise<Executed<S, E>> {
    const { tx, signal, metadata } = options;
    const decide = this.#settings.decide as NonNullable<Settings<S, E, C>["decide"]>;
    const decided = decide(command, loaded.state);
    const events = Array.isArray(decided) ? (decided as readonly E[]) : [decided as E];
    if (events.length === 0) return { events, state: loaded.state, version: loaded.version, position: undefined };
    const { appended, stored } = await this.#append(stream, events, {
      expected: loaded.version,
      ...(metadata && { metadata }),
      ...(tx && { tx }),
      ...(signal && { signal }),
    });
    const state = this.#loader.evolve(loaded.state, stored);
    const { version } = appended;
    if (!tx) this.#loader.keep(stream, { ...loaded, state, version });
    const executed = { events: stored, state, version };
    if (!tx) return { ...executed, position: appended.position };
    return {
      ...executed,
      // Known after the commit.
      get position() {
        return appended.position;
      },
    };
  }

  #project(name: string, handler: ProjectionHandler<E>, options: ProjectionOptions, anew: boolean): Projection {
    this.#closer.assertOpen();
    if (typeof handler !== "function") throw invalidArgument("handler", handler, "a function");
    const runner = new ProjectionRunner<E>({
      store: this.name,
      name: toName(name),
      user: this.#user,
      engine: this.#engine,
      feed: this.#feed,
      handler,
      settings: toProjectionSettings(options),
      anew,
    });
    this.#projections.add(runner);
    const forget = (): void => void this.#projections.delete(runner);
    runner.done.then(forget, forget);
    return runner;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#projections].map((runner) => runner.close()));
    await this.#loader.idle();
  }
}

async function* taking<T>(source: AsyncIterable<T>, limit: number): AsyncGenerator<T> {
  let left = limit;
  for await (const item of source) {
    yield item;
    if (--left <= 0) return;
  }
}

async function* flat<E extends DomainEvent>(
  pages: AsyncIterable<{ readonly events: readonly PositionedEvent<E>[] }>,
): AsyncGenerator<PositionedEvent<E>> {
  for await (const { events } of pages) yield* events;
}
