import { createCloser, raceAbort } from "../../core/index.ts";
import type { Guarantees, Limits } from "../contract.ts";
import type { Driver, FlushPolicy } from "../driver.ts";
import { createBusDriver } from "./bus.ts";
import { Connections } from "./connection.ts";
import { openFeed } from "./feed.ts";
import { Gate } from "./gate.ts";
import { Housekeeper } from "./housekeeper.ts";
import { Listener } from "./listener.ts";
import { createLogDriver } from "./log.ts";
import { type Names, namesOf } from "./names.ts";
import { Notifier } from "./notifier.ts";
import { type PostgresOptions, type Settings, toSettings } from "./options.ts";
import { createOwnPool, type OwnPool } from "./own-pool.ts";
import { Reader } from "./reads.ts";
import { migrate } from "./schema.ts";
import { checkServer, type ServerFacts } from "./server-check.ts";
import { openSession, registerDriver, type SessionContext } from "./session.ts";
import { statementsOf } from "./statements.ts";
import { Writer } from "./writer.ts";

/**
 * Connects, checks the server and its settings, and brings the schema up to date.
 * @throws InvalidArgumentError an option is wrong, or the server does not let us in
 * @throws UnavailableError the server cannot be reached, or is a standby
 * @throws UnsupportedError the schema is of a later version, the server is too old or set up against what is promised, or `pg` is missing
 */
export async function createPostgresDriver(options: PostgresOptions): Promise<Driver> {
  const settings = toSettings(options);
  const names = namesOf(settings.schema);
  options.signal?.throwIfAborted();
  const own = options.pool
    ? { pool: options.pool, where: "Postgres", end: async () => {} }
    : await createOwnPool({ ...settings, url: options.url as string });
  const connections = new Connections(own.pool, { ...settings, where: own.where });
  const opening = prepareStore(connections, names);
  try {
    const { facts, revision } = await raceAbort(opening, options.signal);
    if (settings.prepare ?? facts.direct) connections.startPreparing();
    return assemble({ settings, names, own, connections, facts, revision });
  } catch (error) {
    connections.close();
    opening
      .catch(() => {})
      .finally(() => own.end())
      .catch(() => {});
    throw error;
  }
}

interface Parts {
  readonly settings: Settings;
  readonly names: Names;
  readonly own: OwnPool;
  readonly connections: Connections;
  readonly facts: ServerFacts;
  readonly revision: number;
}

async function prepareStore(connections: Connections, names: Names): Promise<{ facts: ServerFacts; revision: number }> {
  const lease = await connections.acquire();
  try {
    const facts = await checkServer(lease, connections.where);
    await migrate(lease, names);
    const [row] = await lease.simple(statementsOf(names).revision.text);
    lease.release();
    return { facts, revision: Number(row?.[0] ?? 0) };
  } catch (error) {
    lease.discard();
    throw connections.toAshlar(error);
  }
}

function assemble({ settings, names, own, connections, facts, revision }: Parts): Driver {
  const statements = statementsOf(names);
  const notifier = new Notifier(connections, names, statements);
  const writer = new Writer(connections, statements, {
    ...settings,
    revision,
    committed: (latest) => notifier.hint(latest),
  });
  const reader = new Reader(connections, statements);
  const listener = (settings.listen ?? facts.direct) ? new Listener(connections, names) : undefined;
  const housekeeper = new Housekeeper(connections, statements, notifier);
  const gate = new Gate(Math.max(1, settings.connections - reserved));
  const context: SessionContext = { connections, statements, names, writer, gate, open: new Set() };
  const closer = createCloser(async () => {
    for (const session of context.open) session.abandon();
    await writer.idle();
    await listener?.close();
    connections.close();
    await own.end();
  }, "the postgres engine");
  const driver: Driver = {
    name: "postgres",
    guarantees: guaranteesOf(facts, listener !== undefined, settings.poll),
    limits,
    flush,
    getMany: (keys, options) => reader.getMany(keys, options),
    list: (range, options) => reader.list(range, options),
    commitMany: (commits) => writer.commitMany(commits),
    watch: (sink) => openFeed(sink, { connections, statements, names, listener, poll: settings.poll }),
    sweep: (limit) => housekeeper.sweep(limit),
    now: async () => Number((await connections.ask(statements.now, []))[0]?.[0]) / 1000,
    revision: async () => Number((await connections.ask(statements.revision, []))[0]?.[0] ?? 0),
    log: createLogDriver(connections, statements),
    ...(listener && { bus: createBusDriver(connections, names, listener, notifier) }),
    openSql: ({ signal }) => openSession(context, signal),
    close: () => closer.close(),
  };
  registerDriver(driver, context);
  return driver;
}

/** Connections that SQL transactions leave to commits, reads and the listener. */
const reserved = 3;

const flush: FlushPolicy = { commits: 1024, bytes: 8 * 1024 * 1024, inFlight: 2, immediate: false };

const limits: Limits = {
  keyBytes: 1024,
  valueBytes: 8 * 1024 * 1024,
  operations: 10_000,
  commitBytes: 16 * 1024 * 1024,
  listEntries: 1000,
  messageBytes: 64 * 1024,
};

function guaranteesOf({ durability, notes }: ServerFacts, listens: boolean, poll: number): Guarantees {
  return {
    commits: "strict-serializable",
    reads: "linearizable",
    durability,
    sharing: "network",
    clock: "server",
    unknownOutcomes: "settled",
    failover: "acknowledged-commits",
    sql: true,
    notes: [
      ...notes,
      "A failover to a standby that replicates asynchronously loses what it had not received; with synchronous_standby_names set it loses nothing that was acknowledged.",
      "An open SQL transaction in which something of the engine was written holds up all other commits until it ends.",
      ...(listens
        ? []
        : [
            `The connection goes through a pooler: changes are found by polling, every ${poll} ms, and messages of the bus go through keys.`,
          ]),
    ],
  };
}
