import { linearizable } from "../../src/check/index.ts";
import { register } from "../../src/check/models/register.ts";
import type { Scenario, SimulatedClient, SimulatedNode } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { recoverFile, replaceFile } from "./replace-file.ts";
import { request, serve } from "./request.ts";

/**
 * A register on three replicas, by majority quorums (Attiya, Bar-Noy, Dolev: Sharing memory robustly in message-passing systems, JACM 1995). Clients coordinate:
 * a write asks a majority for the greatest tag and stores under a greater one; a read stores what it has read before it returns.
 */
interface Variant {
  readonly writeBack: boolean;
  /** Replicas that must have stored a write. */
  readonly writeQuorum: number;
  readonly durable: boolean;
}

interface Tagged {
  readonly count: number;
  readonly writer: string;
  readonly value: unknown;
}

const replicas = ["replica-0", "replica-1", "replica-2"];
const majority = 2;
const port = 1;
const path = "/value";
const nothing: Tagged = { count: 0, writer: "", value: null };

function replicated(variant: Variant): Scenario {
  return {
    name: "register on replicas",
    faults: ["process", "network", "clock", "disk"],
    nodes: { replica: { count: replicas.length, start: (node) => startReplica(node, variant.durable) } },
    workload: {
      clients: 4,
      operations: 20,
      think: 40,
      async operation(client) {
        const isRead = client.runtime.random.next() < 0.6;
        if (isRead) await client.record({ name: "get" }, () => read(client, variant));
        else {
          const value = `${client.name}.${client.operation}`;
          await client.record({ name: "set", input: value }, () => write(client, value, variant));
        }
      },
    },
    checks: [linearizable(register)],
  };
}

async function startReplica(node: SimulatedNode, durable: boolean): Promise<void> {
  let current = durable ? await load(node) : nothing;
  let storing: Promise<unknown> = Promise.resolve();
  const store = async (given: Tagged): Promise<void> => {
    if (!isGreater(given, current)) return;
    if (durable) await replaceFile(node.disk, path, JSON.stringify(given));
    current = given;
  };
  serve(node, port, async (body) => {
    if (body === "query") return current;
    const stored = storing.then(() => store(body as Tagged));
    storing = stored.catch(() => {});
    await stored;
    return "stored";
  });
}

async function load({ disk }: SimulatedNode): Promise<Tagged> {
  const content = await recoverFile(disk, path);
  return content === undefined ? nothing : (JSON.parse(content) as Tagged);
}

async function write(client: SimulatedClient, value: string, { writeQuorum }: Variant): Promise<null> {
  const { count } = await query(client);
  const attempt = String(client.operation).padStart(3, "0");
  await ask(client, { count: count + 1, writer: `${client.name} ${attempt}`, value } satisfies Tagged, writeQuorum);
  return null;
}

async function read(client: SimulatedClient, { writeBack }: Variant): Promise<unknown> {
  const found = await query(client);
  if (writeBack) await ask(client, found, majority);
  return found.value;
}

async function query(client: SimulatedClient): Promise<Tagged> {
  const answers = await ask<Tagged>(client, "query", majority);
  return answers.reduce((greatest, each) => (isGreater(each, greatest) ? each : greatest), nothing);
}

function isGreater(a: Tagged, b: Tagged): boolean {
  return a.count > b.count || (a.count === b.count && a.writer > b.writer);
}

/** Asks all replicas; resolves with the first `quorum` answers. */
async function ask<T>(client: SimulatedClient, body: unknown, quorum: number): Promise<T[]> {
  const answers: T[] = [];
  const enough = Promise.withResolvers<void>();
  const asked = replicas.map(async (replica) => {
    answers.push(await request<T>(client, replica, port, body, 800));
    if (answers.length === quorum) enough.resolve();
  });
  await Promise.race([enough.promise, Promise.allSettled(asked)]);
  if (answers.length < quorum) throw new Error("no quorum");
  return answers.slice(0, quorum);
}

const right: Variant = { writeBack: true, writeQuorum: majority, durable: true };
const correct = replicated(right);

export const noWriteBack: PlantedBug = {
  name: "read-without-write-back",
  what: "a quorum read returns the newest value that it met without making sure that later reads meet it",
  within: 150,
  correct,
  planted: replicated({ ...right, writeBack: false }),
};

export const oneReplicaWrites: PlantedBug = {
  name: "write-to-one-replica",
  what: "a write is acknowledged when one replica has stored it",
  within: 60,
  correct,
  planted: replicated({ ...right, writeQuorum: 1 }),
};

export const forgetfulReplica: PlantedBug = {
  name: "replica-in-memory",
  what: "a replica that has promised to keep a value forgets it in a crash",
  within: 50,
  correct,
  planted: replicated({ ...right, durable: false }),
};
