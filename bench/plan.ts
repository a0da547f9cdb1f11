import type { ContestantName, Workload } from "./contestant.ts";

export type EngineName = "sqlite" | "postgres" | "memory";

/** One engine of ours and those that it is measured beside. */
export interface Suite {
  readonly engine: EngineName;
  readonly ours: ContestantName;
  readonly peers: readonly ContestantName[];
}

export const suites: readonly Suite[] = [
  { engine: "sqlite", ours: "ashlar-sqlite", peers: ["sqlite-by-hand", "deno-kv"] },
  { engine: "postgres", ours: "ashlar-postgres", peers: ["pg", "pg-transaction"] },
  { engine: "memory", ours: "ashlar-memory", peers: [] },
];

export const titles: Readonly<Record<ContestantName, string>> = {
  "ashlar-sqlite": "ashlar",
  "ashlar-postgres": "ashlar",
  "ashlar-memory": "ashlar",
  "sqlite-by-hand": "node:sqlite by hand",
  "deno-kv": "@deno/kv",
  pg: "pg, one statement, autocommit",
  "pg-transaction": "pg, BEGIN … COMMIT",
};

/** At how many callers each workload is run. */
export const concurrencies: Readonly<Record<Workload, readonly number[]>> = {
  get: [1, 64, 512],
  set: [1, 64, 512],
  cas: [1, 64, 512],
  transact: [1, 64, 512],
  range: [1, 64],
  append: [1, 64, 512],
  "read-log": [1],
  "read-log-single": [1],
};

/** At how many callers the event loop is watched under writes. */
export const watched: readonly number[] = [64, 512];

export interface Sizes {
  readonly keys: number;
  readonly rounds: number;
  /** Of one round. */
  readonly ms: number;
  /** Of the round before the first that counts. */
  readonly warmUpMs: number;
  /** Of the round that watches the event loop. */
  readonly watchMs: number;
  readonly records: Readonly<Record<EngineName, number>>;
  /** Each waits for its own commit, so there are fewer. */
  readonly recordsSingly: Readonly<Record<EngineName, number>>;
}

export const full: Sizes = {
  keys: 200_000,
  rounds: 5,
  ms: 400,
  warmUpMs: 300,
  watchMs: 3000,
  records: { sqlite: 1_000_000, postgres: 200_000, memory: 1_000_000 },
  recordsSingly: { sqlite: 50_000, postgres: 10_000, memory: 100_000 },
};

export const quick: Sizes = {
  keys: 20_000,
  rounds: 3,
  ms: 150,
  warmUpMs: 100,
  watchMs: 1000,
  records: { sqlite: 100_000, postgres: 20_000, memory: 100_000 },
  recordsSingly: { sqlite: 5_000, postgres: 1_000, memory: 10_000 },
};

/** What we want to reach. Printed, never asserted: a busy machine is no defect. */
export type Target =
  | {
      readonly engine: EngineName;
      readonly workload: Workload;
      readonly concurrency?: number;
      readonly peer: ContestantName;
      readonly ratio: number;
    }
  | { readonly engine: EngineName; readonly workload: Workload; readonly rate: number };

export const targets: readonly Target[] = [
  { engine: "sqlite", workload: "set", concurrency: 64, peer: "sqlite-by-hand", ratio: 0.6 },
  { engine: "sqlite", workload: "get", peer: "sqlite-by-hand", ratio: 0.5 },
  { engine: "sqlite", workload: "read-log", rate: 1_000_000 },
  { engine: "sqlite", workload: "read-log-single", rate: 1_000_000 },
  { engine: "postgres", workload: "set", concurrency: 64, peer: "pg", ratio: 5 },
  { engine: "postgres", workload: "set", concurrency: 512, peer: "pg", ratio: 8 },
  { engine: "postgres", workload: "set", concurrency: 64, peer: "pg-transaction", ratio: 5 },
  { engine: "postgres", workload: "set", concurrency: 512, peer: "pg-transaction", ratio: 8 },
];

/** Milliseconds that the event loop may be late at the 99th percentile, under full write load. */
export const delayTarget = 10;
