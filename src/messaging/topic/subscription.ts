import { invalidArgument } from "../../core/index.ts";
import type { Engine, Offset } from "../../engine/index.ts";
import { type Counts, LaneConsumer } from "../queue/index.ts";
import type { DeadEvent, DeadEvents, From, Subscription, SubscriptionInfo } from "./contract.ts";
import { eventsTopic, fromKept, laneOf, read } from "./event-record.ts";
import { assertFrom, type TopicSettings } from "./options.ts";
import { firstSince, subscriptionScope, trimTopic } from "./trim.ts";

/** A durable subscription from outside. */
export class TopicSubscription<T> implements Subscription<T> {
  readonly name: string;
  readonly deadLetters: DeadEvents<T>;
  readonly #engine: Engine;
  readonly #scope: Engine;
  readonly #settings: TopicSettings<T>;
  readonly #consumer: LaneConsumer<unknown>;

  constructor(user: Engine, engine: Engine, settings: TopicSettings<T>, name: string) {
    this.name = name;
    this.#engine = engine;
    this.#settings = settings;
    this.#scope = subscriptionScope(engine, name);
    const forget = async () => void (await trimTopic(engine, settings.retention));
    // How it orders and chooses is known to its subscribers only; from outside, every event is looked at.
    const lane = laneOf(engine, { inOrder: false, wants: () => true, forget });
    this.#consumer = new LaneConsumer(user, this.#scope, lane, `${settings.topic}/${name}`, {});
    this.deadLetters = {
      list: (options) => this.#listDead(options),
      redrive: (options) => this.#consumer.admin.redrive(options),
      delete: (id) => this.#consumer.admin.delete(id),
    };
  }

  async info(): Promise<SubscriptionInfo | undefined> {
    const position = await this.#consumer.position();
    if (position === undefined) return undefined;
    const { next } = await this.#engine.log.bounds(eventsTopic);
    const [oldest] = position < next ? await this.#engine.log.read(eventsTopic, { from: position, limit: 1 }) : [];
    const behindMs = oldest ? Math.max(0, (await this.#engine.now()) - oldest.time) : 0;
    return { name: this.name, position, lag: Math.max(0, next - position), behindMs };
  }

  counts(): Promise<Counts> {
    return this.#consumer.admin.counts({});
  }

  async seek(from: From): Promise<void> {
    assertFrom(from);
    if ((await this.#consumer.position()) === undefined)
      throw invalidArgument("name", this.name, "a subscription that exists: subscribe first");
    await this.#consumer.seek(await this.offsetOf(from));
  }

  pause(): Promise<void> {
    return this.#consumer.admin.pause();
  }

  resume(): Promise<void> {
    return this.#consumer.admin.resume();
  }

  async delete(): Promise<void> {
    await this.#engine.kv.delete(["subscriptions", this.name]);
    const { operations } = this.#engine.limits;
    for (;;) {
      const page = await Array.fromAsync(this.#scope.kv.list({ prefix: [] }, { limit: operations }));
      if (page.length === 0) return;
      await this.#scope.kv.commit({ mutations: page.map(({ key }) => ({ delete: key })) });
    }
  }

  /** The offset that it means now. */
  async offsetOf(from: From): Promise<Offset> {
    const { first, next } = await this.#engine.log.bounds(eventsTopic);
    if (from === "start") return first;
    if (from === "end") return next;
    if ("offset" in from) return Math.min(Math.max(first, from.offset), next);
    return await firstSince(this.#engine, first, next, Number(from.time));
  }

  async *#listDead(options?: { readonly limit?: number; readonly signal?: AbortSignal }): AsyncGenerator<DeadEvent<T>> {
    for await (const info of this.#consumer.admin.list(options)) {
      const plain = fromKept(this.#settings.topic, info.data);
      // What is dead because its data are wrong is shown as it is.
      const event = await read(plain, this.#settings).catch(() => plain as DeadEvent<T>["event"]);
      yield {
        event,
        reason: info.reason ?? "attempts",
        history: info.history ?? [],
        at: info.ended ?? 0,
        id: info.id,
      };
    }
  }
}
