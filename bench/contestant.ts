/** What every contestant can be asked to do. Names of workloads as on the command line. */
export const workloads = ["get", "set", "cas", "transact", "range", "append", "read-log", "read-log-single"] as const;

export type Workload = (typeof workloads)[number];

/** One operation; how much it did: 1, the records that it read, or 0 for a commit refused by a conflict. */
export type Operation = () => number | Promise<number>;

/** One way of doing the workloads, in a process of its own. */
export interface Contestant {
  /** A workload that is absent is not run: the contestant has no such thing. */
  readonly operations: Readonly<Partial<Record<Workload, Operation>>>;
  /** Writes `keys` entries of 100 bytes. */
  load(keys: number): Promise<void>;
  /** Writes the log for `read-log`, many records to a commit. */
  fillLog?(records: number): Promise<void>;
  /** Writes the log for `read-log-single`, each record by a commit of its own, awaited before the next. */
  fillLogSingly?(records: number): Promise<void>;
  close(): Promise<void> | void;
}

export interface ContestantOptions {
  /** An empty folder for its files. */
  readonly folder: string;
  /** A database of its own, for those that need a server. */
  readonly serverUrl: string | undefined;
}

export type ContestantName =
  | "ashlar-sqlite"
  | "ashlar-postgres"
  | "ashlar-memory"
  | "sqlite-by-hand"
  | "deno-kv"
  | "pg"
  | "pg-transaction";

/** Loads the code of one contestant and of nothing else. */
export async function openContestant(name: ContestantName, options: ContestantOptions): Promise<Contestant> {
  switch (name) {
    case "ashlar-sqlite":
      return (await import("./contestants/ashlar.ts")).openAshlar(`sqlite:${options.folder}/data.db`);
    case "ashlar-postgres":
      return (await import("./contestants/ashlar.ts")).openAshlar(options.serverUrl as string);
    case "ashlar-memory":
      return (await import("./contestants/ashlar.ts")).openAshlar("memory:");
    case "sqlite-by-hand":
      return (await import("./contestants/sqlite-by-hand.ts")).openSqliteByHand(`${options.folder}/data.db`);
    case "deno-kv":
      return (await import("./contestants/deno-kv.ts")).openDenoKv(`${options.folder}/data.db`);
    case "pg":
      return (await import("./contestants/pg-client.ts")).openPgStatements(options.serverUrl as string);
    case "pg-transaction":
      return (await import("./contestants/pg-client.ts")).openPgTransactions(options.serverUrl as string);
  }
}
