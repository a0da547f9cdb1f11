import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Redis } from "ioredis";
import pg from "pg";
import type { Engine } from "../src/engine/index.ts";
import { connect } from "../src/index.ts";
import { createStream, type StreamConsumer } from "../src/messaging/stream/index.ts";
import { findPostgres, startPostgres } from "../test/servers/postgres.ts";
import { heading, median } from "./compare.ts";
import { load } from "./machine.ts";
import { findRedis, startRedis } from "./queues/redis.ts";

const { values: args } = parseArgs({
  options: {
    quick: { type: "boolean" },
    engines: { type: "string", default: "sqlite,postgres" },
    markdown: { type: "string" },
  },
});

const rounds = args.quick ? 2 : 5;
const records = args.quick ? 10_000 : 50_000;
const inFlight = 1000;
const batch = 1000;
const value = { text: "x".repeat(86) };

/** One way to do a piece of work; what it needs beforehand is not timed. */
interface Runner {
  readonly name: string;
  prepare?(count: number): Promise<void>;
  run(count: number): Promise<void>;
}

interface Race {
  readonly what: string;
  readonly count: number;
  /** Ours ÷ the first peer, the one that is as durable. */
  readonly goal?: number;
  readonly runners: readonly [Runner, ...Runner[]];
}

const lines: string[] = [];
const versions: Record<string, string> = {};

/** Rounds in turn, the first for warming up. */
async function race({ what, count, goal, runners }: Race): Promise<void> {
  console.error(`${what} …`);
  const rates: number[][] = runners.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, runner] of runners.entries()) {
      await runner.prepare?.(count);
      globalThis.gc?.();
      const start = performance.now();
      await runner.run(count);
      if (round > 0) rates[i]?.push((count / (performance.now() - start)) * 1000);
    }
  }
  for (const [i, { name }] of runners.entries()) {
    const own = rates[i] as number[];
    const ratio = i === 0 ? undefined : median(own.map((rate, k) => (rates[0]?.[k] as number) / rate));
    const verdict =
      i !== 1 || ratio === undefined || goal === undefined ? "" : `≥ ${goal} ${ratio >= goal ? "✓" : "✗"}`;
    lines.push(
      `| ${i === 0 ? what : ""} | ${name} | ${thousands(median(own))} (${thousands(Math.min(...own))}–${thousands(Math.max(...own))}) | ${ratio === undefined ? "" : ratio.toFixed(2)} | ${verdict} |`,
    );
  }
}

function thousands(rate: number): string {
  return rate >= 1e6 ? `${(rate / 1e6).toFixed(2)} M` : `${(rate / 1e3).toFixed(1)} k`;
}

async function lanes(count: number, most: number, one: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: most }, work));
}

async function batches(count: number, one: (size: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i += batch) await one(Math.min(batch, count - i));
}

const many = (size: number) => Array.from({ length: size }, (_, i) => ({ value, key: `k${i % 64}` }));

let streams = 0;
const partitionCount = 4;
const fresh = (engine: Engine, partitions = partitionCount) =>
  createStream<typeof value>(engine, `s${streams++}`, { partitions });

function appending(engine: Engine): Runner {
  const stream = fresh(engine);
  return { name: "Ashlar", run: (count) => lanes(count, inFlight, (i) => stream.append(value, { key: `k${i % 64}` })) };
}

function appendingBatches(engine: Engine): Runner {
  const stream = fresh(engine);
  return { name: "Ashlar", run: (count) => batches(count, (size) => stream.appendMany(many(size))) };
}

/** Consumes what was prepared; in order, and acknowledged durably with each batch. Joining the group is not timed: the first batch of each partition waits for the start. */
function consuming(engine: Engine, copy: boolean): Runner {
  let started = Promise.withResolvers<void>();
  let all = Promise.withResolvers<void>();
  let consumer: StreamConsumer;
  return {
    name: copy ? "Ashlar, consume, transform, produce, checkpoint" : "Ashlar",
    async prepare(count) {
      const stream = fresh(engine);
      const target = fresh(engine);
      await batches(count, (size) => stream.appendMany(many(size)));
      started = Promise.withResolvers<void>();
      all = Promise.withResolvers<void>();
      const joined = Promise.withResolvers<void>();
      const partitions = new Set<number>();
      let seen = 0;
      consumer = stream.consume(
        "g",
        async (got, { tx, partition }) => {
          partitions.add(partition);
          if (partitions.size === partitionCount) joined.resolve();
          await started.promise;
          if (copy)
            await target.appendMany(
              got.map((each) => ({ value: each.value, key: each.key as string })),
              { tx },
            );
          seen += got.length;
          if (seen >= count) all.resolve();
        },
        { batch: 1000 },
      );
      await joined.promise;
    },
    async run() {
      started.resolve();
      await all.promise;
      // The last positions are recorded before the consumer is closed.
      await consumer.close();
    },
  };
}

async function redisRunners(
  name: string,
  client: Redis,
): Promise<{ readonly one: Runner; readonly many: Runner; readonly consume: Runner }> {
  const fields = ["v", JSON.stringify(value)] as const;
  let topic = "";
  return {
    one: { name, run: (count) => lanes(count, inFlight, (i) => client.xadd(`one${i % 4}`, "*", ...fields)) },
    many: {
      name,
      run: (count) =>
        batches(count, (size) => {
          const pipeline = client.pipeline();
          for (let i = 0; i < size; i++) pipeline.xadd(`many${i % 4}`, "*", ...fields);
          return pipeline.exec();
        }),
    },
    consume: {
      name: `${name}, XREADGROUP and XACK of 1000`,
      async prepare(count) {
        topic = `c${streams++}`;
        await batches(count, (size) => {
          const pipeline = client.pipeline();
          for (let i = 0; i < size; i++) pipeline.xadd(topic, "*", ...fields);
          return pipeline.exec();
        });
        await client.xgroup("CREATE", topic, "g", "0");
      },
      async run(count) {
        for (let seen = 0; seen < count; ) {
          const answer = (await client.xreadgroup("GROUP", "g", "c", "COUNT", 1000, "STREAMS", topic, ">")) as
            | [string, [string, string[]][]][]
            | null;
          const got = answer?.[0]?.[1] ?? [];
          for (const [, [, text]] of got) JSON.parse(text as string);
          await client.xack(topic, "g", ...got.map(([id]) => id));
          seen += got.length;
        }
      },
    },
  };
}

async function onSqlite(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-bench-"));
  const engine = await connect(`sqlite:${join(folder, "data.db")}`);
  const servers = findRedis() ? [await startRedis("always"), await startRedis("everysec")] : [];
  const clients = servers.map(({ port }) => new Redis({ port, host: "127.0.0.1" }));
  if (servers[0]) versions["Redis"] = await servers[0].version();
  const names = ["Redis streams, flushed always", "Redis streams, flushed each second"];
  const peers = await Promise.all(clients.map((client, i) => redisRunners(names[i] as string, client)));
  try {
    const what = (text: string) => `sqlite: ${text}`;
    await race({
      what: what(`append, ${inFlight} in flight`),
      count: records,
      goal: 2,
      runners: [appending(engine), ...peers.map(({ one }) => one)],
    });
    await race({
      what: what(`append in batches of ${batch}`),
      count: records,
      goal: 2,
      runners: [appendingBatches(engine), ...peers.map((peer) => peer.many)],
    });
    await race({
      what: what("consume with acknowledgement"),
      count: records,
      goal: 1,
      runners: [consuming(engine, false), ...peers.map(({ consume }) => consume)],
    });
    await race({ what: what("copy exactly once, in order"), count: records, runners: [consuming(engine, true)] });
  } finally {
    for (const client of clients) client.disconnect();
    for (const server of servers) await server.stop();
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function onPostgres(): Promise<void> {
  await using server = await startPostgres();
  const engine = await connect(server.url);
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query("create table raw (id bigserial primary key, partition int not null, v jsonb not null)");
  const text = JSON.stringify(value);
  const raw: Runner = {
    name: "INSERT of 1000 rows by hand",
    run: (count) =>
      batches(count, (size) =>
        client.query("insert into raw (partition, v) select p, v from unnest($1::int[], $2::jsonb[]) as t(p, v)", [
          Array.from({ length: size }, (_, i) => i % 4),
          Array.from({ length: size }, () => text),
        ]),
      ),
  };
  try {
    const what = (about: string) => `postgres: ${about}`;
    await race({ what: what(`append, ${inFlight} in flight`), count: records, runners: [appending(engine)] });
    await race({
      what: what(`append in batches of ${batch}`),
      count: records,
      goal: 0.5,
      runners: [appendingBatches(engine), raw],
    });
    await race({ what: what("consume with acknowledgement"), count: records, runners: [consuming(engine, false)] });
    await race({ what: what("copy exactly once, in order"), count: records, runners: [consuming(engine, true)] });
  } finally {
    await client.end();
    await engine.close();
  }
}

const machine = heading();
if (args.engines.includes("sqlite")) await onSqlite();
if (args.engines.includes("postgres") && findPostgres()) await onPostgres();
const report = `# Streams

\`node --expose-gc bench/streams.ts\`: records of about 100 bytes, ${records.toLocaleString("en")} a round, ${rounds} rounds in turn after one that does not count; 4 partitions, one process, one consumer.

${machine}
- load ${load()} after${versions["Redis"] ? `\n- Redis ${versions["Redis"]}, protected by an append-only file` : ""}

| work | contender | records/s, median (least–most) | ours ÷ it | goal |
|---|---|---|---|---|
${lines.join("\n")}

The goals are against Redis that flushes before it answers, and against Postgres by hand; the rows of Redis that flushes once a second have none, and are there to be seen.

What is not equal: Ashlar and Postgres flush before they acknowledge, Redis does with \`always\`, and with \`everysec\` up to a second is lost with the power. Ashlar on SQLite runs in the process of the producer, with a thread for the file; Redis and Postgres are processes
of their own on the same two cores. Ashlar's consumers keep the order of the partition and acknowledge batches of 1000 with a checked commit under a lease; the time includes leaving the group. The row of Postgres by hand is one table without partitions' offsets, one client, one statement for each batch.
`;
if (args.markdown) writeFileSync(args.markdown, report);
console.log(report);
