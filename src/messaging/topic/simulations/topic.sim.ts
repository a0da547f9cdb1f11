import assert from "node:assert/strict";
import { sleep } from "../../../core/index.ts";
import type { Engine } from "../../../engine/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../../simulation/index.ts";
import { createTopic, type EventContext, type Topic, type TopicEvent } from "../index.ts";

/**
 * Clients publish events of a few keys and types; three machines share three subscriptions: one in the order of keys, one that chooses, and one that takes all. Handlers fail,
 * subscribers come and go, machines die, stand still or are cut off meanwhile.
 *
 * Invariants: what a handler writes through `tx` happens at most once for each event and subscription, and in the end exactly once for each event that was published and
 * chosen; in the subscription that asks for it, the events of a key take effect in the order of the topic. Afterwards nothing is left of events that were handled.
 */
export const topic: Scenario = {
  name: "topic",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { subscriber: { count: 3, start: subscribe } },
  workload: { clients: 3, operations: 24, think: 600, setup, operation },
  budget: { faults: "25s", heal: "120s" },
  invariants: {
    "an event takes effect at most once in each subscription": atMostOnce,
    "events of a key take effect in the order of the topic": inOrder,
  },
  eventually: {
    "every event has taken effect in each subscription that wants it": allHandled,
    "nothing is left of events that were handled": nothingLeft,
  },
};

interface Fact {
  readonly name: string;
  readonly number: number;
}

const names = ["ordered", "choosy", "all"] as const;

function open(engine: Engine): Topic<Fact> {
  return createTopic<Fact>(engine, "facts", { retention: "1s" });
}

async function setup({ state, engine }: World): Promise<void> {
  state.set("published", new Map());
  state.set("numbers", 0);
  // The subscriptions exist before anything is published.
  for (const name of names) {
    const subscriber = open(engine).subscribe(name, () => {});
    await subscriber.ready;
    await subscriber.close();
  }
}

function subscribe(node: SimulatedNode): void {
  const { engine, runtime } = node;
  const topic = open(engine);
  const common = {
    retry: { attempts: 1000, backoff: { base: 20, cap: 500 } },
    lease: "2s",
    drain: "1s",
    prefetch: 10,
  } as const;
  const choice = { types: "fact.even", filter: { not: { exact: { skip: "yes" } } } };
  void (async () => {
    for (;;) {
      const handlers = names.map((name) =>
        topic.subscribe(name, (event, context) => handle(node, name, event, context), {
          ...common,
          ...(name === "ordered" && { order: "key" }),
          ...(name === "choosy" && choice),
        }),
      );
      await sleep(runtime, 500 + runtime.random.next() * 8000);
      await Promise.all(handlers.map((handler) => handler.close()));
    }
  })();
}

async function handle(
  { runtime }: SimulatedNode,
  subscription: string,
  event: TopicEvent<Fact>,
  { tx, signal }: EventContext,
): Promise<void> {
  const { random } = runtime;
  if (random.next() < 0.2) await sleep(runtime, random.next() * (random.next() < 0.1 ? 4000 : 100), { signal });
  if (random.next() < 0.15) throw new Error("flaky");
  tx.add(["effect", subscription, event.data.name], 1);
  if (subscription === "ordered" && event.key !== undefined) tx.append(["order", event.key], [event.offset]);
  if (random.next() < 0.15) throw new Error("flaky after its writes");
}

async function operation(client: SimulatedClient): Promise<void> {
  const { engine, runtime, state } = client;
  const { random } = runtime;
  const topic = (state.get(`topic ${client.name}`) ?? open(engine)) as Topic<Fact>;
  state.set(`topic ${client.name}`, topic);
  const published = state.get("published") as Map<string, Chosen>;
  const facts = Array.from({ length: random.next() < 0.3 ? 3 : 1 }, (): Fact => {
    const number = state.get("numbers") as number;
    state.set("numbers", number + 1);
    return { name: `${number}/${client.name}`, number };
  });
  const even = random.next() < 0.5;
  const skip = random.next() < 0.3;
  const key = random.next() < 0.7 ? `k${Math.floor(random.next() * 2)}` : undefined;
  const options = {
    type: even ? "fact.even" : "fact.odd",
    headers: { skip: skip ? "yes" : "no" },
    ...(key !== undefined && { key }),
  };
  if (random.next() < 0.3) {
    await engine.transact(async (tx) => {
      tx.set(["told", client.name], true);
      await topic.publishMany(facts, { ...options, tx });
    });
  } else if (facts.length > 1) await topic.publishMany(facts, options);
  else await topic.publish(facts[0] as Fact, options);
  for (const { name } of facts) published.set(name, { chosen: even && !skip });
}

interface Chosen {
  readonly chosen: boolean;
}

async function effects({ engine }: World): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for await (const { key, value } of engine.kv.list<number>({ prefix: ["effect"] }))
    found.set(`${key[1]} ${key[2]}`, value);
  return found;
}

async function atMostOnce(world: World): Promise<void> {
  for (const [name, times] of await effects(world)) assert.equal(times, 1, `${name} took effect ${times} times`);
}

async function inOrder({ engine }: World): Promise<void> {
  for (const key of ["k0", "k1"]) {
    let last = -1;
    for (const { value } of await engine.log.read<number>(["order", key])) {
      assert.ok(value > last, `of ${key}, ${value} took effect after ${last}`);
      last = value;
    }
  }
}

async function allHandled(world: World): Promise<boolean> {
  const found = await effects(world);
  for (const [name, { chosen }] of world.state.get("published") as Map<string, Chosen>) {
    assert.ok(found.has(`ordered ${name}`), `${name} was not handled in order`);
    assert.ok(found.has(`all ${name}`), `${name} was not handled by all`);
    assert.equal(found.has(`choosy ${name}`), chosen, `${name} was chosen wrongly`);
  }
  return true;
}

async function nothingLeft({ engine }: World): Promise<boolean> {
  const left: string[] = [];
  for (const name of names) {
    for await (const { key, value } of engine.scope("topic", "facts", "subscription", name).kv.list({ prefix: [] })) {
      if (["head", "bell"].includes(String(key[0]))) continue;
      if (key[0] === "claim" && (value as { shelf?: unknown[] }).shelf?.length === 0) continue;
      left.push(`${name} ${JSON.stringify(key)}`);
    }
  }
  assert.deepEqual(left, []);
  return true;
}
