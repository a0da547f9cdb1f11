export type EngineName = "sqlite" | "postgres";

export type ContestantName =
  | "ashlar-sqlite"
  | "bullmq-everysec"
  | "bullmq-always"
  | "bee-everysec"
  | "bee-always"
  | "plainjob"
  | "plainjob-full"
  | "ashlar-postgres"
  | "bullmq-postgres"
  | "pg-boss"
  | "pg-boss-batch"
  | "graphile"
  | "graphile-tuned";

/** What is measured; "bulk" and "drain" are of the same jobs, the one after the other. */
export type Measure = "add" | "bulk" | "drain" | "idle" | "apart";

export interface Entry {
  readonly name: ContestantName;
  readonly title: string;
  readonly store: "folder" | "database" | "redis-everysec" | "redis-always";
  /** Jobs added one by one, if fewer than all: it is slow, and the rate is what counts. */
  readonly adds?: number;
  /** Jobs of the backlog, if fewer than all. */
  readonly backlog?: number;
  /** Samples of the idle queue, if fewer than all: it polls. */
  readonly samples?: number;
  /** Whether it notices a job that another process adds without being asked at intervals. */
  readonly apart: boolean;
}

/** The first of each engine is ours. */
export const entries: Readonly<Record<EngineName, readonly Entry[]>> = {
  sqlite: [
    { name: "ashlar-sqlite", title: "Ashlar on SQLite", store: "folder", apart: true },
    { name: "bullmq-everysec", title: "BullMQ, Redis everysec", store: "redis-everysec", apart: true },
    { name: "bullmq-always", title: "BullMQ, Redis always", store: "redis-always", apart: true },
    { name: "bee-everysec", title: "bee-queue, Redis everysec", store: "redis-everysec", apart: true },
    { name: "bee-always", title: "bee-queue, Redis always", store: "redis-always", apart: true },
    { name: "plainjob", title: "plainjob, synchronous NORMAL", store: "folder", samples: 5, apart: false },
    {
      name: "plainjob-full",
      title: "plainjob, synchronous FULL",
      store: "folder",
      adds: 5000,
      backlog: 5000,
      samples: 5,
      apart: false,
    },
  ],
  postgres: [
    { name: "ashlar-postgres", title: "Ashlar on Postgres", store: "database", apart: true },
    {
      name: "bullmq-postgres",
      title: "BullMQ on Postgres",
      store: "database",
      adds: 1000,
      backlog: 5000,
      apart: true,
    },
    { name: "pg-boss", title: "pg-boss, one by one", store: "database", adds: 1000, backlog: 500, apart: true },
    { name: "pg-boss-batch", title: "pg-boss, batches of 1000", store: "database", adds: 1000, apart: true },
    { name: "graphile", title: "graphile-worker", store: "database", adds: 1000, backlog: 5000, apart: true },
    { name: "graphile-tuned", title: "graphile-worker, tuned", store: "database", adds: 1000, apart: true },
  ],
};

/** What is aimed at: ours so many times as good as each of the peers, or a median latency in milliseconds at most. */
export type Goal =
  | {
      readonly engine: EngineName;
      readonly measure: Measure;
      readonly ratio: number;
      readonly peers: readonly ContestantName[];
    }
  | { readonly engine: EngineName; readonly measure: Measure; readonly atMost: number };

const onPostgres: readonly ContestantName[] = entries.postgres.slice(1).map(({ name }) => name);

export const goals: readonly Goal[] = [
  { engine: "postgres", measure: "add", ratio: 15, peers: onPostgres },
  { engine: "postgres", measure: "bulk", ratio: 2, peers: onPostgres },
  { engine: "postgres", measure: "drain", ratio: 1.5, peers: onPostgres },
  { engine: "postgres", measure: "idle", ratio: 1, peers: ["graphile", "graphile-tuned"] },
  { engine: "sqlite", measure: "add", ratio: 2, peers: ["bullmq-everysec", "bullmq-always"] },
  { engine: "sqlite", measure: "drain", ratio: 3, peers: ["bullmq-everysec", "bullmq-always"] },
  { engine: "sqlite", measure: "idle", atMost: 0.5 },
  { engine: "sqlite", measure: "apart", atMost: 2 },
];

export interface Sizes {
  readonly jobs: number;
  readonly samples: number;
  /** Counted ones; one before them is not. */
  readonly rounds: number;
}

export const full: Sizes = { jobs: 20_000, samples: 200, rounds: 5 };
export const quick: Sizes = { jobs: 2000, samples: 30, rounds: 2 };
