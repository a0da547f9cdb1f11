import { resolve } from "node:path";
import {
  createCloser,
  type Duration,
  InvalidArgumentError,
  invalidArgument,
  type Runtime,
  raceAbort,
  systemRuntime,
  throwIfAborted,
  toMilliseconds,
} from "../../core/index.ts";
import type { Guarantees, Limits } from "../contract.ts";
import type { Driver, FlushPolicy, LogDriver } from "../driver.ts";
import { Database } from "./database.ts";
import { Feed } from "./feed.ts";
import { Reader } from "./reader.ts";
import { openSql } from "./sql-session.ts";
import { WriterClient } from "./writer-client.ts";

export interface SqliteOptions {
  /** Path of the database file; created if it does not exist, in a folder that does. May hold tables of your own. */
  readonly file: string;
  /** Clock, chance and timers. Default: the system's. */
  readonly runtime?: Runtime;
  /**
   * How long a transaction with SQL statements may hold up all other writes before it is rolled back with `TimeoutError`.
   * Default "10s", at most "1h". Other processes wait 15 s for the lock.
   */
  readonly sqlTimeout?: Duration;
  /**
   * While something is watched: how often to look for commits of other processes that the operating system did not tell of. Default
   * "1s"; at least 10 ms, at most "1h".
   */
  readonly pollInterval?: Duration;
  /** Gives up opening. */
  readonly signal?: AbortSignal;
}

/**
 * Opens the database.
 * @throws InvalidArgumentError an option is out of range, `file` names a folder, its folder does not exist, or it is no file at all
 * @throws CorruptionError the file is not a database, or damaged
 * @throws UnsupportedError a later version of ashlar wrote the file, or its file system cannot hold it
 * @throws UnavailableError no permission, no space, or another process does not let go of its lock
 */
export async function createSqliteDriver(options: SqliteOptions): Promise<Driver> {
  const settings = validated(options);
  const { file, runtime, sessionMs } = settings;
  throwIfAborted(options.signal);
  const open: OpenFeed = { feed: undefined };
  const writer = new WriterClient({
    file,
    sessionMs,
    now: () => (runtime === systemRuntime ? undefined : runtime.clock.now()),
    onCommit: () => open.feed?.refresh(),
  });
  try {
    await raceAbort(writer.open(), options.signal);
    const reader = new Reader(file, () => runtime.clock.now());
    return assemble(settings, writer, reader, open);
  } catch (error) {
    await writer.close();
    throw error;
  }
}

function assemble({ file, runtime, pollMs }: Settings, writer: WriterClient, reader: Reader, open: OpenFeed): Driver {
  const closer = createCloser(async () => {
    await open.feed?.close();
    reader.close();
    await writer.close();
  }, "the sqlite engine");
  const read = <T>(fn: () => T): T => {
    closer.assertOpen();
    return reader.guard(fn);
  };
  return {
    name: "sqlite",
    guarantees,
    limits,
    flush,
    getMany: (keys) =>
      read(() => {
        const [key] = keys;
        if (keys.length === 1 && key) return [reader.get(key)];
        return reader.snapshot(() => keys.map((each) => reader.get(each)));
      }),
    list: (range, { limit, reverse }) => read(() => reader.list(range, limit, reverse)),
    commitMany: (commits) => writer.flush(commits),
    watch: async (sink) => {
      open.feed = read(() => new Feed({ reader, file, runtime, sink, pollMs }));
      return open.feed;
    },
    sweep: (limit) => writer.sweep(limit),
    now: async () => {
      closer.assertOpen();
      return runtime.clock.now();
    },
    revision: () => read(() => reader.position().revision),
    log: createLogDriver(read, reader, writer),
    ...(Database.canAuthorize && { openSql: ({ signal }) => openSql(writer, signal) }),
    close: () => closer.close(),
  };
}

function createLogDriver(read: <T>(fn: () => T) => T, reader: Reader, writer: WriterClient): LogDriver {
  return {
    read: (topic, { from, limit, bytes }) => read(() => reader.log.read(topic, from, limit, bytes)),
    bounds: (topic) => read(() => reader.log.bounds(topic)),
    trim: (topic, before) => writer.trim(topic, before),
  };
}

/** The change feed that is told of our own commits: the latest one opened. */
interface OpenFeed {
  feed: Feed | undefined;
}

interface Settings {
  readonly file: string;
  readonly runtime: Runtime;
  readonly sessionMs: number;
  readonly pollMs: number;
}

const hour = 60 * 60 * 1000;

function validated(options: SqliteOptions): Settings {
  const { file } = options;
  if (typeof file !== "string" || file === "" || file.includes("\0"))
    throw invalidArgument("file", file, "the path of a file");
  if (file === ":memory:") {
    throw new InvalidArgumentError(
      "file: :memory: has no file that several connections could share; use the engine memory: instead",
    );
  }
  return {
    // Absolute, so that a later change of the working folder makes no difference.
    file: resolve(file),
    runtime: options.runtime ?? systemRuntime,
    sessionMs: toMilliseconds(options.sqlTimeout ?? "10s", "sqlTimeout", { min: 1, max: hour }),
    pollMs: toMilliseconds(options.pollInterval ?? "1s", "pollInterval", { min: 10, max: hour }),
  };
}

/**
 * One in flight: with two, each flush holds half of what waits and costs as many syncs of the disk, which only pays on disks that are
 * faster than what goes on around them.
 */
const flush: FlushPolicy = { commits: 1024, bytes: 4 * 1024 * 1024, inFlight: 2, immediate: false };

const limits: Limits = {
  keyBytes: 1024,
  valueBytes: 1024 * 1024,
  operations: 10_000,
  commitBytes: 16 * 1024 * 1024,
  listEntries: 1000,
  messageBytes: 64 * 1024,
};

const guarantees: Guarantees = {
  commits: "strict-serializable",
  reads: "linearizable",
  durability: "power-loss",
  sharing: "machine",
  clock: "machine",
  unknownOutcomes: "settled",
  failover: "none",
  sql: Database.canAuthorize,
  notes: [
    "The file must lie on a local disk: network file systems do not lock reliably.",
    "Beside the file lie <file>-wal, <file>-shm and <file>-notify; copy a database in use with VACUUM INTO or the backup API, not file by file.",
    "A commit during which the disk fails is taken back; if the disk fails at that too, it ends with OutcomeUnknownError.",
    "A transaction that uses SQL holds up all other writes of the machine to this file until it ends.",
    "Deleted data leaves room for new data; the file shrinks only by VACUUM.",
  ],
};
