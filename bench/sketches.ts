import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import {
  createBlockedBloomFilter,
  createBloomFilter,
  createCountingBloomFilter,
  createCountMin,
  createCuckooFilter,
  createHyperLogLog,
  createTDigest,
} from "../src/structures/index.ts";
import { type Contender, heading, type Match, play, table } from "./compare.ts";

const { values: args } = parseArgs({ options: { quick: { type: "boolean" }, markdown: { type: "string" } } });

interface TheirFilter {
  add(key: string): unknown;
  has(key: string): boolean;
}
interface Theirs {
  readonly BloomFilter: { create(items: number, rate: number): TheirFilter };
  readonly CuckooFilter: { create(items: number, rate: number): TheirFilter };
  readonly HyperLogLog: new (registers: number) => { update(key: string): void };
  readonly CountMinSketch: {
    create(epsilon: number, delta: number): { update(key: string): void; count(key: string): number };
  };
}
const theirs = createRequire(import.meta.url)("bloom-filters") as Theirs;
const peer = "bloom-filters 3.0";

const capacity = 100_000;
const keys = Array.from({ length: 1 << 16 }, (_, i) => `session:${(i * 2654435761) >>> 0}`);
let sink = 0;

function each(name: string, work: (key: string) => unknown): Contender {
  return {
    name,
    run(count) {
      for (let i = 0; i < count; i++) if (work(keys[i & 0xffff] as string)) sink++;
    },
  };
}

/** Half of the keys are there. */
function filled<F extends { add(key: string): unknown; has(key: string): boolean }>(filter: F): F {
  for (let i = 0; i < keys.length; i += 2) filter.add(keys[i] as string);
  return filter;
}

const options = { capacity, falsePositiveRate: 0.01 };
function matches(): Match[] {
  const [bloom, blocked, counting] = [
    createBloomFilter(options),
    createBlockedBloomFilter(options),
    createCountingBloomFilter(options),
  ];
  const theirBloom = theirs.BloomFilter.create(capacity, 0.01);
  const asked = {
    bloom: filled(createBloomFilter(options)),
    theirs: filled(theirs.BloomFilter.create(capacity, 0.01)),
  };
  const cuckoo = {
    ours: filled(createCuckooFilter(options)),
    theirs: filled(theirs.CuckooFilter.create(capacity, 0.01)),
  };
  const [hll, theirHll] = [createHyperLogLog(), new theirs.HyperLogLog(2 ** 14)];
  const [countMin, theirCountMin] = [createCountMin(), theirs.CountMinSketch.create(0.001, 0.01)];
  const digest = createTDigest();
  return [
    {
      what: "Bloom, 100,000 keys at 1 %, add",
      goal: 2,
      contenders: [each("Ashlar Bloom", (key) => bloom.add(key)), each(peer, (key) => theirBloom.add(key))],
    },
    {
      what: "Bloom, has; half of the keys are there",
      goal: 2,
      contenders: [each("Ashlar Bloom", (key) => asked.bloom.has(key)), each(peer, (key) => asked.theirs.has(key))],
    },
    {
      what: "cuckoo, has; half of the keys are there",
      goal: 2,
      contenders: [each("Ashlar cuckoo", (key) => cuckoo.ours.has(key)), each(peer, (key) => cuckoo.theirs.has(key))],
    },
    {
      what: "HyperLogLog, 2¹⁴ registers, add",
      goal: 2,
      contenders: [each("Ashlar HyperLogLog", (key) => hll.add(key)), each(peer, (key) => theirHll.update(key))],
    },
    {
      what: "count-min, 0.1 % at 99 %, add",
      goal: 2,
      contenders: [
        each("Ashlar count-min", (key) => countMin.add(key)),
        each(peer, (key) => theirCountMin.update(key)),
      ],
    },
    { what: "blocked Bloom, add", contenders: [each("Ashlar blocked Bloom", (key) => blocked.add(key))] },
    {
      what: "blocked Bloom, has",
      contenders: [each("Ashlar blocked Bloom", (key) => blocked.has(key))],
    },
    { what: "counting Bloom, add", contenders: [each("Ashlar counting Bloom", (key) => counting.add(key))] },
    {
      what: "t-digest, add",
      contenders: [each("Ashlar t-digest", (key) => digest.add(key.charCodeAt(8) * key.length))],
    },
  ];
}

const results = [];
for (const match of matches()) results.push(await play(match, args.quick ? { rounds: 3, ms: 30 } : {}));

const report = `# Sketches

Keys of 17 characters or so, 65,536 of them in turn; lower is better, and a ratio above 1 is in favour of Ashlar. Run with \`node bench/sketches.ts\`.

${heading({ "bloom-filters": "3.0.4" })}

${table(results)}

Memory for 100,000 keys at 1 %: Bloom ${kib(createBloomFilter(options).byteLength)}, blocked ${kib(createBlockedBloomFilter(options).byteLength)}, counting ${kib(createCountingBloomFilter(options).byteLength)},
cuckoo ${kib(createCuckooFilter(options).byteLength)}.
`;
if (args.markdown) writeFileSync(args.markdown, report);
else console.log(report);
if (sink < 0) throw new Error("nothing was done");

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`;
}
