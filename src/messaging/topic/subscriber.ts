import { patiently } from "../../coordination/lease/index.ts";
import type { Duration } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { type Job, LaneConsumer, park, type QueueOptions, type Worker } from "../queue/index.ts";
import type { EventHandler, From, SubscribeOptions, Subscriber } from "./contract.ts";
import { fromKept, laneOf, read } from "./event-record.ts";
import { splitOptions, type TopicSettings, toChoice } from "./options.ts";
import { TopicSubscription } from "./subscription.ts";
import { subscriptionScope, trimTopic } from "./trim.ts";

export interface SubscriberParts<T> {
  readonly user: Engine;
  readonly engine: Engine;
  readonly settings: TopicSettings<T>;
  readonly name: string;
  readonly handler: EventHandler<T>;
  readonly options: SubscribeOptions<T>;
}

/** Handles a subscription's events in this process. */
export class TopicSubscriber<T> implements Subscriber {
  readonly name: string;
  readonly ready: Promise<void>;
  readonly done: Promise<void>;
  readonly #worker: Promise<Worker>;
  #working: Worker | undefined;
  readonly #stop = new AbortController();

  constructor(parts: SubscriberParts<T>) {
    const { user, engine, settings, name, handler, options } = parts;
    const { work, consumer: limits } = splitOptions(options);
    this.name = name;
    const lane = laneOf(engine, {
      inOrder: options.order === "key",
      wants: toChoice(settings.topic, options.types, options.filter),
      forget: async () => void (await trimTopic(engine, settings.retention)),
    });
    const { classify } = options;
    const judged: QueueOptions<never> = {
      ...limits,
      ...(classify && {
        classify: (error: unknown, job: Job<never>) => classify(error, fromKept(settings.topic, job.data) as never),
      }),
    };
    const consumer = new LaneConsumer(user, subscriptionScope(engine, name), lane, `${settings.topic}/${name}`, judged);
    const begin = () => this.#begin(parts, consumer, options.from ?? "end");
    this.#worker = patiently(engine, begin, this.#stop.signal).then(() => {
      const worker = consumer.work(async (job, context) => {
        const event = await read(fromKept(settings.topic, job.data), settings).catch((error: unknown) => {
          // They will not satisfy it the next time either.
          throw park(error instanceof Error ? error.message : String(error), { cause: error });
        });
        return await handler(event, {
          get tx() {
            return context.tx;
          },
          signal: context.signal,
          attempt: job.attempt,
          history: job.history,
        });
      }, work);
      this.#working = worker;
      return worker;
    });
    this.ready = this.#worker.then(() => {});
    this.ready.catch(() => {});
    this.done = this.#worker.then(
      (worker) => worker.done,
      (error) => {
        if (!this.#stop.signal.aborted) throw error;
      },
    );
    this.done.catch(() => {});
  }

  get running(): number {
    return this.#working?.running ?? 0;
  }

  async close(options: { readonly drain?: Duration } = {}): Promise<void> {
    this.#stop.abort();
    const worker = await this.#worker.catch(() => undefined);
    await worker?.close(options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The subscription is made known before it has a position, so that no retention overlooks it. */
  async #begin(
    { user, engine, settings, name }: SubscriberParts<T>,
    consumer: LaneConsumer<unknown>,
    from: From,
  ): Promise<void> {
    await engine.kv.set(["subscriptions", name], true);
    if ((await consumer.position()) !== undefined) return;
    const subscription = new TopicSubscription<T>(user, engine, settings, name);
    await consumer.begin(await subscription.offsetOf(from));
  }
}
