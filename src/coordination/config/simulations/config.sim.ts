import assert from "node:assert/strict";
import { isAshlarError, type StandardSchema, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import { type Config, type Current, createConfig, type Revision } from "../index.ts";

/**
 * Machines that change one configuration, in all ways, and watch it, while they die, stand still, or are cut off.
 *
 * Invariants: what each machine sees ascends, and is what was set; the history has no gap, and no update is lost: each version counts one more than the one that it was made of; a machine whose value is
 * confirmed has the latest. After the faults all watch the last version.
 */
export const config: Scenario = {
  name: "config",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { editor: { count: 3, start: edit }, watcher: { count: 2, start: watch } },
  // The world goes on while one client thinks.
  workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
  budget: { faults: "25s", heal: "90s" },
  invariants: {
    "the history has no gap, and no update is lost": historyIsWhole,
    "what is acknowledged is there": acknowledgedStands,
    "a value is no staler than it says": staleIsTold,
    "what a machine has does not go back": currentAscends,
  },
  eventually: { "all come to the last version": allConverge, "editors go on": editorsGoOn },
};

/** How often it was changed, counted by who changes it. */
interface Settings {
  readonly count: number;
  readonly by: string;
}

const kept = 8;
const staleAfter = 3000;
const schema: StandardSchema<Settings> = {
  "~standard": {
    version: 1,
    vendor: "simulation",
    validate: (value) =>
      typeof (value as Settings | null)?.count === "number"
        ? { value: value as Settings }
        : { issues: [{ message: "no count" }] },
  },
};

interface Seen {
  readonly config: Config<Settings>;
  /** The greatest version that `current` gave. */
  current: number;
  /** Of this life of the machine, by `watch`. */
  latest: Current<Settings> | undefined;
  called: number;
}

type State = World["state"];
const seen = (state: State) => state.get("seen") as Map<string, Seen>;
/** What was acknowledged: version to value, as its editor was told. */
const acknowledged = (state: State) => state.get("acknowledged") as Map<number, Settings>;
const edits = (state: State) => state.get("edits") as Map<string, number>;
/** All versions that were seen in the store, at one time or another. */
const known = (state: State) => state.get("known") as Map<number, Revision>;

function setup({ state }: World): void {
  for (const name of ["seen", "acknowledged", "edits", "known", "times"]) state.set(name, new Map());
}

function open({ engine }: SimulatedNode): Config<Settings> {
  return createConfig(engine, "limits", { schema, defaults: { count: 0, by: "nobody" }, history: kept, staleAfter });
}

function edit(node: SimulatedNode): void {
  const { name, runtime, state } = node;
  const own = open(node);
  void (async () => {
    for (;;) {
      try {
        const { version, value } = await change(own, node);
        // Whoever was told of a version finds it in its own view at once.
        assert.ok(own.current().version >= version, `${name} set ${version} and has ${own.current().version}`);
        assert.ok(!acknowledged(state).has(version), `version ${version} was acknowledged twice`);
        acknowledged(state).set(version, value);
        edits(state).set(name, (edits(state).get(name) ?? 0) + 1);
      } catch (error) {
        if (!isAshlarError(error) || error.code === "INVALID_STATE") throw error;
        // A version that the history does not hold any more.
        if (error.code === "INVALID_ARGUMENT" && !error.message.startsWith("version:")) throw error;
      }
      await sleep(runtime, runtime.random.next() * 600);
    }
  })();
}

/** Each way leads to a value that counts one more than the version that it replaces. */
async function change(own: Config<Settings>, { name, runtime }: SimulatedNode): Promise<Current<Settings>> {
  const by = `${name} ${runtime.random.next()}`;
  const chance = runtime.random.next();
  if (chance < 0.6) return await own.update(({ count }) => ({ count: count + 1, by }), { author: name });
  await own.ready();
  const { version, value } = own.current();
  if (chance < 0.9) return await own.set({ count: value.count + 1, by }, { expectedVersion: version, author: name });
  const back = Math.max(1, version - Math.floor(runtime.random.next() * 4));
  return await own.rollback(back, { expectedVersion: version, author: name });
}

function watch(node: SimulatedNode): void {
  const { name, state } = node;
  const own = open(node);
  const mine: Seen = { config: own, current: -1, latest: undefined, called: -1 };
  seen(state).set(name, mine);
  own.onChange(({ version }, previous) => {
    assert.ok(version > mine.called && version > (previous?.version ?? -1), `${name} was called with ${version} late`);
    mine.called = version;
  });
  void (async () => {
    for await (const current of own.watch()) {
      assert.ok(
        current.version > (mine.latest?.version ?? -1),
        `${name} saw ${current.version} after ${mine.latest?.version}`,
      );
      mine.latest = current;
    }
  })();
}

async function historyOf({ engine }: World): Promise<Revision[]> {
  const base = engine.scope("config").kv;
  const entries = await Array.fromAsync(base.list<Revision>({ prefix: ["limits"] }));
  return entries.map(({ value }) => value).sort((a, b) => a.version - b.version);
}

async function historyIsWhole(world: World): Promise<void> {
  const history = await historyOf(world);
  const last = history.at(-1)?.version ?? 0;
  assert.equal(history.length, Math.min(last, kept + 1), `${history.length} versions are kept at version ${last}`);
  history.forEach((revision, i) => {
    const before = history[i - 1];
    if (before) {
      assert.equal(revision.version, before.version + 1, "the history has a gap");
      assert.ok(revision.time >= before.time, "the history goes back in time");
    }
    const { version, value, rolledBackTo } = revision;
    const once = known(world.state).get(version);
    assert.deepEqual(value, once?.value ?? value, `version ${version} has changed`);
    known(world.state).set(version, revision);
    const from = known(world.state).get(rolledBackTo ?? version - 1);
    const count = (from?.value as Settings | undefined)?.count ?? (version === 1 ? 0 : undefined);
    if (count !== undefined)
      assert.equal((value as Settings).count, rolledBackTo ? count : count + 1, `an update before ${version} is lost`);
  });
}

async function acknowledgedStands(world: World): Promise<void> {
  await historyIsWhole(world);
  for (const [version, value] of acknowledged(world.state)) {
    const stored = known(world.state).get(version);
    if (stored) assert.deepEqual(value, stored.value, `version ${version} is not what its editor was told`);
  }
}

/** When each version came, as the invariants saw it; a value that is not stale is at most so old, and what asking takes. */
async function staleIsTold(world: World): Promise<void> {
  const times = world.state.get("times") as Map<number, number>;
  const last = (await historyOf(world)).at(-1)?.version ?? 0;
  if (!times.has(last)) times.set(last, world.now);
  const alive = new Set(world.running("watcher"));
  for (const [name, { config: own, latest }] of seen(world.state)) {
    if (!alive.has(name) || !latest || own.stale) continue;
    const version = own.current().version;
    const next = [...times].filter(([each]) => each > version).sort((a, b) => a[0] - b[0])[0];
    if (next)
      assert.ok(
        world.now - next[1] <= staleAfter * 1.05 + 200,
        `${name} has ${version}, which was replaced ${world.now - next[1]} ms ago, and does not say that it is stale`,
      );
  }
}

function currentAscends({ state }: World): void {
  for (const [name, mine] of seen(state)) {
    if (!mine.latest) continue;
    const { version } = mine.config.current();
    assert.ok(version >= mine.current, `${name} had version ${mine.current} and has ${version}`);
    mine.current = version;
  }
}

async function allConverge(world: World): Promise<boolean> {
  const last = (await historyOf(world)).at(-1);
  return world.running("watcher").every((name) => {
    const mine = seen(world.state).get(name);
    const current = mine?.config.current();
    assert.equal(current?.version, last?.version ?? 0, `${name} is not at the last version`);
    assert.equal(mine?.latest?.version, current?.version, `the watch of ${name} is not at the last version`);
    assert.deepEqual(current?.value, last?.value ?? current?.value);
    return mine?.config.stale === undefined;
  });
}

/** Each editor that runs makes one change more than when this was first asked. */
function editorsGoOn({ state, running }: World): boolean {
  let before = state.get("edits before") as Map<string, number> | undefined;
  if (!before) {
    before = new Map(edits(state));
    state.set("edits before", before);
  }
  const waiting = running("editor").filter((name) => (edits(state).get(name) ?? 0) <= (before.get(name) ?? 0));
  if (waiting.length > 0) assert.fail(`have not changed it since the faults are over: ${waiting.join(", ")}`);
  return running("editor").length > 0;
}
