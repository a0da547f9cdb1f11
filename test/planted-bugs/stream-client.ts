import { linearizable, register } from "../../src/check/index.ts";
import { sleep } from "../../src/core/index.ts";
import type { Connection, Network, Scenario, SimulatedClient, SimulatedNode } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";

interface ClientPractice {
  /** Milliseconds until a request is given up; `Infinity`: never. */
  readonly timeout: number;
  /** Whether a connection on which an answer is overdue is used for the next request. */
  readonly reuse: boolean;
}

const port = 80;
const timedOut = Symbol("timed out");

/** A register behind a stream: a line of JSON each for request and answer, in order. Clients keep one connection open. */
function streams(practice: ClientPractice): Scenario {
  return {
    name: "register over streams",
    faults: ["network", "clock"],
    nodes: { server: { count: 1, start: startServer } },
    workload: {
      clients: 3,
      operations: 20,
      async operation(client) {
        const isRead = client.runtime.random.next() < 0.5;
        const value = `${client.name}.${client.operation}`;
        if (isRead) await client.record({ name: "get" }, () => call(client, { get: true }, practice));
        else await client.record({ name: "set", input: value }, () => call(client, { set: value }, practice));
      },
    },
    checks: [linearizable(register)],
  };
}

function startServer({ network }: SimulatedNode): void {
  let value: string | null = null;
  network.listen(port, (connection) => {
    onLine(connection, (line) => {
      const request = JSON.parse(line) as { set?: string };
      if (request.set !== undefined) value = request.set;
      connection.write(Buffer.from(`${JSON.stringify(value)}\n`));
    });
    connection.onEnd = () => connection.end();
  });
}

/** A connection and those who wait for a line on it, in their order. */
interface Channel {
  readonly connection: Connection;
  readonly waiting: ((line: string) => void)[];
  readonly lost: Promise<never>;
  broken: boolean;
}

const channels = new WeakMap<Network, Channel>();

async function call(client: SimulatedClient, request: unknown, { timeout, reuse }: ClientPractice): Promise<unknown> {
  const channel = await channelOf(client);
  const { connection, waiting, lost } = channel;
  // A client that reuses its connection has forgotten whom it gave up waiting for.
  waiting.length = 0;
  const answered = new Promise<string>((resolve) => void waiting.push(resolve));
  connection.write(Buffer.from(`${JSON.stringify(request)}\n`));
  const late = Number.isFinite(timeout) ? [sleep(client.runtime, timeout).then(() => timedOut)] : [];
  const answer = await Promise.race([answered, lost, ...late]);
  if (typeof answer === "string") return JSON.parse(answer);
  if (!reuse) {
    channel.broken = true;
    connection.destroy();
  }
  throw new Error("no answer in time");
}

async function channelOf({ network }: SimulatedClient): Promise<Channel> {
  const known = channels.get(network);
  if (known && !known.broken) return known;
  const connection = await network.connect("server-0", port);
  const { promise: lost, reject } = Promise.withResolvers<never>();
  lost.catch(() => {});
  const channel: Channel = { connection, waiting: [], lost, broken: false };
  onLine(connection, (line) => channel.waiting.shift()?.(line));
  connection.onClose = (error) => {
    channel.broken = true;
    reject(error ?? new Error("the connection is closed"));
  };
  channels.set(network, channel);
  return channel;
}

function onLine(connection: Connection, take: (line: string) => void): void {
  let rest = "";
  connection.onData = (bytes) => {
    const lines = (rest + Buffer.from(bytes).toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  };
}

const correct = streams({ timeout: 300, reuse: false });

export const reusedConnection: PlantedBug = {
  name: "connection-reused-after-timeout",
  what: "a client gives up waiting, keeps the connection, and takes the late answer for that of its next request",
  within: 50,
  correct,
  planted: streams({ timeout: 300, reuse: true }),
};

export const noTimeout: PlantedBug = {
  name: "no-timeout",
  what: "a client waits for an answer without an end, on a connection whose other end is dead and has not said so",
  within: 50,
  correct,
  planted: streams({ timeout: Number.POSITIVE_INFINITY, reuse: false }),
};
