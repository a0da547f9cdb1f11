import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../../core/index.ts";
import { createDice } from "../dice.ts";
import { explore } from "../explore.ts";
import { drawCut } from "../nemesis.ts";
import type { Scenario, SimulatedNode, World } from "../scenario.ts";
import { simulate } from "../simulate.ts";
import type { Connection } from "./streams.ts";

type Notes = World["state"];

function notes<T>(state: Notes, name: string, initial: T): T {
  if (!state.has(name)) state.set(name, initial);
  return state.get(name) as T;
}

/** A client that connects once and speaks, and a server that notes what it hears. */
function talk(
  speak: (connection: Connection, notes: Notes, node: Pick<SimulatedNode, "runtime">) => Promise<void>,
  listen: (connection: Connection, notes: Notes, node: SimulatedNode) => void,
  changes: Partial<Scenario> = {},
): Scenario {
  return {
    faults: "none",
    nodes: {
      server: { start: (node) => void node.network.listen(80, (connection) => listen(connection, node.state, node)) },
    },
    workload: {
      clients: 1,
      operations: 1,
      operation: async (client) => await speak(await client.network.connect("server-0", 80), client.state, client),
    },
    ...changes,
  };
}

/** Sends numbered bytes in pieces, ends, and waits for the close. */
async function send(connection: Connection, state: Notes, count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  connection.onClose = (error) => {
    state.set("sender", error?.message ?? "closed");
    resolve();
  };
  for (let i = 0; i < count; i++) connection.write(Uint8Array.of(i & 255, i >> 8));
  connection.end();
  await promise;
}

function receive(connection: Connection, state: Notes): void {
  const heard = notes<number[]>(state, "heard", []);
  connection.onData = (bytes) => heard.push(...bytes);
  connection.onEnd = () => {
    state.set("ended", true);
    connection.end();
  };
  connection.onClose = (error) => state.set("receiver", error?.message ?? "closed");
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => [i & 255, i >> 8]).flat();

async function run(scenario: Scenario, seed = 1): Promise<Notes> {
  let state: Notes = new Map();
  const note = (world: World): void => {
    state = world.state;
  };
  const { failure } = await simulate({
    ...scenario,
    workload: { ...scenario.workload, setup: (world) => note(world) },
    seed,
  });
  assert.equal(failure, undefined);
  return state;
}

test("a server that speaks first is heard, however early its words arrive", async () => {
  for (let seed = 0; seed < 40; seed++) {
    const state = await run(
      talk(
        async (connection, notes) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          receive(connection, notes);
          connection.onClose = () => resolve();
          await promise;
        },
        (connection) => {
          connection.write(Uint8Array.of(7));
          connection.end();
        },
      ),
      seed,
    );
    assert.deepEqual([state.get("heard"), state.get("ended")], [[7], true], `seed ${seed}`);
  }
});

test("a stream brings all bytes in order, then the end, and closes on both sides", async () => {
  const state = await run(talk((connection, state) => send(connection, state, 500), receive));
  assert.deepEqual(state.get("heard"), numbers(500));
  assert.deepEqual([state.get("ended"), state.get("sender"), state.get("receiver")], [true, "closed", "closed"]);
});

test("loss, delay and duplication neither lose, repeat nor reorder the bytes of a stream", async () => {
  const scenario = talk((connection, state) => send(connection, state, 200), receive, {
    faults: ["loss", "delay", "duplicate"],
    strengths: { loss: 0.2, delay: 0.2, duplicate: 0.2 },
  });
  for (let seed = 0; seed < 20; seed++) {
    const state = await run(scenario, seed);
    const heard = state.get("heard") as number[];
    // A segment that is lost too often breaks the connection; what has come by then is a beginning.
    assert.deepEqual(heard, numbers(200).slice(0, heard.length));
    if (state.get("receiver") === "closed") assert.equal(heard.length, 400);
  }
});

test("a reset breaks both ends with ECONNRESET, and what was heard is a beginning", async () => {
  const scenario = talk((connection, state) => send(connection, state, 300), receive, {
    faults: ["reset"],
    strengths: { reset: 0.02 },
  });
  let resets = 0;
  for (let seed = 0; seed < 10; seed++) {
    const state = await run(scenario, seed);
    const heard = (state.get("heard") ?? []) as number[];
    assert.deepEqual(heard, numbers(300).slice(0, heard.length));
    if (state.get("sender") === "read ECONNRESET") resets++;
  }
  assert.ok(resets > 3, String(resets));
});

test("a sender waits while nobody reads: memory is bounded by the window", async () => {
  const chunk = new Uint8Array(16 * 1024);
  let sent = 0;
  const scenario = talk(
    async (connection, _, { runtime }) => {
      for (let i = 0; i < 50; i++) connection.write(chunk, () => sent++);
      await sleep(runtime, 5_000);
    },
    (connection) => connection.pause(),
  );
  await run(scenario);
  assert.equal(sent, 4);
});

test("a reader that pauses and goes on loses nothing", async () => {
  const scenario = talk(
    (connection, state) => send(connection, state, 300),
    (connection, state, { runtime }) => {
      receive(connection, state);
      const toggle = (): void => {
        connection.pause();
        runtime.timers.after(30, () => {
          connection.resume();
          runtime.timers.after(1, toggle);
        });
      };
      toggle();
    },
    { budget: { settle: "60s" } },
  );
  const state = await run(scenario);
  assert.deepEqual(state.get("heard"), numbers(300));
});

test("the crash of one end ends the stream, and resets it when the other sends on; a loss of power says nothing", async () => {
  const outcomes = async (kind: "crash" | "power-loss", sends: boolean): Promise<unknown[]> => {
    const found = new Set<unknown>();
    const scenario = talk(
      async (connection, state, { runtime }) => {
        connection.onEnd = () => state.set("end", "end");
        connection.onClose = (error) => state.set("end", error?.message);
        for (let i = 0; i < 30; i++) {
          await sleep(runtime, 100);
          if (sends) connection.write(Uint8Array.of(i));
        }
      },
      () => {},
      { faults: [kind], strengths: { [kind]: 0.5 } },
    );
    for (let seed = 0; seed < 10; seed++) found.add((await run(scenario, seed)).get("end"));
    found.delete(undefined);
    return [...found];
  };
  assert.deepEqual(await outcomes("crash", false), ["end"]);
  assert.deepEqual(await outcomes("crash", true), ["read ECONNRESET"]);
  assert.deepEqual(await outcomes("power-loss", false), []);
});

test("connecting fails with the code that says why", async () => {
  const codes: unknown[] = [];
  await run({
    faults: "none",
    nodes: { server: { start: () => {} } },
    workload: {
      clients: 1,
      operations: 1,
      operation: async ({ network }) => {
        for (const name of ["server-0", "nobody"])
          await network.connect(name, 80).catch((error) => codes.push(error.code));
        network.listen(81, () => {});
        try {
          network.listen(81, () => {});
        } catch (error) {
          codes.push((error as { code: string }).code);
        }
      },
    },
  });
  assert.deepEqual(codes, ["ECONNREFUSED", "ENOTFOUND", "EADDRINUSE"]);
});

test("datagrams are lost, repeated and overtaken as the faults say, and are copies", async () => {
  const scenario = (strengths: Scenario["strengths"]): Scenario => ({
    faults: ["network"],
    strengths: {
      partition: 0,
      "one-way": 0,
      ring: 0,
      bridge: 0,
      isolate: 0,
      loss: 0,
      duplicate: 0,
      delay: 0,
      ...strengths,
    },
    nodes: {
      sink: {
        start: ({ network, state }) => {
          network.bind(9, ({ payload }) => notes<number[]>(state, "heard", []).push((payload as { n: number }).n));
        },
      },
    },
    workload: {
      clients: 1,
      operations: 1,
      operation: async ({ network, runtime }) => {
        const payload = { n: 0 };
        for (; payload.n < 200; payload.n++) {
          network.send("sink-0", 9, payload);
          await sleep(runtime, 1);
        }
      },
    },
  });
  const heard = async (strengths: Scenario["strengths"]) => (await run(scenario(strengths))).get("heard") as number[];
  const sorted = (list: number[]) => list.toSorted((a, b) => a - b);
  assert.deepEqual(sorted(await heard({})), numbers(0).concat(Array.from({ length: 200 }, (_, i) => i)));
  const lossy = await heard({ loss: 0.3 });
  assert.ok(lossy.length > 100 && lossy.length < 180);
  assert.ok((await heard({ duplicate: 0.3 })).length > 230);
  const slow = await heard({ delay: 0.3 });
  assert.notDeepEqual(slow, sorted(slow));
});

test("a partition stops messages between its sides only while it lasts", async () => {
  const scenario: Scenario = {
    faults: ["partition", "one-way", "ring", "bridge", "isolate"],
    nodes: {
      peer: {
        count: 5,
        start: ({ network, runtime, name, peers, state }) => {
          network.bind(9, ({ from }) => notes<string[]>(state, "heard", []).push(`${from}→${name}`));
          const beat = (): void => {
            for (const other of peers("peer")) if (other !== name) network.send(other, 9, "beat");
            runtime.timers.after(100, beat);
          };
          beat();
        },
      },
    },
    workload: { clients: 1, operations: 200, think: 50, operation: () => {} },
    eventually: {
      "everybody hears everybody": ({ state }) => {
        const heard = notes<string[]>(state, "heard", []);
        const all = new Set(heard).size === 20;
        heard.length = 0;
        return all;
      },
    },
    budget: { heal: "10s" },
  };
  const { failures, struck } = await explore(scenario, { seeds: 10 });
  assert.deepEqual(failures, []);
  assert.deepEqual(Object.keys(struck).sort(), ["bridge", "isolate", "one-way", "partition", "ring"]);
});

test("cuts have the shapes that they are named after", () => {
  for (let seed = 0; seed < 200; seed++) {
    const dice = createDice(seed, "cut");
    const hosts = Array.from({ length: 3 + (seed % 7) }, (_, i) => `h${i}`);
    const hears = (kind: Parameters<typeof drawCut>[0], leader?: string) => {
      const cut = drawCut(kind, hosts, dice, leader);
      assert.ok(cut);
      return hosts.map((to) => hosts.filter((from) => from === to || !cut.blocks(from, to)));
    };
    const majority = Math.floor(hosts.length / 2) + 1;
    const ring = hears("ring");
    assert.ok(ring.every((heard) => heard.length >= majority && heard.length <= majority + 1));
    if (hosts.length > 3) assert.equal(new Set(ring.map((heard) => heard.join())).size, hosts.length);
    assert.equal(new Set(hears("partition").map((heard) => heard.join())).size, 2);
    assert.equal(hears("bridge").filter((heard) => heard.length === hosts.length).length, 1);
    assert.equal(hears("isolate", "h0").filter((heard) => heard.length === 1).length, 1);
    const oneWay = hears("one-way");
    assert.ok(
      oneWay.some((heard) => heard.length === hosts.length) && oneWay.some((heard) => heard.length < hosts.length),
    );
  }
});
