import { leasesOf } from "../../coordination/lease/index.ts";
import { InvalidStateError, invalidArgument, limitExceeded, refuseUnknown } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import type { RunReport, ScheduleAdmin, ScheduleInfo } from "./contract.ts";
import { instant, keyOf, whole } from "./definition.ts";
import { keys, type Ran, type RunData, type State } from "./layout.ts";
import type { Runs } from "./runs.ts";
import { nextTick, ticksWithin } from "./ticks.ts";

const mostBackfilled = 10_000;
const mostListed = 1000;
/** Open runs, counted so far. */
const mostCounted = 10_000;
/** What regular ticks come before. */
const backfillPriority = -1;

/** Looking after a schedule. */
export class Admin implements ScheduleAdmin {
  readonly name: string;
  readonly #user: Engine;
  readonly #engine: Engine;
  readonly #runs: Runs;

  constructor(user: Engine, name: string, runs: Runs) {
    this.name = name;
    this.#user = user;
    this.#engine = user.scope("schedule", name);
    this.#runs = runs;
  }

  async next(count = 1): Promise<readonly Date[]> {
    whole(count, "count", 1, mostListed);
    const { definition } = await this.#state();
    const now = await leasesOf(this.#user).now();
    return ticksWithin(definition, now, Number.POSITIVE_INFINITY, count).map((time) => new Date(time));
  }

  async pause(): Promise<void> {
    await this.#change((state) => ({ ...state, paused: true }));
  }

  async resume(): Promise<void> {
    const now = await leasesOf(this.#user).now();
    await this.#change((state) =>
      state.paused ? { ...state, paused: false, after: Math.max(state.after, now) } : state,
    );
  }

  async trigger(options: { readonly data?: unknown; readonly tx?: Transaction } = {}): Promise<string> {
    refuseUnknown(options, ["data", "tx"]);
    const { data, tx } = options;
    const { definition } = await this.#state();
    const time = await leasesOf(this.#user).now();
    const run: RunData = { time, kind: "manual", ...(data !== undefined && { data }) };
    const key = keyOf(definition);
    const { id } = await this.#runs.queue.add(run, { ...(key && { key }), ...(tx && { tx }) });
    return id;
  }

  async backfill(options: {
    readonly from: Date | number;
    readonly to: Date | number;
    readonly order?: "oldest" | "newest";
  }): Promise<number> {
    refuseUnknown(options, ["from", "to", "order"]);
    const { order = "oldest" } = options;
    if (order !== "oldest" && order !== "newest") throw invalidArgument("order", order, '"oldest" or "newest"');
    const [from, to] = [instant(options.from, "from"), instant(options.to, "to")];
    if (from === undefined) throw invalidArgument("from", from, "a date, or milliseconds since the epoch");
    if (to === undefined || to < from) throw invalidArgument("to", options.to, "an instant not before from");
    const { definition } = await this.#state();
    const ticks = ticksWithin(definition, from - 1, to, mostBackfilled + 1);
    if (ticks.length > mostBackfilled) throw limitExceeded("the backfill", ticks.length, mostBackfilled, "ticks");
    if (order === "newest") ticks.reverse();
    const key = keyOf(definition);
    await this.#runs.queue.addMany(
      ticks.map((time) => ({ time, kind: "backfill" })),
      { priority: backfillPriority, ...(key && { key }) },
    );
    return ticks.length;
  }

  async info(): Promise<ScheduleInfo> {
    const { definition, paused, last, begun, skipped, missed } = await this.#state();
    const now = await leasesOf(this.#user).now();
    const { waiting, delayed, blocked, active, dead } = await this.#runs.queue.counts({ upTo: mostCounted });
    const { timing, timeZone, overlap } = definition;
    return {
      name: this.name,
      timing: "cron" in timing ? timing.cron : `every ${timing.every} ms`,
      timeZone,
      overlap,
      paused,
      next: paused ? undefined : nextTick(definition, now),
      last,
      ticks: { begun, skipped, missed },
      runs: { open: waiting + delayed + blocked + active, failed: dead },
    };
  }

  async history(options: { readonly limit?: number } = {}): Promise<readonly RunReport[]> {
    refuseUnknown(options, ["limit"]);
    const limit = whole(options.limit ?? 100, "limit", 1, mostListed);
    const { left } = await this.#state();
    const reports: RunReport[] = left.map(({ time, outcome, at }) => ({
      id: "",
      time,
      kind: "scheduled",
      outcome,
      attempts: 0,
      ended: at,
    }));
    const ran = this.#engine.kv.list<Ran>({ prefix: ["ran"] }, { reverse: true, limit });
    for await (const { key, value } of ran)
      reports.push({ id: key[2] as string, time: key[1] as number, outcome: "done", ...value });
    for await (const { id, data, history, failures = 0, ended = 0 } of this.#runs.queue.deadLetters.list({ limit })) {
      if (!data) continue;
      const error = history?.at(-1)?.message;
      const { time, kind } = data;
      reports.push({ id, time, kind, outcome: "failed", attempts: failures, ended, ...(error && { error }) });
    }
    return reports.sort((a, b) => b.time - a.time || b.ended - a.ended).slice(0, limit);
  }

  async #state(): Promise<State> {
    const entry = await this.#engine.kv.get<State>(keys.state);
    if (entry === undefined) throw new InvalidStateError(`there is no schedule ${JSON.stringify(this.name)}`);
    return entry.value;
  }

  async #change(to: (state: State) => State): Promise<void> {
    await this.#engine.transact(async (tx) => {
      const state = await tx.get<State>(keys.state);
      if (state === undefined) throw new InvalidStateError(`there is no schedule ${JSON.stringify(this.name)}`);
      const next = to(state);
      if (next !== state) tx.set(keys.state, next);
    });
  }
}
