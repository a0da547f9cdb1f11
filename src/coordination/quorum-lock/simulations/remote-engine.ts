import { OutcomeUnknownError, UnavailableError } from "../../../core/index.ts";
import { createEngine, type Driver, type Engine } from "../../../engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../../engine/memory/index.ts";
import type { SimulatedNode } from "../../../simulation/index.ts";

/** Several independent stores in one simulated world: each a machine that answers calls of drivers by datagram. What it was told survives its crashes. */

type Method = "getMany" | "list" | "commitMany" | "sweep" | "now" | "revision";

interface Call {
  readonly id: string;
  readonly method: Method;
  readonly args: readonly unknown[];
}

interface Answer {
  readonly id: string;
  readonly result?: unknown;
  readonly error?: string;
}

const port = 7;
const answerTimeoutMs = 3_000;

/** The program of a store's machine. */
export function serveStore({ name, network, runtime, state }: SimulatedNode): void {
  const key = `store of ${name}`;
  const store = (state.get(key) as MemoryStore | undefined) ?? new MemoryStore(runtime);
  state.set(key, store);
  const driver = createMemoryDriver(store);
  // The network may deliver a call twice; a connection would not.
  const served = new Set<string>();
  network.bind(port, async ({ from, fromPort, payload }) => {
    const { id, method, args } = payload as Call;
    if (served.has(id)) return;
    served.add(id);
    let answer: Answer;
    try {
      answer = { id, result: await (driver[method] as (...given: readonly unknown[]) => unknown)(...args) };
    } catch (error) {
      answer = { id, error: (error as Error).message };
    }
    network.send(from, fromPort, answer);
  });
}

/** The store of that machine as an engine, for reads and commits: it has no watches. */
export function openRemote(node: SimulatedNode, host: string): Engine {
  const { network, runtime } = node;
  const waiting = new Map<string, PromiseWithResolvers<unknown>>();
  const ownPort = 1000 + node.peers("store").indexOf(host);
  let calls = 0;
  network.bind(ownPort, ({ payload }) => {
    const { id, result, error } = payload as Answer;
    const caller = waiting.get(id);
    if (error === undefined) caller?.resolve(result);
    else caller?.reject(new Error(error));
  });

  async function call(method: Method, writes: boolean, ...args: readonly unknown[]): Promise<never> {
    const id = `${node.name}/${node.incarnation}/${calls++}`;
    const caller = Promise.withResolvers<unknown>();
    waiting.set(id, caller);
    const timer = runtime.timers.after(answerTimeoutMs, () =>
      caller.reject(writes ? new OutcomeUnknownError("no answer") : new UnavailableError("no answer")),
    );
    network.send(host, port, { id, method, args } satisfies Call, ownPort);
    try {
      return (await caller.promise) as never;
    } finally {
      timer.cancel();
      waiting.delete(id);
    }
  }

  const local = createMemoryDriver(new MemoryStore(runtime));
  const driver: Driver = {
    name: host,
    guarantees: { ...local.guarantees, unknownOutcomes: "possible", sharing: "network", clock: "server" },
    limits: local.limits,
    flush: { commits: 64, bytes: 1024 * 1024, inFlight: 4, immediate: false },
    getMany: (keys) => call("getMany", false, keys, {}),
    list: (range, { limit, reverse }) => call("list", false, range, { limit, reverse }),
    commitMany: (commits) => call("commitMany", true, commits),
    sweep: (limit) => call("sweep", true, limit),
    now: () => call("now", false),
    revision: () => call("revision", false),
    watch: () => Promise.reject(new UnavailableError("this connection has no watches")),
    close: async () => {},
  };
  return createEngine(driver, { runtime });
}
