import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import {
  createBoundedLoadRing,
  createHashRing,
  createMaglevTable,
  createRendezvous,
  jumpHash,
  type Placement,
} from "../src/structures/index.ts";
import { type Contender, heading, type Match, play, table } from "./compare.ts";

const { values: args } = parseArgs({ options: { quick: { type: "boolean" }, markdown: { type: "string" } } });

/** Neither has types of its own. */
type HashRing = new (servers: readonly string[], algorithm?: string, options?: object) => { get(key: string): string };
type ConsistentHash = new (
  options: object,
) => { add(node: string, weight?: number, points?: readonly number[]): void; get(key: string): string };
const require = createRequire(import.meta.url);
const TheirRing = require("hashring") as HashRing;
const TheirConsistentHash = require("consistent-hash") as ConsistentHash;

const peers = { hashring: "3.2.0", "consistent-hash": "1.2.2" };
const names = (count: number) => Array.from({ length: count }, (_, i) => `10.0.${i >> 8}.${i & 255}:8080`);
/** More than fit into any cache of answers, and of ordinary length. */
const keys = Array.from({ length: 1 << 16 }, (_, i) => `session:${(i * 2654435761) >>> 0}`);
let sink = 0;

function lookups(name: string, get: (key: string) => string | number | undefined): Contender {
  return {
    name,
    run(count) {
      for (let i = 0; i < count; i++) if (get(keys[i & 0xffff] as string) !== undefined) sink++;
    },
  };
}

function placed(name: string, placement: Placement): Contender {
  return lookups(name, (key) => placement.locate(key));
}

function theirRing(count: number): Contender {
  const ring = new TheirRing(names(count));
  return lookups("hashring 3.2", (key) => ring.get(key));
}

function theirConsistentHash(count: number): Contender {
  const ring = new TheirConsistentHash({});
  for (const name of names(count)) ring.add(name);
  return lookups("consistent-hash 1.2", (key) => ring.get(key));
}

function lookupsOver(count: number): Match {
  return {
    what: `ring, ${count} nodes, lookup`,
    goal: 2,
    contenders: [placed("Ashlar ring", createHashRing(names(count))), theirRing(count), theirConsistentHash(count)],
  };
}

function others(count: number): Match {
  const bounded = createBoundedLoadRing(names(count));
  return {
    what: `${count} nodes, lookup, the ring beside the others of ours`,
    contenders: [
      placed("Ashlar ring", createHashRing(names(count))),
      placed("Ashlar Maglev table", createMaglevTable(names(count))),
      placed("Ashlar rendezvous", createRendezvous(names(count))),
      lookups("Ashlar jump hash", (key) => jumpHash(key, count)),
      lookups("Ashlar bounded-load ring, placing and releasing", (key) => {
        const work = bounded.acquire(key);
        work?.release();
        return work?.node;
      }),
    ],
  };
}

/** Making a ring of a hundred nodes and asking it once, which is when it is made. */
function making(): Match {
  const nodes = names(100);
  const made = (name: string, make: () => (key: string) => unknown): Contender => ({
    name,
    run(count) {
      for (let i = 0; i < count; i++) if (make()(keys[i & 0xffff] as string) !== undefined) sink++;
    },
  });
  return {
    what: "ring of 100 nodes, making it",
    contenders: [
      made("Ashlar ring", () => {
        const ring = createHashRing(nodes);
        return (key) => ring.locate(key);
      }),
      made("hashring 3.2", () => {
        const ring = new TheirRing(nodes);
        return (key) => ring.get(key);
      }),
      made("consistent-hash 1.2", () => {
        const ring = new TheirConsistentHash({});
        for (const name of nodes) ring.add(name);
        return (key) => ring.get(key);
      }),
    ],
  };
}

/** How far the most loaded of ten nodes is above the average, over all keys. */
function unevenness(get: (key: string) => string | undefined): string {
  const loads = new Map<string | undefined, number>();
  for (const key of keys) loads.set(get(key), (loads.get(get(key)) ?? 0) + 1);
  const most = Math.max(...loads.values());
  return `${(((most * 10) / keys.length - 1) * 100).toFixed(1)} %`;
}

function balance(): string {
  const nodes = names(10);
  const ring = new TheirRing(nodes);
  const consistent = new TheirConsistentHash({});
  for (const name of nodes) consistent.add(name);
  const rows: [string, string][] = [
    ["Ashlar ring, 160 points a node", unevenness((key) => createdRing.locate(key))],
    ["Ashlar Maglev table", unevenness((key) => maglev.locate(key))],
    ["Ashlar rendezvous", unevenness((key) => rendezvous.locate(key))],
    ["Ashlar jump hash", unevenness((key) => String(jumpHash(key, 10)))],
    ["hashring 3.2", unevenness((key) => ring.get(key))],
    ["consistent-hash 1.2", unevenness((key) => consistent.get(key))],
  ];
  return [
    "| placement | most loaded of 10 nodes, above even |",
    "|---|---|",
    ...rows.map(([name, share]) => `| ${name} | ${share} |`),
  ].join("\n");
}
const createdRing = createHashRing(names(10));
const maglev = createMaglevTable(names(10));
const rendezvous = createRendezvous(names(10));

const options = args.quick ? { rounds: 3, ms: 30 } : {};
const results = [];
for (const match of [lookupsOver(10), lookupsOver(100), lookupsOver(1000), others(10), others(100), making()])
  results.push(await play(match, options));

const report = `# Placement

Where a key belongs, for keys of 17 characters or so, 65,536 of them in turn; lower is better, and a ratio above 1 is in favour of Ashlar. hashring remembers 5,000 answers, which do not help here; consistent-hash hashes
with a function of its own that reads every character, as ours does. Run with \`node bench/structures.ts\`.

${heading(peers)}

${table(results)}

## Evenness

${balance()}
`;
if (args.markdown) writeFileSync(args.markdown, report);
else console.log(report);
if (sink === 0) throw new Error("nothing was looked up");
