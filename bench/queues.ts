import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { heading } from "./compare.ts";
import { load } from "./machine.ts";
import { watchOthers } from "./queues/others.ts";
import { Places } from "./queues/places.ts";
import { type EngineName, entries, full, quick } from "./queues/plan.ts";
import { preface } from "./queues/preface.ts";
import { race } from "./queues/race.ts";
import { tables } from "./queues/report.ts";

const { values: args } = parseArgs({
  options: {
    quick: { type: "boolean" },
    engines: { type: "string", default: "sqlite,postgres" },
    markdown: { type: "string" },
    folder: { type: "string" },
    rounds: { type: "string" },
  },
});

const names: Readonly<Record<EngineName, string>> = {
  sqlite: "One machine: SQLite, and Redis with an append-only file",
  postgres: "Postgres",
};
const peers: Readonly<Record<EngineName, readonly string[]>> = {
  sqlite: ["bullmq", "ioredis", "bee-queue", "plainjob", "better-sqlite3"],
  postgres: ["bullmq", "pg-boss", "graphile-worker"],
};

const usual = args.quick ? quick : full;
const sizes = { ...usual, rounds: Number(args.rounds ?? usual.rounds) };
const engines = args.engines.split(",").map((name) => {
  if (!(name in entries)) throw new Error(`--engines: ${name} is neither of ${Object.keys(entries).join(", ")}`);
  return name as EngineName;
});

const sections: string[] = [];
const versions: Record<string, string> = {};
const before = heading();
const others = await watchOthers();
await using places = new Places(args.folder);
for (const engine of engines) {
  const missing = await places.start(engine);
  if (missing !== undefined) {
    sections.push(`## ${names[engine]}\n\nNot measured: ${missing}.`);
    continue;
  }
  for (const name of peers[engine]) versions[name] = versionOf(name);
  const { results, absent } = await race(engine, places, sizes, console.error);
  const gaps = absent.map((line) => `Not measured: ${line}`);
  sections.push([`## ${names[engine]}`, ...gaps, tables(engine, results)].join("\n\n"));
  // What is measured is kept, whatever becomes of the next engine.
  if (args.markdown) writeFileSync(args.markdown, report());
}

await places[Symbol.asyncDispose]();
const whole = report(`; ${await others()}`);
if (args.markdown) writeFileSync(args.markdown, whole);
console.log(whole);

function versionOf(name: string): string {
  try {
    const manifest = new URL(`node_modules/${name}/package.json`, import.meta.url);
    return JSON.parse(readFileSync(manifest, "utf8")).version;
  } catch {
    return "(absent)";
  }
}

function report(noise = ""): string {
  const all = Object.entries({ ...versions, ...places.versions }).map(([name, version]) => `${name} ${version}`);
  return `# Queues

${preface(sizes)}

## The machine

${before}
- ${all.join(", ")}
- load ${load()} after${noise}

${sections.join("\n\n")}
`;
}
