import { linearizable } from "../../src/check/index.ts";
import { log } from "../../src/check/models/log.ts";
import type { Scenario, SimulatedClient, SimulatedNode } from "../../src/simulation/index.ts";
import { type LogPractice, openLog } from "./log-files.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { requestAgain, serve } from "./request.ts";

interface Append {
  readonly append: string;
  /** The same in each attempt. */
  readonly id: string;
}

const port = 1;

/** A service that keeps a log on its disk. What it has acknowledged survives crashes and losses of power. */
function logService(practice: LogPractice): Scenario {
  return {
    name: "durable log",
    faults: ["process", "network", "disk", "clock"],
    nodes: { log: { count: 1, start: (node) => start(node, practice) } },
    uncaught: "crash",
    workload: { clients: 3, operations: 20, think: 60, operation: appendOrRead },
    checks: [linearizable(log)],
  };
}

async function start(node: SimulatedNode, practice: LogPractice): Promise<void> {
  const files = await openLog(node, practice);
  serve(node, port, (body) => {
    if (body === "read") return files.values();
    const { append, id } = body as Append;
    return files.append(id, append);
  });
}

async function appendOrRead(client: SimulatedClient): Promise<void> {
  const { runtime, name, operation } = client;
  if (runtime.random.next() < 0.3) {
    await client.record({ name: "read" }, async () => {
      const values = await requestAgain<string[]>(client, "log-0", port, "read", { attempts: 200 });
      return values.map(withoutPadding);
    });
  } else {
    const value = `${name}.${operation}`;
    const append: Append = { id: value, append: padded(value, 20 + Math.floor(runtime.random.next() * 1500)) };
    await client.record({ name: "append", input: value }, () =>
      requestAgain<number>(client, "log-0", port, append, { attempts: 200 }),
    );
  }
}

/** Long enough to lie in several sectors. */
function padded(value: string, length: number): string {
  return `${value} ${"=".repeat(length)}.`;
}

/** The value, if its padding is whole. */
function withoutPadding(text: string): string {
  return /^(\S+) =+\.$/.exec(text)?.[1] ?? text;
}

const right: LogPractice = {
  acknowledge: "synced",
  onSyncError: "exit",
  checksum: true,
  snapshot: "synced",
};
const correct = logService(right);

export const earlyAcknowledgement: PlantedBug = {
  name: "acknowledge-before-fsync",
  what: "a record is acknowledged when it was written, a moment before it is synced",
  within: 100,
  correct,
  planted: logService({ ...right, acknowledge: "written" }),
};

export const trustedSync: PlantedBug = {
  name: "fsync-retried",
  what: "an fsync that failed is tried again and then believed, though the kernel has dropped what it was to write (fsyncgate)",
  within: 400,
  correct,
  planted: logService({ ...right, onSyncError: "retry" }),
};

export const tornRecord: PlantedBug = {
  name: "no-checksum",
  what: "recovery accepts the last record of the log by its length, and half of it was never written",
  within: 250,
  correct,
  planted: logService({ ...right, checksum: false }),
};

export const unsyncedSnapshot: PlantedBug = {
  name: "rename-without-fsync",
  what: "a snapshot is renamed into place before its content is synced, and the log that it replaces is dropped",
  within: 20,
  correct,
  planted: logService({ ...right, snapshot: "unsynced" }),
};
