import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../../simulation/index.ts";
import { createSchedule, type Overlap, openSchedule, type ScheduleOptions } from "../index.ts";

/**
 * Three processes take part in two schedules; they come and go, die, stand still, or are cut off. Clients trigger runs, and ask for runs of ticks long gone; one of the schedules is paused now and then. Runs
 * fail and take long.
 *
 * Invariants: a tick takes effect once at most, and not before its time. Afterwards of the schedule that is never paused each tick since its beginning has had its effect, and every run that was asked for
 * for sure, too; the other ticks again.
 */
export const schedule: Scenario = {
  name: "schedule",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { worker: { count: 3, start: work } },
  workload: { clients: 2, operations: 10, think: 1500, operation },
  budget: { faults: "25s", heal: "120s" },
  invariants: { "a tick takes effect once at most, and not early": atMostOnce },
  eventually: { "every tick has had its effect": allRan, "the schedule that was paused ticks": ticksAgain },
};

const second = 1000;
/** Owners know the engine's clock to half a round trip, which faults may make long. */
const slack = 1000;

interface Book {
  /** Of the schedule that is paused. */
  readonly overlap: Overlap;
  /** Surely triggered. */
  readonly triggered: Set<string>;
  readonly backfilled: Set<number>;
}

const bookOf = ({ state }: Pick<World, "state">) => state.get("book") as Book;

/** Whoever comes first draws. */
function setup({ runtime, state }: SimulatedNode): void {
  if (state.has("book")) return;
  const overlaps: readonly Overlap[] = ["queue", "skip", "cancel", "allow"];
  const overlap = overlaps[Math.floor(runtime.random.next() * overlaps.length)] as Overlap;
  state.set("book", { overlap, triggered: new Set(), backfilled: new Set() } satisfies Book);
}

function work(node: SimulatedNode): void {
  const { engine, runtime } = node;
  const { random } = runtime;
  setup(node);
  const begin = (name: string, options: ScheduleOptions) =>
    createSchedule(engine, name, options, async ({ id, time, kind }, { tx, signal }) => {
      if (random.next() < 0.1) await sleep(runtime, random.next() * (random.next() < 0.1 ? 4000 : 300), { signal });
      if (random.next() < 0.1) throw new Error("flaky");
      const now = await engine.now();
      assert.ok(kind === "manual" || now >= time - slack, `${name}: the tick of ${time} at ${now}`);
      tx.add(["effect", name, kind, time, id], 1);
      if (random.next() < 0.05) throw new Error("flaky after its writes");
    });
  const rules = { every: second, lease: "2s", drain: "500ms", retry: { attempts: 1000, base: 20, cap: 200 } } as const;
  void (async () => {
    const { overlap } = bookOf(node);
    for (;;) {
      const steady = begin("steady", { ...rules, catchUp: Number.POSITIVE_INFINITY });
      const moody = begin("moody", { ...rules, overlap });
      await sleep(runtime, 2000 + random.next() * 15_000);
      await Promise.all([steady.close(), moody.close()]);
    }
  })();
}

async function operation(client: SimulatedClient): Promise<void> {
  const { engine, runtime } = client;
  const { random } = runtime;
  const { triggered, backfilled } = bookOf(client);
  const moody = openSchedule(engine, "moody");
  const steady = openSchedule(engine, "steady");
  const dice = random.next();
  try {
    if (dice < 0.25) {
      await moody.pause();
      await sleep(runtime, random.next() * 4000);
    } else if (dice < 0.5) triggered.add(await steady.trigger());
    else if (dice < 0.75) {
      const from = Math.floor(random.next() * 1_000_000) * second;
      await steady.backfill({ from, to: from + 2 * second });
      for (let i = 0; i < 3; i++) backfilled.add(from + i * second);
    } else if (dice < 0.9) await moody.info();
    else await steady.history();
  } catch (error) {
    // Nobody has begun it yet.
    if (!isAshlarError(error, "INVALID_STATE")) throw error;
  } finally {
    await surely(client, () => moody.resume());
  }
}

async function surely(client: SimulatedClient, act: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (isAshlarError(error, "INVALID_STATE")) return;
      if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) throw error;
    }
    await sleep(client.runtime, 200);
  }
}

interface Effect {
  readonly name: string;
  readonly kind: string;
  readonly time: number;
  readonly id: string;
}

async function effects({ engine }: World): Promise<Effect[]> {
  const found: Effect[] = [];
  for await (const { key, value } of engine.kv.list<number>({ prefix: ["effect"] })) {
    const [, name, kind, time, id] = key as [string, string, string, number, string];
    assert.equal(value, 1, `${name}, ${kind} ${time} took effect ${value} times`);
    found.push({ name, kind, time, id });
  }
  return found;
}

async function atMostOnce(world: World): Promise<void> {
  const seen = new Set<string>();
  for (const { name, kind, time } of await effects(world)) {
    if (kind !== "scheduled") continue;
    assert.ok(!seen.has(`${name} ${time}`), `${name}: two runs for the tick of ${time}`);
    seen.add(`${name} ${time}`);
  }
}

async function allRan(world: World): Promise<boolean> {
  const steady = (await effects(world)).filter(({ name }) => name === "steady");
  const times = steady.filter(({ kind }) => kind === "scheduled").map(({ time }) => time);
  assert.ok(times.length > 0, "no tick has had an effect");
  for (const [i, time] of times.entries())
    if (i > 0) assert.equal(time - (times[i - 1] as number), second, `no effect of the tick of ${time - second}`);
  const latest = times.at(-1) as number;
  const now = await world.engine.now();
  assert.ok(now - latest < 10 * second, `the latest effect is of ${latest}, and it is ${now}`);
  const ids = new Set(steady.map(({ id }) => id));
  const { triggered, backfilled } = bookOf(world);
  for (const id of triggered) assert.ok(ids.has(id), `the run ${id} was never made`);
  const past = new Set(steady.filter(({ kind }) => kind === "backfill").map(({ time }) => time));
  for (const time of backfilled) assert.ok(past.has(time), `there was no backfill of ${time}`);
  const info = await openSchedule(world.engine, "steady").info();
  assert.deepEqual([info.ticks.skipped, info.ticks.missed, info.runs.failed], [0, 0, 0]);
  return true;
}

async function ticksAgain(world: World): Promise<boolean> {
  const { paused, last } = await openSchedule(world.engine, "moody").info();
  const now = await world.engine.now();
  assert.ok(!paused, "it is paused");
  assert.ok(last !== undefined && now - last < 10 * second, `its last tick was ${last}, and it is ${now}`);
  return true;
}
