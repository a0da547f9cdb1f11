import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Engine } from "../../../engine/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../../simulation/index.ts";
import { createEventStore, type EventStore, type PositionedEvent, type ProjectionHandler } from "../index.ts";
import {
  type Book,
  bookOf,
  type Change,
  followersHaveSeen,
  generationsHold,
  isKept,
  neverBack,
  nothingLeft,
  orderHolds,
  projectionIsFold,
  rowsHold,
  seenBy,
} from "./ledger.ts";

/**
 * Clients append to streams in every way there is, truncate and delete some; projectors share a projection, build it anew with the same and with a higher version, and put it in place;
 * followers read live. All of them die, stand still or are cut off now and then.
 *
 * Invariants: rows are dense in each stream; what was acknowledged is there once, at its version, and what was refused is not; an account is never overdrawn; the order of all events contains the order of
 * each stream and respects real time; each generation of the projection has taken up the events once, in their order. After the faults, the
 * projection in use is the fold of all events, and followers have seen each event once.
 */
export const eventStore: Scenario = {
  name: "event-store",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { projector: { count: 3, start: project }, follower: { count: 2, start: follow } },
  workload: { clients: 3, operations: 24, think: 500, setup, operation },
  budget: { faults: "25s", heal: "120s" },
  invariants: {
    "rows are dense, and hold what was acknowledged": rowsHold,
    "the order of all events contains that of each stream": orderHolds,
    "each generation has projected a beginning of the order, once": generationsHold,
    "what is in use never goes back": neverBack,
  },
  eventually: {
    "the projection in use is the fold of all events": projectionIsFold,
    "followers have seen each event once": followersHaveSeen,
    "nothing is left of generations out of use": nothingLeft,
  },
};

type Ledger = EventStore<{ balance: number }, Change, { readonly name: string; readonly amount: number }>;

function setup({ state }: World): void {
  const book: Book = {
    acknowledged: new Map(),
    refused: new Set(),
    versions: new Map(),
    deleted: new Set(),
    position: -1,
    number: 0,
    version: 1,
  };
  state.set("book", book);
  state.set("seen", new Map());
}

function open(engine: Engine): Ledger {
  return createEventStore<{ balance: number }, Change, { readonly name: string; readonly amount: number }>(
    engine,
    "ledger",
    {
      initial: () => ({ balance: 0 }),
      evolve: ({ balance }, { amount }) => ({ balance: balance + amount }),
      decide: ({ name, amount }, { balance }) => {
        if (balance + amount < 0) throw new Overdrawn();
        return { type: "changed", name, amount };
      },
      snapshots: { every: 3 },
      remembered: 3,
    },
  );
}

class Overdrawn extends Error {}

function project(node: SimulatedNode): void {
  const { engine, runtime } = node;
  const { random } = runtime;
  const store = open(engine);
  const handler: ProjectionHandler<Change> = async ({ stream, data }, { tx, view, generation }) => {
    if (!isKept(stream)) return;
    if (random.next() < 0.02) await sleep(runtime, random.next() * (random.next() < 0.2 ? 4000 : 100));
    tx.append(["projected", generation], [data.name]);
    view.set([stream], ((await view.get<number>([stream])) ?? 0) + data.amount);
    if (random.next() < 0.05) throw new Error("flaky");
  };
  const options = { batch: 4, lease: "2s", drain: "1s", backoff: { base: 10, cap: 200 } } as const;
  void (async () => {
    for (;;) {
      const { version } = bookOf(node);
      const projections = [store.project("balances", handler, { ...options, version })];
      if (random.next() < 0.2) projections.push(store.rebuild("balances", handler, options));
      await sleep(runtime, 500 + random.next() * 8000);
      await Promise.all(projections.map((each) => each.close()));
    }
  })();
}

function follow(node: SimulatedNode): void {
  const { engine, name, runtime, state } = node;
  const seen: PositionedEvent<Change>[] = [];
  seenBy({ state }).set(name, seen);
  const store = open(engine);
  void (async () => {
    for (;;) {
      try {
        const from = (seen.at(-1)?.position ?? -1) + 1;
        for await (const event of store.all({ from, live: true })) seen.push(event);
      } catch (error) {
        if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) throw error;
        await sleep(runtime, 100);
      }
    }
  })();
}

async function operation(client: SimulatedClient): Promise<void> {
  const { engine, runtime, state, name: who } = client;
  const { random } = runtime;
  const store = (state.get(`store ${who}`) ?? open(engine)) as Ledger;
  state.set(`store ${who}`, store);
  const book = bookOf(client);
  const stream = `acc${Math.floor(random.next() * 3)}`;
  const name = `${String(book.number++).padStart(4, "0")}-${who}`;
  const dice = Math.floor(random.next() * 14);
  if (dice < 3) return await append(client, store, stream, [name], "known");
  if (dice < 5) return await append(client, store, stream, [`${name}/a`, `${name}/b`], "any");
  if (dice < 7) return await appendWithIds(client, store, stream, name);
  if (dice < 10) return await command(client, store, stream, name, Math.floor(random.next() * 20) - 10);
  if (dice === 10) return await transfer(client, store, stream, name);
  if (dice === 11) return await append(client, store, "cut", [name], "any");
  if (dice === 12) {
    const latest = book.versions.get("cut") ?? 0;
    await store.truncate("cut", { before: 1 + Math.floor(random.next() * (latest + 1)) });
    return;
  }
  if (random.next() < 0.3) book.version = 2;
  else await remove(client, store, name);
}

async function append(
  client: SimulatedClient,
  store: Ledger,
  stream: string,
  names: readonly string[],
  how: "known" | "any",
): Promise<void> {
  const book = bookOf(client);
  const after = book.position;
  const least = book.versions.get(stream) ?? 0;
  const events = names.map((name): Change => ({ type: "noted", name, amount: 1 }));
  let expected: number | "any" = "any";
  if (how === "known") {
    expected = (await store.load(stream)).version;
    assert.ok(
      expected >= least,
      `${stream} is at version ${expected} for a reader, when ${least} had been acknowledged`,
    );
  }
  try {
    const { version, position } = await store.append(stream, events, { expected });
    if (how === "known") assert.equal(version, (expected as number) + names.length);
    acknowledge(book, stream, names, version, position, after);
  } catch (error) {
    refuse(book, names, error);
    throw error;
  }
}

/** Repeats what it does not know of, with the same ids. */
async function appendWithIds(client: SimulatedClient, store: Ledger, stream: string, name: string): Promise<void> {
  const { runtime } = client;
  const book = bookOf(client);
  const after = book.position;
  const events: Change[] = [{ type: "noted", name, amount: 2 }];
  const expected = runtime.random.next() < 0.5 ? "any" : (await store.load(stream)).version;
  let doubtful = false;
  for (let attempt = 0; ; attempt++) {
    try {
      const { version, position } = await store.append(stream, events, { ids: [name], expected, deadline: "3s" });
      acknowledge(book, stream, [name], version, position, after);
      return;
    } catch (error) {
      // A conflict is definite even after an attempt that is not: the ids are not there, and an attempt that comes late is refused.
      if (!doubtful || isAshlarError(error, "CONFLICT")) refuse(book, [name], error);
      doubtful ||= isAshlarError(error, "OUTCOME_UNKNOWN");
      if (!doubtful || attempt > 10 || isAshlarError(error, "CONFLICT")) throw error;
    }
    await sleep(runtime, 200);
  }
}

async function command(
  client: SimulatedClient,
  store: Ledger,
  stream: string,
  name: string,
  amount: number,
): Promise<void> {
  const book = bookOf(client);
  const after = book.position;
  try {
    const { version, position } = await store.execute(stream, { name, amount });
    acknowledge(book, stream, [name], version, position as number, after);
  } catch (error) {
    if (error instanceof Overdrawn) book.refused.add(name);
    else {
      refuse(book, [name], error);
      throw error;
    }
  }
}

/** Between two accounts, in one transaction. */
async function transfer(client: SimulatedClient, store: Ledger, from: string, name: string): Promise<void> {
  const book = bookOf(client);
  const after = book.position;
  const to = from === "acc0" ? "acc1" : "acc0";
  try {
    const [one, two] = await client.engine.transact(async (tx) => {
      tx.set(["transfer", name], true);
      return [
        await store.execute(from, { name: `${name}/a`, amount: -1 }, { tx }),
        await store.execute(to, { name: `${name}/b`, amount: 1 }, { tx }),
      ] as const;
    });
    for (const [i, { version }] of [one, two].entries())
      acknowledge(book, i === 0 ? from : to, [`${name}/${i === 0 ? "a" : "b"}`], version, undefined, after);
  } catch (error) {
    if (error instanceof Overdrawn) for (const part of ["a", "b"]) book.refused.add(`${name}/${part}`);
    else {
      refuse(book, [`${name}/a`, `${name}/b`], error);
      throw error;
    }
  }
}

async function remove(client: SimulatedClient, store: Ledger, name: string): Promise<void> {
  const stream = `gone-${name}`;
  const { deleted } = bookOf(client);
  const event: Change = { type: "noted", name, amount: 0 };
  await store.append(stream, [event]);
  await store.append(stream, [{ ...event, name: `${name}/2` }]);
  assert.equal(await store.delete(stream), true);
  deleted.add(stream);
  await assert.rejects(store.append(stream, [{ ...event, name: `${name}/3` }], { deadline: "2s" }), (error) => {
    assert.ok(isAshlarError(error) && error.definite, `appending to a deleted stream: ${String(error)}`);
    return true;
  });
}

function acknowledge(
  book: Book,
  stream: string,
  names: readonly string[],
  version: number,
  position: number | undefined,
  after: number,
): void {
  for (const [i, name] of names.entries())
    book.acknowledged.set(name, { stream, version: version - names.length + 1 + i });
  book.versions.set(stream, Math.max(version, book.versions.get(stream) ?? 0));
  if (position === undefined) return;
  assert.ok(position > after, `${names[0]} has position ${position}, and began when ${after} was acknowledged`);
  book.position = Math.max(book.position, position);
}

function refuse(book: Book, names: readonly string[], error: unknown): void {
  if (isAshlarError(error) && error.definite) for (const name of names) book.refused.add(name);
}
