import assert from "node:assert/strict";
import { leasesOf } from "../../../coordination/lease/index.ts";
import { sleep } from "../../../core/index.ts";
import type { Engine } from "../../../engine/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../../simulation/index.ts";
import { createQueue, type Job, type JobContext, park, type Queue } from "../index.ts";

/**
 * Clients add jobs of all kinds to two queues, cancel some, and hold the queues up now and then; workers fail, stop and come back, die, stand still beyond the time to live
 * of their lease, or are cut off meanwhile.
 *
 * Invariants: what a handler writes through `tx` happens at most once for a job, and exactly once for each job that was added; jobs of a key in the order of their
 * adding; no job before its time; a parent after its children; a key of deduplication has one job at a time; only what was parked is a dead letter. After the faults
 * every job comes to its end, and nothing is left of it in the store.
 */
export const queue: Scenario = {
  name: "queue",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { worker: { count: 3, start: work } },
  workload: { clients: 3, operations: 24, think: 600, setup, operation },
  budget: { faults: "25s", heal: "120s" },
  invariants: {
    "effects happen at most once": atMostOnce,
    "jobs of a key take effect in the order of their adding": inOrder,
    "no more run than the limit allows": withinLimit,
  },
  eventually: {
    "nothing is left of jobs that have ended": nothingLeft,
    "every job that was added has come to its end": allEnded,
  },
};

interface Task {
  readonly name: string;
  readonly kind: "plain" | "keyed" | "delayed" | "urgent" | "poison" | "deduped" | "child" | "parent";
  readonly due?: number;
}

const limit = 3;

/** What the clients know of their jobs. */
interface Book {
  /** Added for sure. */
  readonly added: Map<string, Task>;
  /** Asked to be cancelled: they may or may not take effect. */
  readonly cancelled: Set<string>;
}

const bookOf = ({ state }: Pick<World, "state">) => state.get("book") as Book;

function setup({ state }: World): void {
  state.set("book", { added: new Map(), cancelled: new Set() } satisfies Book);
  state.set("ids", []);
}

function open(engine: Engine): { readonly main: Queue<Task>; readonly limited: Queue<Task> } {
  const retry = { attempts: 1000, backoff: { base: 20, cap: 500 } };
  return {
    main: createQueue<Task>(engine, "main", { retry, lease: "2s", perKey: 1 }),
    limited: createQueue<Task>(engine, "limited", { retry, lease: "2s", concurrency: limit, maxWaiting: 40 }),
  };
}

function work(node: SimulatedNode): void {
  const { engine, runtime } = node;
  const queues = open(engine);
  void (async () => {
    for (;;) {
      const workers = [queues.main, queues.limited].map((each) =>
        each.work((job, context) => handle(node, each.name, job, context), {
          concurrency: 4,
          drain: "1s",
          prefetch: 10,
        }),
      );
      await sleep(runtime, 500 + runtime.random.next() * 8000);
      await Promise.all(workers.map((worker) => worker.close()));
    }
  })();
}

async function handle(
  { engine, runtime }: SimulatedNode,
  queue: string,
  job: Job<Task>,
  context: JobContext,
): Promise<void> {
  const { name, kind, due } = job.data;
  const { random } = runtime;
  if (due !== undefined) assert.ok((await engine.now()) >= due - 1, `${name} came before its time`);
  if (kind === "poison") throw park("poison");
  if (random.next() < 0.2) await sleep(runtime, random.next() * (random.next() < 0.1 ? 4000 : 100), context);
  if (random.next() < 0.15) throw new Error("flaky");
  if (kind === "parent")
    for (const child of await context.children()) assert.equal(child.state, "done", `${name} runs before ${child.id}`);
  const { tx } = context;
  tx.add(["effect", name], 1);
  if (kind === "keyed") {
    // Read and written, so that conflicts happen.
    const last = await tx.get<number>(["last", job.key ?? ""]);
    tx.set(["last", job.key ?? ""], (last ?? 0) + 1);
    tx.append(["order", `${queue}/${job.key}`], [name]);
  }
  if (random.next() < 0.15) throw new Error("flaky after its writes");
}

async function operation(client: SimulatedClient): Promise<void> {
  const { engine, runtime, state } = client;
  const { random } = runtime;
  const queues = (state.get(`queues ${client.name}`) ?? open(engine)) as ReturnType<typeof open>;
  state.set(`queues ${client.name}`, queues);
  const queue = random.next() < 0.7 ? queues.main : queues.limited;
  const number = (state.get("number") as number | undefined) ?? 0;
  state.set("number", number + 1);
  const name = `${String(number).padStart(4, "0")}-${client.name}`;
  const dice = Math.floor(random.next() * 12);
  if (dice === 11) {
    await queue.pause().catch(() => {});
    await sleep(runtime, random.next() * 500);
    // Whoever holds a queue up sees to it that it goes on, and looks.
    while (!(await resumed(queue))) await sleep(runtime, 100);
    return;
  }
  if (dice === 10) {
    const ids = state.get("ids") as { id: string; name: string; queue: Queue<Task> }[];
    const victim = ids[Math.floor(random.next() * ids.length)];
    if (!victim) return;
    bookOf(client).cancelled.add(victim.name);
    await (victim.queue.name === "main" ? queues.main : queues.limited).cancel(victim.id);
    return;
  }
  await add(client, queue, name, dice);
}

async function resumed(queue: Queue<Task>): Promise<boolean> {
  return await queue.resume().then(
    () => true,
    () => false,
  );
}

async function add(client: SimulatedClient, queue: Queue<Task>, name: string, dice: number): Promise<void> {
  const { engine, runtime, state } = client;
  const { random } = runtime;
  const { added } = bookOf(client);
  const note = (task: Task, id: string): void => {
    added.set(task.name, task);
    (state.get("ids") as { id: string; name: string; queue: Queue<Task> }[]).push({ id, name: task.name, queue });
  };
  if (dice === 0) {
    const names = [`${name}/a`, `${name}/b`, `${name}/c`];
    const tasks = names.map((each): Task => ({ name: each, kind: "plain" }));
    const ids = await queue.addMany(tasks);
    for (const [i, task] of tasks.entries()) note(task, (ids[i] as { id: string }).id);
    return;
  }
  if (dice === 1) {
    const children: Task[] = [0, 1].map((i) => ({ name: `${name}/${i}`, kind: "child" }));
    const parent: Task = { name, kind: "parent" };
    const { id } = await queue.addFlow({ data: parent, children: children.map((data) => ({ data })) });
    note(parent, id);
    for (const child of children) added.set(child.name, child);
    return;
  }
  if (dice === 2) {
    const task: Task = { name, kind: "deduped" };
    const { id, duplicate } = await queue.add(task, { dedupe: `d${Math.floor(random.next() * 2)}` });
    if (!duplicate) note(task, id);
    return;
  }
  if (dice === 3) {
    // With state of the client's own, in one transaction.
    const task: Task = { name, kind: "plain" };
    const id = await engine.transact(async (tx) => {
      tx.set(["ordered", name], true);
      return (await queue.add(task, { tx })).id;
    });
    note(task, id);
    return;
  }
  if (dice <= 5) {
    const key = `k${Math.floor(random.next() * 2)}`;
    const task: Task = { name, kind: "keyed" };
    note(task, (await queue.add(task, { key })).id);
    return;
  }
  if (dice === 6) {
    const due = (await engine.now()) + Math.floor(random.next() * 3000);
    const task: Task = { name, kind: "delayed", due };
    note(task, (await queue.add(task, { at: due })).id);
    return;
  }
  const kind = dice === 7 ? "poison" : dice === 8 ? "urgent" : "plain";
  const task: Task = { name, kind };
  note(task, (await queue.add(task, kind === "urgent" ? { priority: 5 } : {})).id);
}

async function effectsOf({ engine }: World): Promise<Map<string, number>> {
  const effects = new Map<string, number>();
  for await (const { key, value } of engine.kv.list<number>({ prefix: ["effect"] })) effects.set(String(key[1]), value);
  return effects;
}

async function atMostOnce(world: World): Promise<void> {
  for (const [name, times] of await effectsOf(world)) assert.equal(times, 1, `${name} took effect ${times} times`);
}

/** Of each client and queue: their names count up. One that failed for good, or is added anew, is not overtaken but left out. */
async function inOrder({ engine }: World): Promise<void> {
  for (const topic of ["main/k0", "main/k1", "limited/k0", "limited/k1"]) {
    const last = new Map<string, string>();
    for (const { value } of await engine.log.read<string>(["order", topic])) {
      const client = value.slice(5);
      const before = last.get(client);
      assert.ok(before === undefined || before < value, `${value} took effect after ${before}, with the same key`);
      last.set(client, value);
    }
  }
}

async function withinLimit({ engine }: World): Promise<void> {
  const running = (await engine.kv.get<number>(["queue", "limited", "running"]))?.value ?? 0;
  assert.ok(running >= 0 && running <= limit, `${running} jobs run where ${limit} may`);
}

async function allEnded(world: World): Promise<boolean> {
  const { added, cancelled } = bookOf(world);
  const effects = await effectsOf(world);
  const dead = new Set<string>();
  for (const name of ["main", "limited"])
    for await (const { data, reason } of createQueue<Task>(world.engine, name).deadLetters.list()) {
      const task = data as Task;
      const isRight = task.kind === "poison" || (reason === "child" && cancelledChild(cancelled, task));
      assert.ok(isRight, `${task.name} is a dead letter: ${reason}`);
      dead.add(task.name);
    }
  for (const [name, { kind }] of added) {
    if (cancelled.has(name) || [...cancelled].some((each) => name.startsWith(`${each}/`))) continue;
    if (kind === "poison") assert.ok(dead.has(name), `${name} is not parked`);
    else assert.ok(effects.has(name), `${name} (${kind}) has had no effect`);
  }
  return true;
}

function cancelledChild(cancelled: ReadonlySet<string>, { name }: Task): boolean {
  return [...cancelled].some((each) => each.startsWith(`${name}/`));
}

async function nothingLeft({ engine }: World): Promise<boolean> {
  const left: string[] = [];
  for (const name of ["main", "limited"]) {
    const scope = engine.scope("queue", name);
    // A pause whose caller was told that nobody knows whether it took place may come late.
    if ((await scope.kv.get(["paused"])) !== undefined) await createQueue(engine, name).resume();
    for await (const { key, value } of scope.kv.list({ prefix: [] })) {
      if (["head", "bell", "call", "dead", "cancelled"].includes(String(key[0]))) continue;
      if (key[0] === "handed" && (await leasesOf(engine).lives(String(key[1])))) continue;
      if ((key[0] === "running" || key[0] === "waiting") && value === 0) continue;
      if (key[0] === "job" && (await scope.kv.get(["dead", String(key[1])])) !== undefined) continue;
      // Claims that are held empty for a late commit go with their lease.
      if (key[0] === "claim" && (value as { shelf?: unknown[] }).shelf?.length === 0) continue;
      left.push(`${name} ${JSON.stringify(key)}`);
    }
    const head = (await scope.kv.get<{ at: number }>(["head"]))?.value.at ?? 0;
    const { next } = await scope.log.bounds(["lane"]);
    if (head < next) left.push(`${name}: ${next - head} in the lane`);
  }
  assert.deepEqual(left, []);
  return true;
}
