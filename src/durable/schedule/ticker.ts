import { leasesOf, patiently } from "../../coordination/lease/index.ts";
import { fullJitter, isAshlarError, sleep } from "../../core/index.ts";
import type { Engine, Version } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import type { Definition } from "./definition.ts";
import { keys, type LeftOut, type State } from "./layout.ts";
import type { Runs } from "./runs.ts";
import { nextTick, ticksWithin } from "./ticks.ts";

/** Of those that were not begun, so many are remembered. */
const mostLeft = 20;
/** Ticks that nobody saw are counted so far in one go. */
const mostMissed = 10_000;
/** Ticks in one commit. */
const mostBegun = 50;
/** Operations of a run that is added, at most. */
const operationsEach = 6;
/** The engine's clock is looked at again after so many milliseconds, however far the next tick is: clocks drift. */
const longestRest = 3_600_000;

export interface Known {
  readonly state: State;
  readonly version: Version;
}

/** Begins ticks when they are due, like every other process that takes part; of each tick one commit holds. */
export class Ticker {
  readonly #name: string;
  readonly #user: Engine;
  readonly #engine: Engine;
  readonly #runs: Runs;
  readonly #signal: AbortSignal;
  #known: Known | undefined;
  /** Ends the present rest. */
  #rest = new AbortController();

  constructor(
    {
      name,
      user,
      engine,
      runs,
    }: {
      readonly name: string;
      readonly user: Engine;
      readonly engine: Engine;
      readonly runs: Runs;
    },
    signal: AbortSignal,
  ) {
    this.#name = name;
    this.#user = user;
    this.#engine = engine;
    this.#runs = runs;
    this.#signal = signal;
  }

  /** Until the signal; rejects if the engine is closed before. */
  async run(): Promise<void> {
    const stop = (): void => this.#rest.abort();
    this.#signal.addEventListener("abort", stop, { once: true });
    try {
      await Promise.all([patiently(this.#engine, () => this.#follow(), this.#signal), this.#tick()]);
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    } finally {
      this.#signal.removeEventListener("abort", stop);
    }
  }

  /** What others do to the state. */
  async #follow(): Promise<void> {
    const signal = this.#signal;
    for await (const [change] of this.#engine.kv.watch<State>({ key: keys.state }, { signal })) {
      if (change === undefined) continue;
      this.#known = change.deleted ? undefined : { state: change.value, version: change.version };
      this.#rest.abort();
    }
  }

  async #tick(): Promise<void> {
    const { runtime } = this.#engine;
    for (let failures = 0; !this.#signal.aborted; ) {
      this.#rest = new AbortController();
      let ms: number | undefined;
      try {
        ms = await this.#advance();
        failures = 0;
      } catch (error) {
        if (this.#signal.aborted) return;
        if (isAshlarError(error, "CLOSED")) throw error;
        if (channels.trouble.hasSubscribers)
          channels.trouble.publish({ schedule: this.#name, error } satisfies channels.TroubleMessage);
        ms = 1 + fullJitter(runtime, failures++, { base: 10, cap: 1000 });
        this.#known = undefined;
      }
      if (ms === 0 || this.#signal.aborted) continue;
      const { signal } = this.#rest;
      await sleep(runtime, Math.min(ms ?? longestRest, longestRest), { signal, ref: false }).catch(() => {});
    }
  }

  /** Begins what is due. Returns how long there is nothing to do; `undefined`: nothing as things stand. */
  async #advance(): Promise<number | undefined> {
    const known = this.#known ?? (await this.#read());
    if (known === undefined || known.state.paused) return undefined;
    const { state } = known;
    const { definition, after } = state;
    const now = await leasesOf(this.#user).now();
    const horizon = Math.max(after, now - definition.catchUp);
    const missed = horizon === after ? [] : ticksWithin(definition, after, horizon, mostMissed);
    const due = ticksWithin(definition, horizon, now, this.#most());
    if (missed.length === 0 && due.length === 0) {
      const next = nextTick(definition, now);
      return next === undefined ? undefined : Math.max(1, Math.ceil(next - now));
    }
    await this.#begin(known, { missed, due, horizon, now });
    return 0;
  }

  async #begin(
    { state, version }: Known,
    {
      missed,
      due,
      horizon,
      now,
    }: {
      readonly missed: readonly number[];
      readonly due: readonly number[];
      readonly horizon: number;
      readonly now: number;
    },
  ): Promise<void> {
    const { definition } = state;
    const begun = await this.#admitted(due, definition);
    const skipped = due.filter((time) => !begun.includes(time));
    const left: LeftOut[] = [
      ...missed.map((time) => ({ time, outcome: "missed", at: now }) as const),
      ...skipped.map((time) => ({ time, outcome: "skipped", at: now }) as const),
    ];
    const last = begun.at(-1) ?? state.last;
    const next: State = {
      ...state,
      after: due.at(-1) ?? horizon,
      ...(last !== undefined && { last }),
      begun: state.begun + begun.length,
      skipped: state.skipped + skipped.length,
      missed: state.missed + missed.length,
      left: [...state.left, ...left].slice(-mostLeft),
    };
    await using open = this.#user.begin();
    const tx = this.#engine.join(open.tx);
    tx.check({ key: keys.state, version });
    tx.set(keys.state, next);
    const ticks = begun.map((time) => ({ time, kind: "scheduled" }) as const);
    await this.#runs.add(open.tx, ticks, definition, now);
    // Until it is known what is there now.
    this.#known = undefined;
    if (!(await open.commit())) return;
    for (const time of begun) this.#tell(channels.begun, time);
    for (const time of skipped) this.#tell(channels.skipped, time);
    for (const time of missed) this.#tell(channels.missed, time);
  }

  /** Which of the ticks that are due begin. */
  async #admitted(due: readonly number[], { overlap, maxQueued }: Definition): Promise<readonly number[]> {
    const last = due.at(-1);
    if (last === undefined) return [];
    if (overlap === "skip") return (await this.#runs.open(1)) > 0 ? [] : due.slice(0, 1);
    if (overlap === "cancel") {
      await this.#runs.cancelBefore(last);
      return [last];
    }
    const room = maxQueued - (await this.#runs.open(maxQueued));
    return due.slice(0, Math.max(0, room));
  }

  #most(): number {
    return Math.min(mostBegun, Math.floor((this.#engine.limits.operations - 10) / operationsEach));
  }

  async #read(): Promise<Known | undefined> {
    const entry = await this.#engine.kv.get<State>(keys.state);
    this.#known = entry && { state: entry.value, version: entry.version };
    return this.#known;
  }

  #tell(channel: typeof channels.begun, time: number): void {
    if (channel.hasSubscribers)
      channel.publish({ schedule: this.#name, time, kind: "scheduled" } satisfies channels.TickMessage);
  }
}
