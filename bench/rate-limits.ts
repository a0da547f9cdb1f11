import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openMemory } from "../src/engine/memory/index.ts";
import { createLocalRateLimiter, createRateLimiter, type RateLimiterOptions } from "../src/ratelimit/index.ts";
import { runTakers } from "../src/ratelimit/testing/takers.ts";
import { skipWithoutPostgres, startPostgres } from "../test/servers/postgres.ts";
import { heading, type Match, median, play, table } from "./compare.ts";

const require = createRequire(import.meta.url);

/** The part of rate-limiter-flexible that is used here. */
interface Flexible {
  consume(key: string): Promise<unknown>;
}
const { RateLimiterMemory } = require("rate-limiter-flexible") as {
  RateLimiterMemory: new (options: { points: number; duration: number; inMemoryBlockOnConsumed?: number }) => Flexible;
};
const { version } = JSON.parse(readFileSync(require.resolve("rate-limiter-flexible/package.json"), "utf8")) as {
  version: string;
};
const peer = `rate-limiter-flexible ${version}`;

const { values } = parseArgs({ options: { quick: { type: "boolean" }, markdown: { type: "string" } } });
const effort = values.quick ? { rounds: 3, ms: 40 } : { rounds: 9, ms: 200 };
const plenty = 1e9;
const keys = Array.from({ length: 10_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);

/** Ours is synchronous, the peer's a promise: each is used as its users must. */
function local(what: string, goal: number, limit: number, pick: (i: number) => string): Match {
  const algorithms = ["token-bucket", "fixed-window", "sliding-window"] as const;
  const contenders = algorithms.map((algorithm) => {
    const limiter = createLocalRateLimiter({ limit, per: limit === 1 ? "1d" : "1000d", algorithm });
    return {
      name: `Ashlar, ${algorithm}`,
      run(count: number) {
        for (let i = 0; i < count; i++) limiter.take(pick(i));
      },
    };
  });
  const flexible = new RateLimiterMemory({ points: limit, duration: 86_400 });
  const [ours, ...others] = contenders as [(typeof contenders)[0], ...typeof contenders];
  const theirs = {
    name: peer,
    async run(count: number) {
      for (let i = 0; i < count; i++) await flexible.consume(pick(i)).catch(() => undefined);
    },
  };
  return { what, goal, contenders: [ours, theirs, ...others] };
}

async function clusterInMemory(): Promise<Match> {
  const engine = openMemory();
  const contender = (name: string, options: Partial<RateLimiterOptions>) => {
    const limiter = createRateLimiter(engine, name, { limit: 1_000_000, per: "1s", ...options });
    return {
      name,
      async run(count: number) {
        for (let i = 0; i < count; i++) await limiter.take("hot");
      },
    };
  };
  return {
    what: "memory engine, one key, one after another",
    contenders: [
      contender("leased", { mode: "leased" }),
      contender("exact token-bucket", {}),
      contender("exact fixed-window", { algorithm: "fixed-window" }),
      contender("exact sliding-window", { algorithm: "sliding-window" }),
    ],
  };
}

/** Takes a second of four processes on one key. */
async function cluster(name: string, url: string): Promise<string> {
  const forMs = values.quick ? 500 : 3_000;
  const rates: Record<string, number[]> = { exact: [], leased: [] };
  for (let round = 0; round < (values.quick ? 1 : 3); round++) {
    for (const mode of ["exact", "leased"] as const) {
      // A limit that nobody reaches: what is measured is the way, not the refusals.
      const rate = { limit: 1_000_000, per: "1s", burst: 100_000_000 } as const;
      const options: RateLimiterOptions = mode === "exact" ? rate : { ...rate, mode, lease: { maxChunk: 1_000_000 } };
      const reports = await runTakers(4, { url, name: mode, options, forMs, takes: 1e12, lanes: 32 });
      const perSecond = reports.reduce((sum, { allowed, tookMs }) => sum + (allowed * 1000) / tookMs, 0);
      (rates[mode] as number[]).push(perSecond);
    }
  }
  const [exact, leased] = [median(rates["exact"] as number[]), median(rates["leased"] as number[])];
  const show = (rate: number) => Math.round(rate).toLocaleString("en");
  return `| ${name} | ${show(exact)} | ${show(leased)} | ${(leased / exact).toFixed(0)} × | 20 × |`;
}

async function clusters(): Promise<string> {
  const rows = ["| engine | exact, takes/s | leased, takes/s | leased ÷ exact | goal |", "|---|---|---|---|---|"];
  const folder = mkdtempSync(join(tmpdir(), "ashlar-rate-limits-"));
  try {
    rows.push(await cluster("sqlite", `sqlite:${join(folder, "data.db")}`));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (skipWithoutPostgres() === false) {
    await using server = await startPostgres();
    rows.push(await cluster("postgres", server.url));
  }
  return rows.join("\n");
}

const load = loadavg()[0]?.toFixed(2);
const results = [
  await play(
    local("allowed, one key", 2, plenty, () => "10.0.0.1"),
    effort,
  ),
  await play(
    local("allowed, 10,000 keys in turn", 2, plenty, (i) => keys[i % keys.length] as string),
    effort,
  ),
  await play(
    local("refused, one key", 2, 1, () => "10.0.0.1"),
    effort,
  ),
];
const inMemory = await play(await clusterInMemory(), effort);
const text = `# Rate limits

\`node bench/rate-limits.ts\`, ${new Date().toISOString().slice(0, 10)}, load ${load} at the start.

${heading({ "rate-limiter-flexible": version })}

## In one process

Ours answers synchronously; the peer's \`consume\` is awaited, as its users must. The ratio is against our token bucket.

${table(results)}

## Over the engine, in one process

${table([inMemory])}

## Four processes on one hot key

32 takes under way in each process, a limit that is not reached; the engine's stock durability. Median of the rounds.

${await clusters()}
`;
console.log(text);
if (values.markdown !== undefined) writeFileSync(values.markdown, text);
