import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { LRUCache } from "lru-cache";
import { createLocalCache, type Eviction, type LocalCache } from "../src/cache/index.ts";
import { type Contender, heading, type Match, type MatchResult, table } from "./compare.ts";

const { values: args } = parseArgs({
  options: { quick: { type: "boolean" }, markdown: { type: "string" }, match: { type: "string" } },
});

const evictions: readonly Eviction[] = ["s3-fifo", "w-tinylfu", "lru", "lfu", "fifo"];
const peer = "lru-cache 11.5";
const entries = 10_000;
const keys = Array.from({ length: entries * 2 }, (_, i) => `product/${i}`);
/** Keys in an order that the processor's caches do not foresee. */
const draw = seeded(1);
const shuffled = Uint32Array.from({ length: 1 << 16 }, () => Math.floor(draw() * entries));
/** Over all keys, by Zipf's law. */
const drawPopular = zipf(entries * 2, 1, draw);
const popular = Uint32Array.from({ length: 1 << 16 }, drawPopular);

function filled<C extends { set(key: string, value: number): unknown }>(cache: C): C {
  for (let i = 0; i < entries; i++) cache.set(keys[i] as string, i);
  return cache;
}

function gets(name: string, cache: { get(key: string): number | undefined }): Contender {
  return {
    name,
    run(count) {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += cache.get(keys[shuffled[i & 0xffff] as number] as string) ?? 0;
      if (sum < 0) throw new Error("no number is negative");
    },
  };
}

/** Every set evicts: keys go round over twice as many as fit. */
function sets(name: string, cache: { set(key: string, value: number): unknown }): Contender {
  let at = 0;
  return {
    name,
    run(count) {
      for (let i = 0; i < count; i++) {
        at = at + 1 === keys.length ? 0 : at + 1;
        cache.set(keys[at] as string, i);
      }
    },
  };
}

/** New values for keys that are there. */
function updates(name: string, cache: { set(key: string, value: number): unknown }): Contender {
  return {
    name,
    run(count) {
      for (let i = 0; i < count; i++) cache.set(keys[shuffled[i & 0xffff] as number] as string, i);
    },
  };
}

/** What a cache is for: get, and set what was missing; twice as many keys as fit, by Zipf's law. */
function reads(
  name: string,
  cache: { get(key: string): number | undefined; set(key: string, value: number): unknown },
): Contender {
  return {
    name,
    run(count) {
      for (let i = 0; i < count; i++) {
        const key = keys[popular[i & 0xffff] as number] as string;
        if (cache.get(key) === undefined) cache.set(key, i);
      }
    },
  };
}

function ours(eviction: Eviction, ttl?: "1h"): LocalCache<string, number> {
  return filled(createLocalCache<string, number>({ maxEntries: entries, eviction, ...(ttl && { ttl }) }));
}

function theirs(ttl?: number): LRUCache<string, number> {
  return filled(new LRUCache<string, number>({ max: entries, ...(ttl && { ttl }) }));
}

type Maker = (name: string, cache: LocalCache<string, number> | LRUCache<string, number>) => Contender;

function match(what: string, make: Maker, eviction: Eviction, ttl: "1h" | undefined): Match {
  return {
    what: `${what}, ${eviction}`,
    goal: 1,
    contenders: [
      make(`Ashlar, ${eviction}`, ours(eviction, ttl)),
      make(peer, theirs(ttl === undefined ? undefined : 3_600_000)),
    ],
  };
}

interface Trace {
  readonly name: string;
  next(): number;
}

/** Keys by Zipf's law: the k-th most popular of `n` is asked for in proportion to 1 / k^s. */
function zipf(n: number, s: number, random: () => number): () => number {
  const cumulative = new Float64Array(n);
  let sum = 0;
  for (let i = 0; i < n; i++) cumulative[i] = sum += 1 / (i + 1) ** s;
  return () => {
    const wanted = random() * sum;
    let [low, high] = [0, n - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((cumulative[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** Mulberry32 (T. Ettinger). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const universe = 100_000;

const traces: readonly ((random: () => number) => Trace)[] = [
  (random) => ({ name: "Zipf 0.8", next: zipf(universe, 0.8, random) }),
  (random) => ({ name: "Zipf 1.0", next: zipf(universe, 1, random) }),
  (random) => {
    const draw = zipf(universe, 1, random);
    let [at, scanned] = [0, universe];
    return {
      name: "Zipf 1.0, every fifth read of a scan that never returns",
      next: () => (++at % 5 === 0 ? scanned++ : draw()),
    };
  },
  (random) => {
    const draw = zipf(universe, 1, random);
    let at = 0;
    return {
      name: "Zipf 1.0, other keys popular after each 200,000 reads",
      next: () => draw() + Math.floor(at++ / 200_000) * universe,
    };
  },
  () => {
    let at = 0;
    return { name: "a loop over 1.5 times the capacity of 5,000", next: () => at++ % 7500 };
  },
];

function hitRate(cache: { get(key: number): unknown; set(key: number, value: number): unknown }, trace: Trace): number {
  const reads = args.quick ? 100_000 : 400_000;
  let hits = 0;
  for (let i = 0; i < reads; i++) {
    const key = trace.next();
    if (cache.get(key) === undefined) cache.set(key, key);
    else hits++;
  }
  return hits / reads;
}

function hitRates(): string {
  const lines = [
    `| reads | capacity | ${evictions.join(" | ")} | ${peer} |`,
    `|${"---|".repeat(evictions.length + 3)}`,
  ];
  for (const make of traces) {
    for (const maxEntries of [1000, 5000]) {
      const rates = evictions.map((eviction) =>
        hitRate(createLocalCache<number, number>({ maxEntries, eviction }), make(seeded(7))),
      );
      rates.push(hitRate(new LRUCache<number, number>({ max: maxEntries }), make(seeded(7))));
      const cells = rates.map((rate) => `${(rate * 100).toFixed(1)} %`);
      lines.push(`| ${make(seeded(7)).name} | ${maxEntries.toLocaleString("en")} | ${cells.join(" | ")} |`);
    }
  }
  return lines.join("\n");
}

/** Made when they are played: each in a process of its own, as a program that has chosen one policy would run it. */
const matches: readonly (() => Match)[] = [
  ...evictions.map((eviction) => () => match("get, hits, 10,000 entries", gets, eviction, undefined)),
  ...evictions.slice(0, 3).map((eviction) => () => match("get with ttl", gets, eviction, "1h")),
  ...evictions.slice(0, 3).map((eviction) => () => match("get, set if missing, Zipf 1.0", reads, eviction, undefined)),
  ...evictions.slice(0, 3).map((eviction) => () => match("set, replaces", updates, eviction, undefined)),
  ...evictions.map((eviction) => () => match("set, each evicts", sets, eviction, undefined)),
  ...evictions.slice(0, 3).map((eviction) => () => match("set with ttl, each evicts", sets, eviction, "1h")),
];

/** The names and numbers of a result: what a child prints. */
interface Played {
  readonly what: string;
  readonly names: readonly string[];
  readonly rounds: MatchResult["rounds"];
}

/** Nanoseconds of processor time: other programs on the machine take turns, but not ours. */
async function cost(contender: Contender, count: number): Promise<number> {
  globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  await contender.run(count);
  const after = process.cpuUsage();
  return (after.user + after.system - user - system) * 1000;
}

/** As `play` in compare.ts does it, by processor time: rounds of about `ms` milliseconds, in turn. */
async function playHere(index: number): Promise<Played> {
  const chosen = matches[index];
  if (chosen === undefined) throw new RangeError(`--match is from 0 to ${matches.length - 1}`);
  const { what, contenders } = chosen();
  const [rounds, ms] = args.quick ? [3, 20] : [7, 60];
  const counts: number[] = [];
  for (const contender of contenders) {
    let count = 1024;
    let took = 0;
    while (took < (ms * 1e6) / 4) {
      count *= 2;
      took = await cost(contender, count);
    }
    counts.push(Math.round((count * ms * 1e6) / took));
  }
  const results: number[][] = contenders.map(() => []);
  for (let round = -2; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const count = counts[i] as number;
      const took = await cost(contender, count);
      if (round >= 0) (results[i] as number[]).push(took / count);
    }
  }
  return { what, names: contenders.map(({ name }) => name), rounds: results };
}

function playInChild(index: number): MatchResult {
  const quick = args.quick ? ["--quick"] : [];
  const given = ["--expose-gc", fileURLToPath(import.meta.url), "--match", String(index), ...quick];
  const { what, names, rounds } = JSON.parse(execFileSync(process.execPath, given, { encoding: "utf8" })) as Played;
  const [first = "", ...rest] = names;
  const named = (name: string): Contender => ({ name, run: () => {} });
  return { match: { what, goal: 1, contenders: [named(first), ...rest.map(named)] }, rounds };
}

function writeReport(): void {
  const report = `# Local caches

${heading({ "lru-cache": "11.5.3" })}

Written by \`node caches.ts --markdown CACHES.md\`. String keys, one thread; each match is played in a process of its own, in alternating rounds; times are processor time, so that a busy machine disturbs less, and ratios are of the same round.

## Speed

${table(matches.map((_, i) => playInChild(i)))}

## Hit rate

Numbers as keys, read-through, the same ${args.quick ? "100,000" : "400,000"} reads for all.

${hitRates()}
`;
  if (args.markdown === undefined) console.log(report);
  else writeFileSync(args.markdown, report);
}

if (args.match === undefined) writeReport();
else console.log(JSON.stringify(await playHere(Number(args.match))));
