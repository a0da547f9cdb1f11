import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import fastify from "fastify";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../scenario.ts";

type State = World["state"];

/** What the servers hold and what clients were told, by key. */
function numbersOf(state: State, name: string): Map<string, number> {
  if (!state.has(name)) state.set(name, new Map());
  return state.get(name) as Map<string, number>;
}

/** Adds to what the machine's disk holds, so that it outlives the process; the answer comes after the sync. */
async function increment({ disk }: SimulatedNode, key: string): Promise<number> {
  const path = `/${key}`;
  const next = Number(await disk.readFile(path, "utf8").catch(() => "0")) + 1;
  await disk.writeFile(`${path}.new`, String(next), { flush: true });
  await disk.rename(`${path}.new`, path);
  const folder = await disk.open("/", "r");
  await folder.sync();
  await folder.close();
  return next;
}

/** One request after the other for each key: reading and writing a file is no atomic step. */
function inTurn(): (work: () => Promise<number>) => Promise<number> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  };
}

const invariants: Scenario["invariants"] = {
  "counters never go back": ({ state }) => {
    assert.equal(numbersOf(state, "went back").size, 0);
  },
};

/** A client counts on a server of its choice, and notes if a later answer is not greater than all before. */
async function count({ name, operation, state, peers }: SimulatedClient): Promise<void> {
  const server = peers("server")[operation % peers("server").length] as string;
  const url = `http://${server}:8080/count/${name}`;
  const response = await fetch(url, { method: "POST", signal: AbortSignal.timeout(2_000) });
  assert.equal(response.status, 200);
  const { value } = (await response.json()) as { value: number };
  const key = `${server}/${name}`;
  const told = numbersOf(state, "told");
  if (value <= (told.get(key) ?? 0)) numbersOf(state, "went back").set(key, value);
  told.set(key, value);
}

const faults = ["crash", "partition", "one-way", "reset", "delay", "pause", "half-open"] as const;

/** An unmodified `node:http` server, asked by `fetch`. */
export const plainHttp: Scenario = {
  name: "node:http",
  mode: "patched",
  nodes: {
    server: {
      count: 2,
      start: (node) => {
        const turn = inTurn();
        const server = createServer((request: IncomingMessage, response) => {
          request.resume();
          const key = String(request.url).split("/").at(-1) as string;
          turn(() => increment(node, key)).then(
            (value) => {
              response.setHeader("content-type", "application/json");
              response.end(JSON.stringify({ value, at: Date.now(), chance: Math.random() }));
            },
            () => response.writeHead(500).end(),
          );
        });
        server.listen(8080);
      },
    },
  },
  faults,
  invariants,
  workload: { clients: 3, operations: 12, think: 200, operation: count },
};

/** The same with Fastify, as it comes. */
export const withFastify: Scenario = {
  ...plainHttp,
  name: "fastify",
  nodes: {
    server: {
      count: 2,
      start: async (node) => {
        const app = fastify();
        const turn = inTurn();
        app.post<{ Params: { key: string } }>("/count/:key", async ({ params }) => {
          return { value: await turn(() => increment(node, params.key)) };
        });
        await app.listen({ port: 8080 });
      },
    },
  },
};
