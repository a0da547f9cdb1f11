import assert from "node:assert/strict";
import { AshlarError, isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import { type Lease, leasesOf } from "../../lease/index.ts";
import { createIdempotency, type Idempotency, type Outcome, type RunContext } from "../index.ts";

/**
 * Callers that ask for answers under the same few keys, by both forms, and die, stand still beyond the time to live of their lease, or are cut off meanwhile.
 *
 * Invariants: all callers of a key are told the same, a result or an error; the effect of a key's transaction has happened at most once, and exactly once if it was told;
 * no two machines that go by their signal run the same key's function. After the faults every key is answered, to every caller.
 */
export const idempotency: Scenario = {
  name: "idempotency",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { caller: { count: 4, start: ask } },
  // The world goes on while one client thinks.
  workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
  budget: { faults: "25s", heal: "90s" },
  invariants: {
    "one answer for each key": oneAnswer,
    "the effect of a transaction happens at most once": atMostOnce,
    "a key's function is run by one at a time": oneAtATime,
  },
  eventually: {
    "every caller is answered": everybodyIsAnswered,
    "every key has its answer, and what was told is what is recorded": recordsAgree,
  },
};

const ttl = 2000;
const keys = { run: ["run-a", "run-b", "run-c", "mixed"], transact: ["tx-a", "tx-b", "tx-c", "mixed"] };

/** What a machine was told under a key. */
interface Told {
  readonly by: string;
  readonly key: string;
  readonly answer: string;
}

/** A function that runs, as its machine sees it. */
interface Execution {
  readonly key: string;
  readonly signal: AbortSignal;
  /** The lease that all runs of the machine have, to ask the clock at any moment. */
  readonly lease: Lease;
}

type State = World["state"];
const told = (state: State) => state.get("told") as Told[];
const tokens = (state: State) => state.get("tokens") as Map<string, string>;
const running = (state: State) => state.get("running") as Map<string, Execution>;
const served = (state: State) => state.get("served") as Map<string, number>;

function setup({ state }: World): void {
  state.set("told", []);
  for (const name of ["tokens", "running", "served"]) state.set(name, new Map());
}

function pick<T>({ runtime }: SimulatedNode, items: readonly T[]): T {
  return items[Math.floor(runtime.random.next() * items.length)] as T;
}

function ask(node: SimulatedNode): void {
  const { engine, name, runtime, state } = node;
  running(state).delete(name);
  const answers = createIdempotency(engine, "orders", { ttl, retention: "1d", wait: "5s" });
  void (async () => {
    for (let i = 0; ; i++) {
      // New keys now and then, so that there is always something to do.
      const round = Math.floor(runtime.clock.monotonic() / 1500) % 12;
      const form = runtime.random.next() < 0.5 ? "run" : "transact";
      const key = `${pick(node, keys[form])} ${round}`;
      try {
        const outcome = await (form === "run" ? runOnce(node, answers, key) : transactOnce(node, answers, key, i));
        tell(node, key, `result ${outcome.value}`);
      } catch (error) {
        if (isAshlarError(error, "DECLINED")) tell(node, key, `error ${error.message}`);
        else if (!isExpected(error)) throw error;
      }
      await sleep(runtime, runtime.random.next() * 200);
    }
  })();
}

function tell({ name, state }: SimulatedNode, key: string, answer: string): void {
  told(state).push({ by: name, key, answer });
  served(state).set(name, (served(state).get(name) ?? 0) + 1);
}

function isExpected(error: unknown): boolean {
  if (!isAshlarError(error)) return (error as Error).message === "flaky" || (error as Error).name === "AbortError";
  return !["INVALID_STATE", "INVALID_ARGUMENT", "FINGERPRINT_MISMATCH"].includes(error.code);
}

function runOnce(node: SimulatedNode, answers: Idempotency, key: string): Promise<Outcome<string>> {
  const { name, runtime, state } = node;
  const controller = new AbortController();
  const impatient =
    runtime.random.next() < 0.1
      ? runtime.timers.after(runtime.random.next() * 300, () => controller.abort())
      : undefined;
  const fn = async ({ token, signal }: RunContext): Promise<string> => {
    remember(state, key, token);
    const lease = await leasesOf(node.engine).acquire(ttl, { signal });
    running(state).set(name, { key, signal, lease });
    try {
      await sleep(runtime, runtime.random.next() * (runtime.random.next() < 0.2 ? 4000 : 200));
      if (runtime.random.next() < 0.2) throw new Error("flaky");
      if (runtime.random.next() < 0.2) throw declined(`${name} ${runtime.random.next()}`);
      return `${name} ${runtime.random.next()}`;
    } finally {
      running(state).delete(name);
      lease.release();
    }
  };
  const options = { fingerprint: { key }, signal: controller.signal };
  return answers
    .run(key, fn, runtime.random.next() < 0.2 ? { ...options, onInProgress: "refuse" } : options)
    .finally(() => impatient?.cancel());
}

function transactOnce(
  { name, runtime, state }: SimulatedNode,
  answers: Idempotency,
  key: string,
  i: number,
): Promise<Outcome<string>> {
  return answers.transact(
    key,
    async (tx, { token }) => {
      remember(state, key, token);
      tx.add(["effect", key], 1);
      await tx.get(["effect", "others", i % 3]);
      tx.set(["effect", "others", i % 3], name);
      if (runtime.random.next() < 0.1) throw new Error("flaky");
      if (runtime.random.next() < 0.1) throw declined(`${name} ${runtime.random.next()}`);
      return `${name} ${runtime.random.next()}`;
    },
    { fingerprint: { key }, deadline: runtime.random.next() < 0.3 ? "200ms" : "10s" },
  );
}

function declined(message: string): AshlarError {
  return new AshlarError(message, { code: "DECLINED", definite: true, retryable: false });
}

function remember(state: State, key: string, token: string): void {
  const known = tokens(state).get(key);
  assert.ok(known === undefined || known === token, `${key} was run with two tokens`);
  tokens(state).set(key, token);
}

function oneAnswer({ state }: World): void {
  const answers = new Map<string, Told>();
  for (const each of told(state)) {
    const first = answers.get(each.key);
    if (!first) answers.set(each.key, each);
    else assert.equal(each.answer, first.answer, `${each.by} and ${first.by} were told differently about ${each.key}`);
  }
}

async function effectsOf({ engine }: World): Promise<Map<string, number>> {
  const effects = new Map<string, number>();
  for await (const { key, value } of engine.kv.list<number>({ prefix: ["effect"] }))
    if (key.length === 2) effects.set(String(key[1]), value);
  return effects;
}

async function atMostOnce(world: World): Promise<void> {
  const effects = await effectsOf(world);
  for (const [key, count] of effects) assert.equal(count, 1, `${key} had its effect ${count} times`);
  for (const { key, answer } of told(world.state)) {
    if (!key.startsWith("tx-")) continue;
    assert.equal(
      effects.has(key),
      answer.startsWith("result"),
      `${key}: told "${answer}", and the effect is otherwise`,
    );
  }
}

/** Asks each machine that runs whether it would, at this moment, go on. */
function oneAtATime({ state, running: machines }: World): void {
  const alive = new Set(machines());
  const runners = new Map<string, string>();
  for (const [name, { key, signal, lease }] of running(state)) {
    if (!alive.has(name) || signal.aborted || !lease.held) continue;
    assert.ok(!runners.has(key), `${name} and ${runners.get(key)} run the function of ${key} at one time`);
    runners.set(key, name);
  }
}

/** Each machine that runs is answered once more than when this was first asked. */
function everybodyIsAnswered({ state, running: machines }: World): boolean {
  let before = state.get("served before") as Map<string, number> | undefined;
  if (!before) {
    before = new Map(served(state));
    state.set("served before", before);
  }
  const waiting = machines("caller").filter((name) => (served(state).get(name) ?? 0) <= (before.get(name) ?? 0));
  if (waiting.length > 0) assert.fail(`not answered since the faults are over: ${waiting.join(", ")}`);
  return machines("caller").length > 0;
}

interface Stored {
  readonly state: string;
  readonly result?: string;
  readonly error?: { readonly message: string };
}

async function recordsAgree(world: World): Promise<boolean> {
  const answers = new Map<string, string>();
  for await (const { key, value } of world.engine.kv.list<Stored>({ prefix: ["idempotency", "orders"] })) {
    const name = String(key[2]);
    if (value.state === "done") answers.set(name, `result ${value.result}`);
    else if (value.state === "failed") answers.set(name, `error ${value.error?.message}`);
    else assert.fail(`${name} is ${value.state}`);
  }
  for (const key of tokens(world.state).keys()) assert.ok(answers.has(key), `${key} has no answer`);
  for (const { key, answer, by } of told(world.state))
    assert.equal(answer, answers.get(key), `${by} was told something about ${key} that is not recorded`);
  return true;
}
