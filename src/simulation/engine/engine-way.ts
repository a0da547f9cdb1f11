import { OutcomeUnknownError, UnavailableError } from "../../core/index.ts";
import { createDice } from "../dice.ts";
import type { FaultPlan } from "../fault-plan.ts";
import type { Incarnation } from "../incarnation.ts";
import type { Links } from "../network/links.ts";
import type { Trace } from "../trace.ts";

/** The name of the engine's server among the machines. */
export const engineHost = "engine";

/** How long a client waits for an answer that does not come. */
const answerTimeoutMs = 3_000;
/** A commit that arrives late does so within this time; what settles unknown outcomes must hold for it. */
const latestArrivalMs = 2_000;

export interface EngineWayOptions {
  readonly seed: number;
  readonly machine: string;
  readonly client: Incarnation;
  readonly server: Incarnation;
  readonly links: Links;
  readonly plan: FaultPlan;
  readonly trace: Trace;
  /** Shortest and mean milliseconds that the server needs for a call. */
  readonly service: readonly [shortest: number, mean: number];
}

/**
 * The way of calls from one process to the engine's server and back, with everything that can happen on it. A call that is under
 * way when its caller dies still arrives.
 */
export class EngineWay {
  readonly #options: EngineWayOptions;
  readonly #dice;
  readonly #slow;
  readonly #refused;
  readonly #requestLost;
  readonly #replyLost;
  readonly #late;
  readonly #there;
  readonly #back;

  constructor(options: EngineWayOptions) {
    const { machine, plan, links, seed } = options;
    this.#options = options;
    this.#dice = createDice(seed, `engine calls of ${machine}`);
    this.#slow = plan.site("engine-slow", machine);
    this.#refused = plan.site("engine-refused", machine);
    this.#requestLost = plan.site("engine-request-lost", machine);
    this.#replyLost = plan.site("engine-reply-lost", machine);
    this.#late = plan.site("engine-late", machine);
    this.#there = links.link(machine, engineHost);
    this.#back = links.link(engineHost, machine);
  }

  /**
   * Runs `effect` on the server and resolves with its result, on the client, later.
   * @param kind a commit whose answer is lost is of unknown outcome; a read can simply be asked again
   */
  call<T>(kind: "read" | "commit", effect: () => T | Promise<T>): Promise<T> {
    const { client, server } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const failIn = (ms: number, error: Error): void => void client.schedule(ms, this.#back.label, () => reject(error));
    if (this.#refused.strikes()) {
      failIn(this.#there.latency(), new UnavailableError("the engine refused the connection"));
      return promise;
    }
    if (this.#there.cut) {
      // Half of the clients know that they have no connection, the others wait in vain.
      if (this.#dice.hits(0.5)) failIn(this.#there.latency(), new UnavailableError("the engine cannot be reached"));
      else failIn(answerTimeoutMs, noAnswer(kind));
      return promise;
    }
    if (this.#requestLost.strikes()) {
      failIn(this.#lossNoticed(), noAnswer(kind));
      return promise;
    }
    const late = kind === "commit" && this.#late.strikes();
    const arrival = late ? this.#late.dice.between(1, latestArrivalMs) : this.#there.latency() + this.#serviceTime();
    if (late) failIn(this.#late.dice.between(0, arrival), noAnswer(kind));
    const sentAt = client.trueNow;
    server.schedule(arrival, this.#there.label, () => {
      this.#there.arrived?.(sentAt, kind);
      void this.#serve(kind, effect, { resolve, failIn, answered: late });
    });
    return promise;
  }

  /** Delivers something from the server to the client, in the order of the calls of one `channel`. */
  deliver(channel: { tail: number }, run: () => void): void {
    const { client } = this.#options;
    const now = client.trueNow;
    channel.tail = Math.max(channel.tail + 1e-6, now + this.#back.latency());
    client.schedule(channel.tail - now, this.#back.label, run);
  }

  get machine(): string {
    return this.#options.machine;
  }

  /** Whether what the server sends does not arrive now. */
  get cutBack(): boolean {
    return this.#back.cut;
  }

  async #serve<T>(
    kind: "read" | "commit",
    effect: () => T | Promise<T>,
    {
      resolve,
      failIn,
      answered,
    }: { resolve: (value: T) => void; failIn: (ms: number, error: Error) => void; answered: boolean },
  ): Promise<void> {
    const { client } = this.#options;
    let result: T;
    try {
      result = await effect();
    } catch (error) {
      if (!answered) failIn(this.#back.latency(), error as Error);
      return;
    }
    if (answered) return;
    if (this.#back.cut) failIn(answerTimeoutMs, noAnswer(kind));
    else if (this.#replyLost.strikes()) failIn(this.#lossNoticed(), noAnswer(kind));
    else {
      const sentAt = client.trueNow;
      client.schedule(this.#back.latency(), this.#back.label, () => {
        this.#back.arrived?.(sentAt, `answer to a ${kind}`);
        resolve(result);
      });
    }
  }

  /** A connection that breaks is noticed at once, an answer that fails to come after a while. */
  #lossNoticed(): number {
    return this.#dice.hits(0.7) ? this.#there.latency() + this.#back.latency() : answerTimeoutMs;
  }

  #serviceTime(): number {
    const [shortest, mean] = this.#options.service;
    const usual = shortest + this.#dice.exponential(mean - shortest);
    return this.#slow.strikes() ? usual * this.#slow.dice.between(10, 100) : usual;
  }
}

function noAnswer(kind: "read" | "commit"): Error {
  return kind === "commit"
    ? new OutcomeUnknownError("the engine's answer to the commit was lost")
    : new UnavailableError("the engine's answer was lost");
}
