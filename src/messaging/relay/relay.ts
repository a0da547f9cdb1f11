import {
  type Duration,
  fullJitter,
  invalidArgument,
  isAshlarError,
  refuseUnknown,
  toMilliseconds,
} from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createQueue, type Job, type JobContext, type Queue, type Verdict, type Worker } from "../queue/index.ts";
import * as channels from "./channels.ts";
import type {
  Deliver,
  DeliverContext,
  Outgoing,
  Relay,
  RelayOptions,
  RunOptions,
  SendOptions,
  Sent,
} from "./contract.ts";
import { Stopped } from "./stopping.ts";

const day = 24 * 3600 * 1000;
const names = ["deliver", "retry", "rateLimit", "concurrency", "timeout", "lease", "remember"];
/** An id becomes part of a header and of a signed text, whose parts are divided by dots. */
const sendable = /^[\x21-\x2d\x2f-\x7e]{1,200}$/;

/**
 * A relay to one receiver, or one kind of receivers. Its messages wait in the queue `relay:<name>` of this engine. `rateLimit` and `concurrency` are to be the same wherever it is used.
 * @param name 1 to 190 characters
 * @throws InvalidArgumentError an option is wrong
 */
export function createRelay<T = unknown>(engine: Engine, name: string, options: RelayOptions<T>): Relay<T> {
  if (typeof name !== "string" || name.length === 0 || name.length > 190)
    throw invalidArgument("name", name, "a text of 1 to 190 characters");
  refuseUnknown(options, names);
  const { deliver, retry = {}, rateLimit, concurrency, timeout = "10m", lease, remember } = options;
  if (typeof deliver !== "function") throw invalidArgument("deliver", deliver, "a function, such as webhook({ url })");
  const { attempts = 16, backoff = { base: "5s", cap: "12h" } } = retry;
  const queue = createQueue<Outgoing<T>>(engine, `relay:${name}`, {
    retry: { ...retry, attempts, backoff },
    classify: (error, job) => classify(error, job, engine, backoff),
    ...(rateLimit !== undefined && { rateLimit }),
    ...(concurrency !== undefined && { concurrency }),
    ...(lease !== undefined && { lease }),
  });
  return new EngineRelay<T>(engine, name, queue, {
    deliver,
    timeout: toMilliseconds(timeout, "timeout", { min: 1, max: day }),
    remember: remember === undefined ? undefined : toMilliseconds(remember, "remember", { min: 1000, max: 3650 * day }),
  });
}

interface Settings<T> {
  readonly deliver: Deliver<T>;
  readonly timeout: number;
  readonly remember: number | undefined;
}

class EngineRelay<T> implements Relay<T> {
  readonly name: string;
  readonly queue: Queue<Outgoing<T>>;
  readonly #engine: Engine;
  readonly #settings: Settings<T>;

  constructor(engine: Engine, name: string, queue: Queue<Outgoing<T>>, settings: Settings<T>) {
    this.#engine = engine;
    this.name = name;
    this.queue = queue;
    this.#settings = settings;
  }

  async send(message: T, options: SendOptions = {}): Promise<Sent> {
    refuseUnknown(options, ["tx", "id", "key", "delay", "expires", "headers", "signal"]);
    const { id, ...rest } = options;
    if (message === undefined) throw invalidArgument("message", message, "anything but undefined");
    if (id === undefined) {
      const { id: job } = await this.queue.add({ message }, rest);
      return { id: job, job };
    }
    if (typeof id !== "string" || !sendable.test(id))
      throw invalidArgument("id", id, "1 to 200 printable ASCII characters without spaces and dots");
    const { remember } = this.#settings;
    const dedupe = remember === undefined ? id : { key: id, window: remember };
    const added = await this.queue.add({ message, id }, { ...rest, dedupe });
    return { id, job: added.id, ...(added.duplicate && { duplicate: true }) };
  }

  run(options: RunOptions = {}): Worker {
    refuseUnknown(options, ["concurrency", "drain", "signal"]);
    return this.queue.work((job, context) => this.#deliver(job, context), {
      ...options,
      timeout: this.#settings.timeout,
      // A delivery takes long beside taking a job, and what is taken ahead waits for this process alone.
      prefetch: 0,
    });
  }

  async #deliver(job: Job<Outgoing<T>>, context: JobContext): Promise<void> {
    const { message, id = job.id } = job.data;
    const about: DeliverContext = {
      id,
      attempt: job.attempt,
      signal: context.signal,
      get tx() {
        return context.tx;
      },
      key: job.key,
      headers: job.headers,
      sent: job.added,
      runtime: this.#engine.runtime,
    };
    try {
      await this.#settings.deliver(message, about);
    } catch (error) {
      this.#tell(channels.failed, about, error);
      if (error instanceof Stopped) {
        await this.queue.pause();
        this.#tell(channels.stopped, about, error);
      }
      throw error;
    }
    this.#tell(channels.delivered, about);
  }

  #tell(channel: typeof channels.failed, { id, attempt }: DeliverContext, error?: unknown): void {
    if (!channel.hasSubscribers) return;
    const about = { relay: this.name, id, attempt };
    channel.publish((error === undefined ? about : { ...about, error }) satisfies channels.RelayMessage);
  }
}

/**
 * A receiver that asks for a pause gets it, but none shorter than the backoff: asking for a second each time must not use up all attempts within a minute.
 */
function classify(
  error: unknown,
  job: Job<unknown>,
  { runtime }: Engine,
  backoff: NonNullable<NonNullable<RelayOptions<unknown>["retry"]>["backoff"]>,
): Verdict {
  const asked = isAshlarError(error) ? error.details["retryAfterMs"] : undefined;
  if (typeof asked !== "number" || !(asked > 0) || !Number.isFinite(asked)) return "retry";
  const own =
    typeof backoff === "function"
      ? toMilliseconds(backoff(job.attempt, error), "backoff")
      : floorOf(backoff, job.attempt);
  // Spread out, so that all who were asked the same do not come back at once.
  return { retryAfter: Math.max(asked, own) + fullJitter(runtime, 0, { base: 1000, cap: 1000 }) };
}

function floorOf(
  { base = "1s", cap = "1h" }: { readonly base?: Duration; readonly cap?: Duration },
  attempt: number,
): number {
  return Math.min(toMilliseconds(cap, "cap"), toMilliseconds(base, "base") * 2 ** (attempt - 1)) / 2;
}
