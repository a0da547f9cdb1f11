import { createRecorder, type ListStep, type Operation } from "../../src/check/index.ts";
import { type Seeded, seeded } from "../seeded.ts";
import { RemoteClient, type Task } from "./remote-client.ts";

export interface HistoryOptions {
  readonly url: string;
  readonly seed: number;
  readonly clients: number;
  /** Operations of each client. */
  readonly operations: number;
  /** Draws an operation: the nth that `client` does. */
  readonly draw: (random: Seeded, client: number, n: number) => Task;
  /** Called each time so many operations have ended: for trouble. */
  readonly every?: { readonly operations: number; readonly run: (trouble: Trouble) => Promise<void> };
}

export interface Trouble {
  readonly random: Seeded;
  /** Kills one of the clients' processes; another one takes its place. */
  killClient(): Promise<void>;
}

/** Lets clients, each in a process of its own, work at the same time, and records what they are told. */
export async function recordHistory(options: HistoryOptions): Promise<Operation[]> {
  const { url, seed, clients, operations, draw, every } = options;
  const recorder = createRecorder({ now: () => performance.now() });
  const current = new Map<number, RemoteClient>();
  const random = seeded(seed);
  let ended = 0;
  let trouble: Promise<void> = Promise.resolve();

  const killClient = async (): Promise<void> => {
    const live = [...current.values()].filter((client) => !client.gone);
    if (live.length > 0) await random.pick(live).kill();
  };

  const work = async (number: number): Promise<void> => {
    const own = seeded(seed * 1000 + number);
    let session = 0;
    for (let n = 0; n < operations; n++) {
      let remote = current.get(number);
      if (!remote || remote.gone) {
        remote = await start(url);
        current.set(number, remote);
        session++;
      }
      const task = draw(own, number, n);
      const call = { client: `c${number}.${session}`, ...toCall(task) };
      const live = remote;
      // Whoever met trouble waits until it is over, so that most operations are answered.
      await recorder.record(call, () => live.call(task)).catch(() => trouble);
      if (every && ++ended % every.operations === 0) {
        trouble = trouble.then(() => every.run({ random, killClient }));
        await trouble;
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: clients }, (_, number) => work(number)));
    await trouble;
  } finally {
    await Promise.all([...current.values()].map((client) => client.kill()));
  }
  return recorder.history();
}

/** A server that was just killed may still be coming back. */
async function start(url: string): Promise<RemoteClient> {
  for (let attempt = 1; ; attempt++) {
    const client = new RemoteClient(url);
    try {
      await client.ready;
      return client;
    } catch (error) {
      await client.kill();
      if (attempt === 10) throw error;
    }
  }
}

function toCall(task: Task): { name: string; key?: string; input?: unknown } {
  switch (task.do) {
    case "transact":
      return { name: "transact", input: task.steps };
    case "set":
      return { name: "set", key: String(task.key), input: task.value };
    case "add":
      return { name: "add", key: String(task.key), input: task.delta };
    case "cas":
      return { name: "cas", key: String(task.key), input: { expected: task.expected, value: task.value } };
    default:
      return { name: task.do, key: String(task.key) };
  }
}

/** Operations of the model "key-value" on a few keys. */
export function drawKv(random: Seeded, client: number, n: number): Task {
  const key = [`k${random.integer(0, 3)}`];
  const value = `${client}.${n}`;
  switch (random.integer(0, 5)) {
    case 0:
    case 1:
      return { do: "get", key };
    case 2:
      return { do: "set", key, value };
    case 3:
      return { do: "delete", key };
    case 4:
      return { do: "cas", key, expected: random.pick([null, value, `${client}.${n - 1}`]), value };
    default:
      return { do: "add", key: ["sum"], delta: random.integer(1, 5) };
  }
}

/** Transactions of one to four steps. Every twenty operations of a client the lists are new ones, so that they stay short. */
export function drawTransaction(random: Seeded, client: number, n: number): Task {
  const steps = Array.from({ length: random.integer(1, 4) }, (_, i): ListStep => {
    const list = `${random.pick(["array", "range"])}-${random.integer(0, 2)}-${Math.floor(n / 20)}`;
    return random.pick([true, false]) ? ["r", list, null] : ["append", list, `${client}.${n}.${i}`];
  });
  return { do: "transact", steps };
}
