import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Engine } from "../../../engine/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../../simulation/index.ts";
import {
  createWorkflows,
  defineSignal,
  defineUpdate,
  defineWorkflow,
  FatalError,
  type StepContext,
  type Workflow,
  type WorkflowContext,
  type Workflows,
} from "../index.ts";

/**
 * Clients begin runs of several kinds, some with children, some that go on anew, send them messages and updates, and cancel some; workers carry them on. Steps fail, take long, and write; workers come and go, die, stand still beyond the time to live of their
 * lease, or are cut off.
 *
 * Invariants: what a step writes through `tx` takes effect once at most; whatever the number of its attempts and owners, a step has one token. Afterwards every run has ended; of one that completed every step
 * has taken effect; of a saga that did not, nothing is left; messages were heard once each, in the order of their sending; nobody slept too short.
 */
export const workflow: Scenario = {
  name: "workflow",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { worker: { count: 3, start: work } },
  workload: { clients: 3, operations: 10, think: 900, setup, operation },
  budget: { faults: "25s", heal: "150s" },
  invariants: {
    "what steps write takes effect once at most": atMostOnce,
    "a step has one token": oneToken,
  },
  eventually: {
    "every run has ended as it should": allEnded,
    "nothing waits for anybody": nothingWaits,
  },
};

type Kind = "branches" | "nap" | "saga" | "talk" | "family" | "loop";

interface Order {
  readonly name: string;
  readonly kind: Kind;
  readonly fails: boolean;
  readonly ms: number;
}

interface Book {
  readonly runs: Map<string, Order>;
  /** Of a run, what was surely sent, in this order. */
  readonly words: Map<string, string[]>;
  /** Steps of updates that were surely carried out. */
  readonly shouts: Set<string>;
  readonly cancelled: Set<string>;
  readonly tokens: Map<string, Set<string>>;
}

const bookOf = ({ state }: Pick<World, "state">) => state.get("book") as Book;

const Word = defineSignal<string>("word");
const Shout = defineUpdate<string, string>("shout");
const rounds = 3;

function setup({ state }: World): void {
  state.set("book", {
    runs: new Map(),
    words: new Map(),
    shouts: new Set(),
    cancelled: new Set(),
    tokens: new Map(),
  } satisfies Book);
}

const retry = { attempts: 1000, base: 20, cap: 500 };
const options = { shards: 4, parkAfter: "300ms", lease: "2s" } as const;

/** The engine of the process that carries a body out; clients have none to offer. */
function open(engine: Engine, process: { readonly node: SimulatedNode } | undefined) {
  const body =
    (order: Order, step: string, sum = 1) =>
    async ({ tx, token, signal }: StepContext): Promise<number> => {
      const { node } = process as { readonly node: SimulatedNode };
      const { random } = node.runtime;
      const tokens = bookOf(node).tokens;
      const name = `${order.name} ${step}`;
      tokens.set(name, (tokens.get(name) ?? new Set()).add(token));
      if (random.next() < 0.2)
        await sleep(node.runtime, random.next() * (random.next() < 0.1 ? 4000 : 100), { signal });
      if (random.next() < 0.1) throw new Error("flaky");
      tx.add(["effect", order.name, step], 1);
      tx.add(["held", order.name, step.replace("undo ", "")], sum);
      if (random.next() < 0.1) throw new Error("flaky after its writes");
      return await node.engine.now();
    };
  const run = async (ctx: WorkflowContext, order: Order): Promise<unknown> => {
    if (order.kind === "talk") {
      ctx.handle(Shout, async (word) => {
        await ctx.step(word, body(order, word), { retry });
        return word.toUpperCase();
      });
      return await listen(ctx);
    }
    if (order.kind === "family") {
      const child = (kind: Kind) =>
        ctx.child(deal, { ...order, name: `${order.name}-${kind}`, kind }, { id: `${order.name}-${kind}` });
      return (await Promise.allSettled([child("nap"), child("saga"), child("loop")])).map(({ status }) => status);
    }
    if (order.kind === "loop") {
      const round = `round ${ctx.info.generation}`;
      await ctx.step(round, body(order, round), { retry });
      if (ctx.info.generation < rounds - 1) ctx.continueAsNew(order);
      return round;
    }
    if (order.kind === "nap") {
      const lay = await ctx.step("lie down", body(order, "lie down"), { retry });
      await ctx.sleep(order.ms);
      const rose = await ctx.step("get up", body(order, "get up"), { retry });
      // Owners know the engine's clock to half a round trip, which faults may make long.
      assert.ok(rose - lay >= order.ms - 1000, `${order.name} slept ${rose - lay} of ${order.ms} ms`);
      return rose - lay;
    }
    if (order.kind === "branches") {
      const branch = async (name: string) => {
        await ctx.step(`${name}1`, body(order, `${name}1`), { retry });
        return await ctx.step(`${name}2`, body(order, `${name}2`), { retry });
      };
      await Promise.all(["a", "b", "c"].map(branch));
      return ctx.uuid();
    }
    const saga = ctx.saga();
    const book = async (step: string): Promise<void> => {
      if (order.fails && step === "car") throw new FatalError("no car");
      await saga.step(step, body(order, step), { retry, undo: body(order, `undo ${step}`, -1) });
      await ctx.sleep(order.ms / 10);
    };
    const steps = ["hotel", "flight", "car"];
    if (order.ms % 2 === 1) await Promise.all(steps.map(book));
    else for (const step of steps) await book(step);
    return "booked";
  };
  const deal: Workflow<Order> = defineWorkflow("deal", run);
  return { deal, workflows: createWorkflows(engine, [deal], options) };
}

async function listen(ctx: WorkflowContext): Promise<string[]> {
  const heard: string[] = [];
  for (;;) {
    const word = await ctx.waitFor(Word, { timeout: "1h" });
    if (word === undefined || word === "end") return heard;
    heard.push(word);
  }
}

function work(node: SimulatedNode): void {
  const { engine, runtime } = node;
  const { workflows } = open(engine, { node });
  void (async () => {
    for (;;) {
      const worker = workflows.work({ concurrency: 5, drain: "500ms" });
      await sleep(runtime, 1000 + runtime.random.next() * 10_000);
      await worker.close();
    }
  })();
}

async function operation(client: SimulatedClient): Promise<void> {
  const { engine, runtime, state } = client;
  const { random } = runtime;
  const known = (state.get(`workflows ${client.name}`) ?? open(engine, undefined)) as ReturnType<typeof open>;
  state.set(`workflows ${client.name}`, known);
  const { deal, workflows } = known;
  const { runs, cancelled } = bookOf(client);
  const dice = random.next();
  if (dice < 0.15) {
    const names = [...runs.keys()];
    const victim = names[Math.floor(random.next() * names.length)];
    if (victim === undefined) return;
    cancelled.add(victim);
    return await workflows.run(victim).cancel("changed my mind");
  }
  const number = (state.get("number") as number | undefined) ?? 0;
  state.set("number", number + 1);
  const kinds: readonly Kind[] = ["branches", "nap", "saga", "saga", "talk", "talk", "family", "loop"];
  const order: Order = {
    name: `${String(number).padStart(3, "0")}-${client.name}`,
    kind: kinds[Math.floor(random.next() * kinds.length)] as Kind,
    fails: random.next() < 0.4,
    ms: Math.floor(random.next() * (random.next() < 0.3 ? 10_000 : 500)),
  };
  runs.set(order.name, order);
  if (random.next() < 0.3) {
    await surely(client, () =>
      engine.transact(async (tx) => {
        tx.set(["begun", order.name], true);
        await workflows.start(deal, order, { id: order.name, tx });
      }),
    );
  } else await surely(client, () => workflows.start(deal, order, { id: order.name }));
  if (order.kind === "talk") await talk(client, workflows, order.name);
}

async function talk(client: SimulatedClient, workflows: Workflows, name: string): Promise<void> {
  const { random } = client.runtime;
  const run = workflows.run(name);
  const sent: string[] = [];
  bookOf(client).words.set(name, sent);
  const words = Math.floor(random.next() * 6);
  try {
    for (let i = 0; i < words; i++) {
      try {
        await run.signal(Word, `word ${i}`);
        sent.push(`word ${i}`);
      } catch (error) {
        if (isAshlarError(error, "INVALID_STATE")) throw error;
      }
      if (random.next() < 0.3) await shout(client, workflows, name, `shout ${i}`);
      if (random.next() < 0.5) await sleep(client.runtime, random.next() * 1000);
    }
    await surely(client, () => run.signal(Word, "end"));
  } catch (error) {
    // Cancelled, or heard the end that nobody knew had come.
    if (!isAshlarError(error, "INVALID_STATE")) throw error;
  }
}

/** Whoever has an answer knows that it was done. */
async function shout(client: SimulatedClient, workflows: Workflows, name: string, word: string): Promise<void> {
  const late = new AbortController();
  const timer = client.runtime.timers.after(5000, () => late.abort(new Error("it takes too long")));
  try {
    const answer = await workflows.run(name).update(Shout, word, { signal: late.signal });
    assert.equal(answer, word.toUpperCase());
    bookOf(client).shouts.add(`${name} ${word}`);
  } catch (error) {
    if (!late.signal.aborted && !isAshlarError(error)) throw error;
  } finally {
    timer.cancel();
  }
}

/** What may be done again is, until it is done. */
async function surely<T>(client: SimulatedClient, act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) throw error;
    }
    await sleep(client.runtime, 200);
  }
}

async function atMostOnce({ engine }: World): Promise<void> {
  for await (const { key, value } of engine.kv.list<number>({ prefix: ["effect"] }))
    assert.ok(value <= 1, `${key[1]} ${key[2]} took effect ${value} times`);
}

async function oneToken(world: World): Promise<void> {
  for (const [step, tokens] of bookOf(world).tokens) assert.equal(tokens.size, 1, `${step}: ${[...tokens].join(", ")}`);
}

async function allEnded(world: World): Promise<boolean> {
  const { engine } = world;
  const { workflows } = open(engine, undefined);
  const { runs, words, shouts, cancelled } = bookOf(world);
  const effects = new Set<string>();
  for await (const { key } of engine.kv.list({ prefix: ["effect"] })) effects.add(`${key[1]} ${key[2]}`);
  for (const each of shouts) assert.ok(effects.has(each), `${each} was answered, and not done`);
  for await (const { id, status, error } of workflows.list())
    assert.ok(status !== "open" && status !== "stuck", `${id} is ${status}: ${error?.message ?? ""}`);
  for (const [name, order] of runs) {
    const info = await workflows.run(name).info();
    assert.ok(info, `${name} was never begun`);
    assert.ok(
      info.status !== "open" && info.status !== "stuck",
      `${name} is ${info.status}: ${info.error?.message ?? ""}`,
    );
    const held = await Array.fromAsync(engine.kv.list<number>({ prefix: ["held", name] }));
    const sums = held.map(({ value }) => value);
    if (order.kind === "saga") {
      const expected = info.status === "completed" ? 1 : 0;
      assert.deepEqual(
        [...new Set(sums)].filter((sum) => sum !== expected),
        [],
        `${name}, ${info.status}: ${sums}`,
      );
      if (order.fails) assert.notEqual(info.status, "completed");
      else if (!cancelled.has(name)) assert.equal(info.status, "completed", `${name}: ${info.error?.message}`);
      continue;
    }
    if (!cancelled.has(name)) assert.equal(info.status, "completed", `${name}: ${info.error?.message}`);
    if (info.status !== "completed") continue;
    if (order.kind === "branches") assert.equal(sums.length, 6);
    if (order.kind === "loop") assert.equal(sums.length, rounds);
    if (order.kind === "family" && !cancelled.has(name))
      assert.deepEqual(info.result, ["fulfilled", order.fails ? "rejected" : "fulfilled", "fulfilled"], name);
    if (order.kind === "nap") assert.equal(sums.length, 2);
    if (order.kind === "talk") {
      const heard = info.result as string[];
      const surely = words.get(name) ?? [];
      assert.deepEqual(
        heard.filter((word) => surely.includes(word)),
        surely,
        name,
      );
      assert.deepEqual(heard, [...new Set(heard)].sort(), name);
    }
  }
  return true;
}

async function nothingWaits({ engine }: World): Promise<boolean> {
  const scope = engine.scope("workflow", "default");
  const left: string[] = [];
  for (const prefix of [["active"], ["timer"], ["stuck"], ["child"]])
    for await (const { key } of scope.kv.list({ prefix })) left.push(JSON.stringify(key));
  assert.deepEqual(left, []);
  return true;
}
