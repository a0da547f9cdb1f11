import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { getPostgreSQLEventStore } from "@event-driven-io/emmett-postgresql";
import type { Engine } from "../src/engine/index.ts";
import { connect } from "../src/index.ts";
import { createEventStore } from "../src/messaging/event-store/index.ts";
import { findPostgres, startPostgres } from "../test/servers/postgres.ts";
import { type Contender, heading, type Match, type MatchResult, play, table } from "./compare.ts";
import { load } from "./machine.ts";

const { values: args } = parseArgs({
  options: {
    quick: { type: "boolean" },
    engines: { type: "string", default: "sqlite,postgres" },
    markdown: { type: "string" },
  },
});

interface Deposited {
  readonly type: "deposited";
  readonly account: string;
  readonly amount: number;
  readonly note: string;
}

const inFlight = 50;
const backlog = args.quick ? 5_000 : 60_000;
const timing = args.quick ? { rounds: 3, ms: 60 } : { rounds: 5, ms: 600 };
const deposited = (account: string): Deposited => ({
  type: "deposited",
  account,
  amount: 5,
  note: "a deposit as it is made",
});

const options = {
  initial: () => ({ balance: 0 }),
  evolve: ({ balance }: { balance: number }, { amount }: Deposited) => ({ balance: balance + amount }),
  decide: (account: string) => deposited(account),
};

/** Runs `one` so many times, as many at once as there are lanes; each lane has a number of its own. */
async function lanes(count: number, most: number, one: (lane: number) => Promise<unknown>): Promise<void> {
  let left = count;
  const work = async (_: unknown, lane: number): Promise<void> => {
    while (left-- > 0) await one(lane);
  };
  await Promise.all(Array.from({ length: Math.min(most, count) }, work));
}

/** Appends with a version check, each lane to a stream of its own that is begun anew after 100 events. */
function appending(
  name: string,
  most: number,
  append: (stream: string, version: number) => Promise<unknown>,
): Contender {
  const versions: number[] = [];
  let streams = 0;
  const names: string[] = [];
  return {
    name,
    run: (count) =>
      lanes(count, most, async (lane) => {
        let version = versions[lane];
        if (version === undefined || version >= 100) {
          version = 0;
          names[lane] = `acc-${most}-${streams++}`;
        }
        await append(names[lane] as string, version);
        versions[lane] = version + 1;
      }),
  };
}

type Emmett = ReturnType<typeof getPostgreSQLEventStore>;

const emmettEvent = (account: string) => {
  const { type, ...data } = deposited(account);
  return { type, data };
};

const emmettAppend = (peer: Emmett) => (stream: string, version: number) =>
  peer.appendToStream(stream, [emmettEvent(stream)], {
    expectedStreamVersion: version === 0 ? "STREAM_DOES_NOT_EXIST" : BigInt(version),
  });

const emmettLoad = (peer: Emmett, stream: string) =>
  peer.aggregateStream<{ balance: number }, ReturnType<typeof emmettEvent>>(stream, {
    initialState: options.initial,
    evolve: ({ balance }: { balance: number }, { data }: ReturnType<typeof emmettEvent>) => ({
      balance: balance + data.amount,
    }),
  });

async function measure(place: string, engine: Engine, peer: Emmett | undefined): Promise<MatchResult[]> {
  const store = createEventStore<{ balance: number }, Deposited, string>(engine, "accounts", options);
  const append = (stream: string, version: number) => store.append(stream, [deposited(stream)], { expected: version });
  const results: MatchResult[] = [];
  const race = async (match: Match, more = timing): Promise<void> => {
    console.error(`${match.what} …`);
    results.push(await play(match, more));
  };
  for (const most of [inFlight, 1]) {
    await race({
      what: `${place}: append with version check, ${most} in flight`,
      ...(peer && most > 1 && { goal: 8 }),
      contenders: [
        appending("Ashlar", most, append),
        ...(peer ? [appending("Emmett", most, emmettAppend(peer))] : []),
        appending("Ashlar, the end of the stream not remembered", most, (stream, version) =>
          unremembered.append(stream, [deposited(stream)], { expected: version }),
        ),
      ],
    });
  }
  await race(await loads(place, engine, peer));
  await race(await executes(place, peer));
  // Long rounds: each begins with taking the lease and reading the state of the projection.
  await race(await projects(place), { rounds: 3, ms: args.quick ? 200 : 2000 });
  return results;

  function executesOn(name: string, execute: (stream: string) => Promise<unknown>): Contender {
    let turn = 0;
    return { name, run: (count) => lanes(count, inFlight, () => execute(`cmd-${turn++ % 1000}`)) };
  }
  async function executes(at: string, other: Emmett | undefined): Promise<Match> {
    return {
      what: `${at}: load, decide, append; ${inFlight} in flight over 1000 streams`,
      contenders: [
        executesOn("Ashlar, execute", (stream) => store.execute(stream, stream)),
        ...(other
          ? [
              executesOn("Emmett, aggregateStream and appendToStream", async (stream) => {
                const { currentStreamVersion, streamExists } = await emmettLoad(other, stream);
                await other.appendToStream(stream, [emmettEvent(stream)], {
                  expectedStreamVersion: streamExists ? currentStreamVersion : "STREAM_DOES_NOT_EXIST",
                });
              }),
            ]
          : []),
      ],
    };
  }
  async function projects(at: string): Promise<Match> {
    // A store of its own, so that what there is to read does not depend on how many appends fitted into their time.
    const past = createEventStore<{ balance: number }, Deposited, string>(engine, "past", options);
    for (let i = 0; i < backlog; i += 100)
      await past.append(
        `bulk-${i % 700}`,
        Array.from({ length: 100 }, () => deposited("bulk")),
      );
    let runs = 0;
    /** As many passes over the latest events as it takes. */
    const passes = async (count: number, pass: (from: number) => Promise<void>): Promise<void> => {
      for (let left = count; left > 0; left -= backlog) await pass(Math.max(0, backlog - left));
    };
    const projecting = (name: string, handler: Parameters<typeof past.project>[1]): Contender => ({
      name,
      run: (count) =>
        passes(count, async (from) => {
          await using projection = past.project(`p${runs++}-${name.length}`, handler, { from, batch: 500 });
          await projection.waitFor(backlog - 1);
        }),
    });
    return {
      what: `${at}: events projected, in batches of 500`,
      contenders: [
        projecting(
          "Ashlar, one sum for each stream",
          ({ stream, data }, { view }) => void view.add([stream], data.amount),
        ),
        projecting("Ashlar, nothing written but the position", () => {}),
        {
          name: "Ashlar, read alone",
          run: (count) =>
            passes(count, async (from) => {
              for await (const _ of past.all({ from }));
            }),
        },
      ],
    };
  }
}

let unremembered: ReturnType<typeof createEventStore<unknown, Deposited, unknown>>;

async function loads(place: string, engine: Engine, peer: Emmett | undefined): Promise<Match> {
  const plain = createEventStore<{ balance: number }, Deposited, string>(engine, "loads", options);
  const snapshots = createEventStore<{ balance: number }, Deposited, string>(engine, "loads", {
    ...options,
    snapshots: { every: 50 },
  });
  const length = 1000;
  for (let i = 0; i < length; i++) {
    await plain.append("long", [deposited("long")]);
    if (peer) await peer.appendToStream("long", [emmettEvent("long")]);
  }
  await snapshots.load("long");
  await snapshots.close();
  const again = createEventStore<{ balance: number }, Deposited, string>(engine, "loads", {
    ...options,
    snapshots: { every: 50 },
  });
  const loading = (name: string, one: () => Promise<unknown>): Contender => ({
    name,
    run: (count) => lanes(count, 1, one),
  });
  return {
    what: `${place}: load a stream of ${length} events, one after another`,
    contenders: [
      loading("Ashlar, without snapshot", () => plain.load("long")),
      ...(peer ? [loading("Emmett, aggregateStream", () => emmettLoad(peer, "long"))] : []),
      loading("Ashlar, with a snapshot", () => again.load("long")),
    ],
  };
}

async function onSqlite(): Promise<MatchResult[]> {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-events-"));
  try {
    await using engine = await connect(`sqlite:${join(folder, "data.db")}`);
    unremembered = createEventStore<unknown, Deposited, unknown>(engine, "others", { remembered: 0 });
    return await measure("SQLite", engine, undefined);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function onPostgres(): Promise<MatchResult[]> {
  await using server = await startPostgres({ settings: { max_connections: "200", shared_buffers: "128MB" } });
  await using engine = await connect(server.url);
  unremembered = createEventStore<unknown, Deposited, unknown>(engine, "others", { remembered: 0 });
  const peer = getPostgreSQLEventStore(server.url);
  try {
    return await measure("Postgres", engine, peer);
  } finally {
    await peer.close();
  }
}

function versionOf(name: string): string {
  const manifest = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(manifest, "utf8")).version;
}

const head = heading({ "@event-driven-io/emmett-postgresql": versionOf("@event-driven-io/emmett-postgresql") });
const sections: string[] = [];
for (const engine of args.engines.split(",")) {
  if (engine === "postgres" && findPostgres() === undefined)
    sections.push("Postgres: not measured, as it is not installed.");
  else sections.push(table(engine === "postgres" ? await onPostgres() : await onSqlite()));
}
const report = `# Event store, measured

An operation is one event appended, one stream loaded, one command executed, or one event projected. Each append is one durable commit with a check of the stream's version. The peer runs on the same server with the
same durability, with its own pool of connections as it comes. What stands below the peer are variations of ours.

${head}
- load ${load()} after

${sections.join("\n\n")}
`;
if (args.markdown) writeFileSync(args.markdown, report);
console.log(report);
