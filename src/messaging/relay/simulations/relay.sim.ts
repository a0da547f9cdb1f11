import assert from "node:assert/strict";
import { decodeUtf8, encodeUtf8, isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../../simulation/index.ts";
import { createRelay, type DeliverContext, park, type Relay, stop } from "../index.ts";

/**
 * Clients send messages, alone and within transactions; machines deliver them over the network to a receiver of the outside world, which refuses some, answers late, breaks off and now and then wants no more; the machines die, stand
 * still and are cut off meanwhile.
 *
 * Invariants: a message reaches the receiver under one id only; none that was not sent; what a delivery writes through `tx` happens at most once; messages of a key reach the receiver for the first time in the order of
 * their sending. After the faults every message that was sent has been delivered and acknowledged once, but those that the receiver will never take: they are dead letters.
 */
export const relay: Scenario = {
  name: "relay",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: {
    deliverer: { count: 3, start: run },
    // Not ours: it keeps what it knows in its head.
    outside: { count: 1, start: listen, spare: ["process"] },
  },
  workload: { clients: 2, operations: 20, think: 700, setup, operation },
  budget: { faults: "25s", heal: "120s" },
  invariants: {
    "a message has one id, and was sent": oneId,
    "an acknowledgement happens once": acknowledgedOnce,
    "messages of a key come in the order of their sending": inOrder,
  },
  eventually: { "all that was sent has been delivered, or is a dead letter": allDelivered },
};

interface Message {
  readonly n: number;
  readonly key?: string;
}

interface Arrival extends Message {
  readonly id: string;
}

/** What a client knows of a message. */
interface Sending extends Message {
  /** Within a transaction that also wrote its order. */
  readonly within: boolean;
  /** Events are counted through: when it began to be sent, and since when it is known to be. */
  readonly began: number;
  sent?: number;
}

const port = 80;
const isPoison = (n: number) => n % 9 === 8;

const arrivals = ({ state }: Pick<World, "state">) => state.get("arrivals") as Arrival[];
const sendings = ({ state }: Pick<World, "state">) => state.get("sendings") as Map<number, Sending>;

function setup({ state }: World): void {
  state.set("arrivals", []);
  state.set("sendings", new Map());
  state.set("events", 0);
}

function tick({ state }: Pick<World, "state">): number {
  const next = (state.get("events") as number) + 1;
  state.set("events", next);
  return next;
}

function open({ engine }: Pick<SimulatedNode, "engine">, deliver = () => Promise.resolve()): Relay<Message> {
  return createRelay<Message>(engine, "orders", {
    deliver,
    retry: { attempts: 1000, backoff: { base: 50, cap: 1000 } },
    lease: "2s",
    timeout: "3s",
  });
}

/** The receiver. */
function listen(node: SimulatedNode): void {
  const { network, runtime } = node;
  network.listen(port, (connection) => {
    let text = "";
    connection.onClose = () => {};
    connection.onEnd = () => connection.end();
    connection.onData = (bytes) => {
      text += decodeUtf8(bytes);
      if (!text.endsWith("\n")) return;
      const arrival = JSON.parse(text) as Arrival;
      const dice = runtime.random.next();
      if (isPoison(arrival.n)) connection.write(encodeUtf8("400"));
      else if (dice < 0.1) connection.write(encodeUtf8("503"));
      else if (dice < 0.13) connection.write(encodeUtf8("410"));
      else {
        arrivals(node).push(arrival);
        if (dice < 0.2) connection.destroy();
        else if (dice < 0.3)
          runtime.timers.after(runtime.random.next() * 5000, () => connection.write(encodeUtf8("200")));
        else connection.write(encodeUtf8("200"));
      }
    };
  });
}

async function post({ network }: SimulatedNode, arrival: Arrival, signal: AbortSignal): Promise<string> {
  const connection = await network.connect("outside-0", port);
  const answer = Promise.withResolvers<string>();
  const onAbort = (): void => connection.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  connection.onData = (bytes) => answer.resolve(decodeUtf8(bytes));
  connection.onEnd = () => connection.end();
  connection.onClose = (error) => answer.reject(error ?? new Error("the connection ended without an answer"));
  connection.write(encodeUtf8(`${JSON.stringify(arrival)}\n`));
  return await answer.promise.finally(() => {
    signal.removeEventListener("abort", onAbort);
    connection.destroy();
  });
}

function run(node: SimulatedNode): void {
  const { runtime } = node;
  const deliver = async (message: Message, { id, signal, tx }: DeliverContext): Promise<void> => {
    const answer = await post(node, { ...message, id }, signal);
    if (answer === "400") throw park("the receiver refuses it");
    if (answer === "410") throw stop("the receiver wants no more");
    if (answer !== "200") throw new Error(`answered ${answer}`);
    if (runtime.random.next() < 0.7) tx.add(["acknowledged", message.n], 1);
  };
  const relay = createRelay<Message>(node.engine, "orders", {
    deliver,
    retry: { attempts: 1000, backoff: { base: 50, cap: 1000 } },
    lease: "2s",
    timeout: "3s",
  });
  void (async () => {
    for (;;) {
      const running = relay.run({ concurrency: 4, drain: "1s" });
      await sleep(runtime, 500 + runtime.random.next() * 4000);
      // An operator looks after relays that were stopped.
      await relay.queue.resume().catch(() => {});
      if (runtime.random.next() < 0.5) await sleep(runtime, 1000);
      await running.close();
    }
  })();
}

async function operation(client: SimulatedClient): Promise<void> {
  const { engine, runtime, name } = client;
  const { random } = runtime;
  const relay = open(client);
  const n = sendings(client).size;
  const message: Message = { n, ...(random.next() < 0.5 && { key: name }) };
  const within = random.next() < 0.5;
  const sending: Sending = { ...message, within, began: tick(client) };
  sendings(client).set(n, sending);
  const options = {
    ...(message.key !== undefined && { key: message.key }),
    ...(random.next() < 0.3 && { id: `own-${n}` }),
  };
  if (within) {
    await engine.transact(async (tx) => {
      tx.set(["order", n], (await tx.get(["orders"])) ?? -1);
      tx.set(["orders"], n);
      await relay.send(message, { ...options, tx });
    });
  } else {
    await sendSurely(client, relay, message, options);
  }
  sending.sent = tick(client);
}

/** Who gave an id may send again what was not answered. */
async function sendSurely(
  { runtime }: SimulatedClient,
  relay: Relay<Message>,
  message: Message,
  options: { readonly key?: string; readonly id?: string },
): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      await relay.send(message, options);
      return;
    } catch (error) {
      if (options.id === undefined || i === 20 || !isAshlarError(error)) throw error;
      await sleep(runtime, 100);
    }
  }
}

async function oneId(world: World): Promise<void> {
  const ids = new Map<number, string>();
  const messages = new Map<string, number>();
  for (const { n, id } of arrivals(world)) {
    assert.equal(ids.get(n) ?? id, id, `message ${n} came under two ids`);
    assert.equal(messages.get(id) ?? n, n, `the id ${id} was given to two messages`);
    ids.set(n, id);
    messages.set(id, n);
    const sending = sendings(world).get(n);
    assert.ok(sending, `message ${n} was never sent`);
    if (sending.within) assert.ok(await world.engine.kv.get(["order", n]), `message ${n} came without its order`);
  }
}

async function acknowledgedOnce({ engine }: World): Promise<void> {
  for await (const { key, value } of engine.kv.list<number>({ prefix: ["acknowledged"] }))
    assert.equal(value, 1, `${key[1]} was acknowledged ${value} times`);
}

/** Of two messages of a key, one of which was surely sent before the other began to be. */
function inOrder(world: World): void {
  const first = new Map<number, number>();
  for (const [at, { n }] of arrivals(world).entries()) if (!first.has(n)) first.set(n, at);
  for (const [later, at] of first) {
    const sending = sendings(world).get(later);
    if (sending?.key === undefined) continue;
    for (const [n, earlier] of sendings(world)) {
      if (earlier.key !== sending.key || earlier.sent === undefined || earlier.sent > sending.began || isPoison(n))
        continue;
      const before = first.get(n);
      assert.ok(before !== undefined && before < at, `message ${later} came before ${n}, of the same key`);
    }
  }
}

async function allDelivered(world: World): Promise<boolean> {
  const { queue } = open(world);
  const { waiting, delayed, blocked, active } = await queue.counts();
  if (waiting + delayed + blocked + active > 0)
    assert.fail(`${waiting} wait, ${delayed} are delayed, ${blocked} blocked, ${active} active`);
  const came = new Set(arrivals(world).map(({ n }) => n));
  const dead = new Set((await Array.fromAsync(queue.deadLetters.list())).map(({ data }) => data?.message.n));
  for (const [n, { sent, within }] of sendings(world)) {
    const committed = sent !== undefined || (within && (await world.engine.kv.get(["order", n])) !== undefined);
    if (!committed) continue;
    assert.equal(dead.has(n), isPoison(n), `message ${n} and the dead letters`);
    assert.equal(came.has(n), !isPoison(n), `message ${n} and the receiver`);
  }
  return true;
}
