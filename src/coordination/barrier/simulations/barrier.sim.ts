import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import { createBarrier, createLatch, type Passage } from "../index.ts";

/**
 * Workers that come to a barrier of three, wait for a while and pass or give up, and die; and workers that count a latch down.
 *
 * Invariants: all who pass a generation are told the same three names, each of whom had come; whoever was told that it gave up (while the engine answered) is among none of them;
 * work is counted once by the latch. After the faults all pass again, and the latch is open for everybody.
 */
export const barrier: Scenario = {
  name: "barrier",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { worker: { count: 4, start: work } },
  workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
  budget: { faults: "25s", heal: "90s" },
  eventually: {
    "everybody passes again": everybodyPasses,
    "nobody passed who gave up": nobodyWhoGaveUp,
    "the latch opens": latchOpens,
  },
};

const tasks = 40;

interface Book {
  /** Visits by party, each with a name of its own. */
  visits: number;
  readonly come: Set<string>;
  readonly gaveUp: Set<string>;
  readonly passages: Map<number, readonly string[]>;
  readonly passes: Map<string, number>;
  readonly open: Set<string>;
  before: Map<string, number> | undefined;
}

const bookOf = (state: World["state"]) => state.get("book") as Book;

function setup({ state }: World): void {
  const book: Book = {
    visits: 0,
    come: new Set(),
    gaveUp: new Set(),
    passages: new Map(),
    passes: new Map(),
    open: new Set(),
    before: undefined,
  };
  state.set("book", book);
}

function work(node: SimulatedNode): void {
  const { runtime } = node;
  bookOf(node.state).open.delete(node.name);
  const pause = (mean: number) => sleep(runtime, runtime.random.next() * 2 * mean);
  void (async () => {
    for (;;) {
      await visit(node);
      await pause(200);
    }
  })();
  void (async () => {
    const latch = createLatch(node.engine, "latch", { count: tasks });
    void opened(node, () => latch.wait({ timeout: Number.POSITIVE_INFINITY }));
    for (;;) {
      const task = Math.floor(runtime.random.next() * tasks);
      await tolerated(() => latch.countDown({ by: `task ${task}` }));
      await pause(200);
    }
  })();
}

async function opened({ name, state, engine }: SimulatedNode, wait: () => Promise<void>): Promise<void> {
  await wait();
  const done = await engine
    .scope("latch")
    .kv.get<number>(["latch", "done"])
    .catch(() => undefined);
  if (done) assert.equal(done.value, tasks, "a task was counted twice");
  bookOf(state).open.add(name);
}

async function visit({ engine, name, runtime, state }: SimulatedNode): Promise<void> {
  const book = bookOf(state);
  const party = `${name} ${++book.visits}`;
  book.come.add(party);
  const timeout = 300 + runtime.random.next() * 4000;
  const since = runtime.clock.monotonic();
  const arrival = createBarrier(engine, "barrier", { parties: 3, party, ttl: "2s" }).arrive({ timeout });
  const passage = await tolerated(() => arrival);
  if (passage === undefined) {
    if (runtime.clock.monotonic() - since < timeout + 900) book.gaveUp.add(party);
    return;
  }
  noteOf(book, passage, party);
  book.passes.set(name, (book.passes.get(name) ?? 0) + 1);
}

function noteOf(book: Book, { generation, parties, index }: Passage, party: string): void {
  const told = book.passages.get(generation);
  if (told) assert.deepEqual(parties, told);
  book.passages.set(generation, parties);
  assert.equal(parties[index], party);
  assert.equal(new Set(parties).size, 3);
  for (const each of parties) {
    assert.ok(book.come.has(each), `${each} is said to have come`);
    assert.ok(!book.gaveUp.has(each), `${each} had given up`);
  }
}

async function tolerated<T>(fn: () => Promise<T>): Promise<T | undefined> {
  try {
    return await fn();
  } catch (error) {
    if (!isAshlarError(error) || error.code === "INVALID_ARGUMENT" || error.code === "INVALID_STATE") throw error;
    return undefined;
  }
}

function everybodyPasses({ state, running }: World): boolean {
  const book = bookOf(state);
  book.before ??= new Map(book.passes);
  for (const name of running("worker"))
    assert.ok(
      (book.passes.get(name) ?? 0) > (book.before.get(name) ?? 0),
      `${name} has not passed since the faults are over`,
    );
  return running("worker").length > 0;
}

async function nobodyWhoGaveUp({ engine, state }: World): Promise<boolean> {
  const { gaveUp } = bookOf(state);
  for await (const { value } of engine.scope("barrier").kv.list<[string, string][]>({ prefix: ["barrier", "passed"] }))
    for (const [party] of value) assert.ok(!gaveUp.has(party), `${party} had given up`);
  return true;
}

function latchOpens({ state, running }: World): boolean {
  const { open } = bookOf(state);
  for (const name of running("worker")) assert.ok(open.has(name), `${name} does not know that the latch is open`);
  return true;
}
