import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createLocks, createReadWriteLock, createSemaphore } from "../src/coordination/lock/index.ts";
import type { Engine } from "../src/engine/index.ts";
import { connect } from "../src/index.ts";
import { findPostgres, startPostgres } from "../test/servers/postgres.ts";
import { type Contender, heading, type Match, play, table } from "./compare.ts";

const { values: args } = parseArgs({
  options: { quick: { type: "boolean" }, markdown: { type: "string" }, folder: { type: "string" } },
});

/** So many callers share the work; each does its next piece when its last has ended. */
function contender(name: string, callers: number, work: (caller: number) => Promise<unknown>): Contender {
  return {
    name,
    async run(count) {
      let left = count;
      const call = async (caller: number): Promise<void> => {
        while (left-- > 0) await work(caller);
      };
      await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
    },
  };
}

/** What a lock cannot do without: write an entry that must be absent, and delete it. */
async function twoCommits(engine: Engine, caller: number): Promise<void> {
  const key = ["by hand", caller];
  const taken = await engine.kv.tryCommit({
    checks: [{ key, version: undefined }],
    mutations: [{ set: key, value: caller, ttl: 15_000 }],
  });
  if (!taken.ok) throw new Error("bug: nobody else has this key");
  await engine.kv.tryCommit({ checks: [{ key, version: taken.version }], mutations: [{ delete: key }] });
}

function matchesOn(name: string, engine: Engine): Match[] {
  const locks = createLocks(engine, { ttl: "1m" });
  const byHand = (callers: number): Contender =>
    contender("two commits by hand", callers, (caller) => twoCommits(engine, caller));
  const pairs = (callers: number): Match => ({
    what: `${name}: acquire and release, ${callers === 1 ? "1 caller" : `${callers} callers with a lock each`}`,
    contenders: [
      contender("lock", callers, async (caller) => (await locks.acquire(`own ${caller}`)).release()),
      byHand(callers),
    ],
  });
  const semaphore = createSemaphore(engine, "pool", { permits: 1000, ttl: "1m" });
  const book = createReadWriteLock(engine, "book", { ttl: "1m" });
  return [
    pairs(1),
    pairs(50),
    {
      what: `${name}: permit of one semaphore and back, 50 callers`,
      contenders: [contender("semaphore", 50, async () => (await semaphore.acquire()).release()), byHand(50)],
    },
    {
      what: `${name}: reader's part of one read–write lock and back, 50 callers`,
      contenders: [contender("read–write lock", 50, async () => (await book.read()).release()), byHand(50)],
    },
    {
      what: `${name}: one lock that 50 callers want, a hand-over`,
      contenders: [
        contender("lock", 50, async () => (await locks.acquire("hot", { timeout: "10m" })).release()),
        byHand(1),
      ],
    },
    fence(name, engine),
  ];
}

function fence(name: string, engine: Engine): Match {
  const lock = createLocks(engine, { ttl: "1m" }).acquire("fence");
  const write = (options?: Parameters<Engine["transact"]>[1]) =>
    engine.transact((tx) => tx.set(["written"], "value"), options);
  return {
    what: `${name}: transaction of one write, 1 caller`,
    contenders: [
      contender("with a lock as its fence", 1, async () => await write({ fence: await lock })),
      contender("without", 1, () => write()),
    ],
  };
}

interface Place {
  readonly name: string;
  readonly engine: Engine;
  close(): Promise<void>;
}

async function* places(): AsyncGenerator<Place> {
  const memory = await connect("memory:");
  yield { name: "memory", engine: memory, close: () => memory.close() };
  const folder = mkdtempSync(join(args.folder ?? tmpdir(), "ashlar-locks-"));
  const sqlite = await connect(`sqlite:${join(folder, "data.db")}`);
  yield {
    name: "SQLite",
    engine: sqlite,
    async close() {
      await sqlite.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  if (findPostgres() === undefined) return;
  const server = await startPostgres();
  const postgres = await connect(server.url);
  yield {
    name: "Postgres",
    engine: postgres,
    async close() {
      await postgres.close();
      await server.stop();
    },
  };
}

const head = heading();
const results = [];
for await (const { name, engine, close } of places()) {
  for (const match of matchesOn(name, engine)) {
    const result = await play(match, args.quick ? { rounds: 3, ms: 60 } : { rounds: 7, ms: 400 });
    results.push(result);
    if (!args.markdown) console.log(table([result]));
  }
  await close();
}

const report = `# Locks

A pair is \`acquire\` and \`release\` of something that is free: two durable commits. Beside it, in the same run and on the same engine, the two commits that any lock must make: an entry
that has to be absent, and its deletion; without a lease, a token, a queue, a timeout, or anybody who waits. That is the ceiling, not a competitor; a ratio of 0.5 says that ours takes twice as long.
In a hand-over, 49 others wait and whoever had the lock queues again: a try that is refused, a place in the queue, the
acquisition and the release, so four commits beside the two of one caller; on memory the watches weigh more than the commits. Run with \`node --expose-gc bench/locks.ts\`.

Durability: SQLite in WAL mode with \`synchronous=FULL\`, Postgres stock (\`fsync\` and \`synchronous_commit\` on) on the same machine; memory has none.

Not in the table: \`redlock\` with one Redis server in memory does some 32,000 pairs a second on this machine when it is quiet (measured apart from this run), with a random value instead of a token, polling instead of a queue, and no flush. It will
run beside ours, on the same server, when the Redis engine stands.

${head}

${table(results)}
`;
if (args.markdown) writeFileSync(args.markdown, report);
else console.log(report);
