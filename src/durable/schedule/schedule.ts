import { isDeepStrictEqual } from "node:util";
import { leasesOf, patiently } from "../../coordination/lease/index.ts";
import { type Closer, createCloser, invalidArgument } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import type { Worker } from "../../messaging/queue/index.ts";
import { Admin } from "./admin.ts";
import type { RunReport, Schedule, ScheduleAdmin, ScheduleInfo, ScheduleOptions, TickHandler } from "./contract.ts";
import { type Definition, toDefinition, toRunSettings } from "./definition.ts";
import { keys, type State } from "./layout.ts";
import { queueOf, Runs, workOff } from "./runs.ts";
import { Ticker } from "./ticker.ts";

/**
 * A schedule, and this process's part in it: ticks are begun by whichever process is first, and their runs carried out by any. The definition that was given last, by whichever process, is in force.
 * @param name 1 to 150 characters; its runs are jobs of the queue `schedule/<name>`
 * @param handler of runs, one for each tick
 * @throws InvalidArgumentError
 */
export function createSchedule(engine: Engine, name: string, options: ScheduleOptions, handler: TickHandler): Schedule {
  assertName(name);
  if (typeof handler !== "function") throw invalidArgument("handler", handler, "a function of a tick and a context");
  return new EngineSchedule(engine, name, options, handler);
}

/**
 * A schedule as it is in the store, to look after it from anywhere. What is asked of one that is not there is refused with `InvalidStateError`.
 * @throws InvalidArgumentError
 */
export function openSchedule(engine: Engine, name: string): ScheduleAdmin {
  assertName(name);
  return new Admin(engine, name, new Runs(queueOf(engine, name), name));
}

function assertName(name: unknown): asserts name is string {
  if (typeof name !== "string" || name.length === 0 || name.length > 150)
    throw invalidArgument("name", name, "a text of 1 to 150 characters");
}

class EngineSchedule implements Schedule {
  readonly name: string;
  readonly done: Promise<void>;
  readonly #user: Engine;
  readonly #engine: Engine;
  readonly #admin: Admin;
  readonly #stop = new AbortController();
  readonly #closer: Closer;
  readonly #isDefined: Promise<void>;

  constructor(user: Engine, name: string, options: ScheduleOptions, handler: TickHandler) {
    const definition = toDefinition(options);
    const settings = toRunSettings(options);
    this.name = name;
    this.#user = user;
    this.#engine = user.scope("schedule", name);
    const queue = queueOf(user, name, settings);
    const runs = new Runs(queue, name);
    this.#admin = new Admin(user, name, runs);
    const { signal: stopped } = this.#stop;
    this.#isDefined = patiently(this.#engine, () => this.#define(definition), stopped);
    const ticker = new Ticker({ name, user, engine: this.#engine, runs }, stopped);
    const parts = { user, engine: this.#engine, queue, settings, overlap: definition.overlap };
    const life = this.#live(ticker, () => workOff(parts, handler));
    const stop = (): void => void this.close();
    this.#closer = createCloser(async () => {
      options.signal?.removeEventListener("abort", stop);
      this.#stop.abort(new DOMException("the schedule was closed", "AbortError"));
      await life.catch(() => {});
    }, `the schedule ${name}`);
    this.done = life.then(() => this.#closer.close());
    // Whoever does not ask is not to be brought down by it.
    this.done.catch(() => {});
    if (options.signal?.aborted) stop();
    else options.signal?.addEventListener("abort", stop, { once: true });
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async next(count?: number): Promise<readonly Date[]> {
    await this.#isDefined;
    return await this.#admin.next(count);
  }

  async pause(): Promise<void> {
    await this.#isDefined;
    await this.#admin.pause();
  }

  async resume(): Promise<void> {
    await this.#isDefined;
    await this.#admin.resume();
  }

  async trigger(options?: { readonly data?: unknown; readonly tx?: Transaction }): Promise<string> {
    await this.#isDefined;
    return await this.#admin.trigger(options);
  }

  async backfill(options: Parameters<ScheduleAdmin["backfill"]>[0]): Promise<number> {
    await this.#isDefined;
    return await this.#admin.backfill(options);
  }

  async info(): Promise<ScheduleInfo> {
    await this.#isDefined;
    return await this.#admin.info();
  }

  async history(options?: { readonly limit?: number }): Promise<readonly RunReport[]> {
    await this.#isDefined;
    return await this.#admin.history(options);
  }

  async #live(ticker: Ticker, work: () => Worker): Promise<void> {
    try {
      await this.#isDefined;
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      throw error;
    }
    await using worker = work();
    await Promise.race([ticker.run(), worker.done]);
  }

  /** Puts the definition in force. What of the ticks was dealt with stays so. */
  async #define(definition: Definition): Promise<void> {
    const { kv } = this.#engine;
    const now = await leasesOf(this.#user).now();
    for (;;) {
      const entry = await kv.get<State>(keys.state);
      if (entry && isDeepStrictEqual(entry.value.definition, definition)) return;
      const fresh = { after: now, paused: false, begun: 0, skipped: 0, missed: 0, left: [] };
      const state: State = { ...(entry?.value ?? fresh), definition };
      const checks = [{ key: keys.state, version: entry?.version }];
      if ((await kv.tryCommit({ checks, mutations: [{ set: keys.state, value: state }] })).ok) return;
    }
  }
}
