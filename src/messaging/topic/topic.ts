import {
  createIds,
  Encoded,
  encodeValue,
  type Ids,
  invalidArgument,
  limitExceeded,
  refuseUnknown,
  validate,
} from "../../core/index.ts";
import type { AfterCommit, Engine, LogRecord, Offset } from "../../engine/index.ts";
import { Batcher } from "../queue/index.ts";
import * as channels from "./channels.ts";
import type {
  EventHandler,
  Published,
  PublishOptions,
  ReadTopicOptions,
  SubscribeOptions,
  Subscriber,
  Subscription,
  SubscriptionInfo,
  Topic,
  TopicEvent,
  TopicOptions,
} from "./contract.ts";
import { type EventRecord, eventsTopic, read, toPlainEvent } from "./event-record.ts";
import {
  assertFrom,
  type Publication,
  type TopicSettings,
  text,
  toChoice,
  toPublication,
  toTopicSettings,
} from "./options.ts";
import { TopicSubscriber } from "./subscriber.ts";
import { TopicSubscription } from "./subscription.ts";
import { trimTopic } from "./trim.ts";

/** What a subscription keeps of an event that has failed, besides the data. */
const recordOverhead = 48 * 1024;
/** A publisher looks after the retention once in so many events. */
const trimEvery = 10_000;

/**
 * A topic of events, kept on the engine under this name.
 * @param name dot-separated tokens, at most 200 characters
 * @throws InvalidArgumentError an option is wrong
 */
export function createTopic<T = unknown>(engine: Engine, name: string, options: TopicOptions<T> = {}): Topic<T> {
  text(name, "name");
  return new EngineTopic<T>(engine, name, toTopicSettings(name, options));
}

/** An event on its way into the log. Encoded once: for its size, and for the commit. */
interface Prepared {
  readonly record: EventRecord;
  readonly encoded: Encoded;
  readonly bytes: number;
  /** Once it is written. */
  offset: Offset | undefined;
}

class EngineTopic<T> implements Topic<T> {
  readonly name: string;
  readonly #user: Engine;
  readonly #engine: Engine;
  readonly #settings: TopicSettings<T>;
  readonly #ids: Ids;
  readonly #batcher: Batcher<Prepared>;
  #sinceTrim = 0;

  constructor(user: Engine, name: string, settings: TopicSettings<T>) {
    this.name = name;
    this.#user = user;
    this.#engine = user.scope("topic", name);
    this.#settings = settings;
    this.#ids = createIds(user.runtime);
    this.#batcher = new Batcher(user.limits, (waiting) => this.#write(waiting));
  }

  async publish(data: T, options: PublishOptions = {}): Promise<Published> {
    const publication = toPublication(options, this.#settings);
    const prepared = await this.#prepare(data, publication, "data");
    const { record, encoded, bytes } = prepared;
    if (options.tx) {
      const offset = this.#engine.join(options.tx).append(eventsTopic, [encoded]);
      return { id: record[0], offset };
    }
    await this.#batcher.add(prepared, bytes, options.signal);
    this.#tell(record);
    return { id: record[0], offset: known(prepared) };
  }

  async publishMany(events: readonly T[], options: PublishOptions = {}): Promise<readonly Published[]> {
    if (!Array.isArray(events)) throw invalidArgument("events", events, "an array of events' data");
    const publication = toPublication(options, this.#settings);
    if (publication.id !== undefined) throw invalidArgument("id", publication.id, "none: each event has its own");
    const prepared: Prepared[] = [];
    for (const [i, data] of events.entries()) prepared.push(await this.#prepare(data, publication, `events[${i}]`));
    if (prepared.length === 0) return [];
    if (options.tx) {
      const first = this.#engine.join(options.tx).append(
        eventsTopic,
        prepared.map(({ encoded }) => encoded),
      );
      return prepared.map(({ record }, i) => ({ id: record[0], offset: later(first, i) }));
    }
    await this.#batcher.addAll(
      prepared.map((record) => ({ record, bytes: record.bytes })),
      options.signal,
    );
    for (const { record } of prepared) this.#tell(record);
    return prepared.map((each) => ({ id: each.record[0], offset: known(each) }));
  }

  subscribe(name: string, handler: EventHandler<T>, options: SubscribeOptions<T> = {}): Subscriber {
    text(name, "name");
    if (typeof handler !== "function") throw invalidArgument("handler", handler, "a function of an event");
    return new TopicSubscriber<T>({
      user: this.#user,
      engine: this.#engine,
      settings: this.#settings,
      name,
      handler,
      options,
    });
  }

  async *read(options: ReadTopicOptions = {}): AsyncGenerator<TopicEvent<T>> {
    refuseUnknown(options, ["from", "types", "filter", "live", "signal"]);
    const { from = "start", types, filter, live = false, signal } = options;
    assertFrom(from);
    const chosen = toChoice(this.name, types, filter);
    const start = await this.#subscription("").offsetOf(from);
    const pages = live ? this.#live(start, signal) : this.#present(start, signal);
    for await (const records of pages)
      for (const record of records)
        if (chosen(record)) yield await read(toPlainEvent(this.name, record), this.#settings);
  }

  async *subscriptions(): AsyncGenerator<SubscriptionInfo> {
    for await (const { key } of this.#engine.kv.list({ prefix: ["subscriptions"] })) {
      const info = await this.#subscription(String(key[1])).info();
      if (info) yield info;
    }
  }

  subscription(name: string): Subscription<T> {
    return this.#subscription(text(name, "name"));
  }

  bounds(): Promise<{ readonly first: Offset; readonly next: Offset }> {
    return this.#engine.log.bounds(eventsTopic);
  }

  trim(): Promise<Offset> {
    return trimTopic(this.#engine, this.#settings.retention);
  }

  #subscription(name: string): TopicSubscription<T> {
    return new TopicSubscription<T>(this.#user, this.#engine, this.#settings, name);
  }

  #live(from: Offset, signal: AbortSignal | undefined): AsyncIterable<readonly LogRecord[]> {
    return this.#engine.log.tail(eventsTopic, { from, ...(signal && { signal }) });
  }

  async *#present(start: Offset, signal: AbortSignal | undefined): AsyncGenerator<readonly LogRecord[]> {
    const { next } = await this.bounds();
    for (let from = start; from < next; ) {
      const records = await this.#engine.log.read(eventsTopic, { from, limit: 1000, ...(signal && { signal }) });
      const last = records.at(-1);
      if (last === undefined) return;
      yield records.filter(({ offset }) => offset < next);
      from = last.offset + 1;
    }
  }

  async #prepare(data: T, { id, type, more }: Publication, name: string): Promise<Prepared> {
    // What is kept is what was given; handlers get the schema's output.
    if (this.#settings.schema !== undefined) await validate(this.#settings.schema, data, name);
    const eventId = id ?? this.#ids.next();
    const record: EventRecord = more ? [eventId, type, data, more] : [eventId, type, data];
    let encoded: Encoded;
    try {
      encoded = new Encoded(record);
    } catch (error) {
      // What is wrong is named by its path in the data.
      encodeValue(data, name);
      throw error;
    }
    const bytes = encoded.bytes.length;
    const most = this.#user.limits.valueBytes - recordOverhead;
    if (bytes > most) throw limitExceeded(name, bytes, most, "bytes encoded, with what goes with it");
    return { record, encoded, bytes: bytes + 64, offset: undefined };
  }

  async #write(events: readonly Prepared[]): Promise<void> {
    await using open = this.#engine.begin();
    const first = open.tx.append(
      eventsTopic,
      events.map(({ encoded }) => encoded),
    );
    await open.commit();
    for (const [i, each] of events.entries()) each.offset = offsetIn(first, i);
    this.#sinceTrim += events.length;
    if (this.#sinceTrim < trimEvery) return;
    this.#sinceTrim = 0;
    // Retention is not the business of whoever waits for this event.
    this.trim().catch(() => {});
  }

  #tell([id, type, , more]: EventRecord): void {
    if (!channels.published.hasSubscribers) return;
    channels.published.publish({
      topic: this.name,
      id,
      type,
      headers: more?.headers ?? {},
    } satisfies channels.TopicMessage);
  }
}

/** The offset, unless the answer that held it was lost. */
function offsetIn(first: AfterCommit<Offset>, i: number): Offset | undefined {
  try {
    return first.value + i;
  } catch {
    return undefined;
  }
}

/** Of an event that is written. */
function known({ offset }: Prepared): AfterCommit<Offset> {
  return {
    get value() {
      if (offset !== undefined) return offset;
      throw new Error("the offset was lost with the connection; the event is published");
    },
  };
}

function later(first: AfterCommit<Offset>, i: number): AfterCommit<Offset> {
  return {
    get value() {
      return first.value + i;
    },
  };
}
