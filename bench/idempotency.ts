import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createIdempotency } from "../src/coordination/idempotency/index.ts";
import type { Engine } from "../src/engine/index.ts";
import { openMemory } from "../src/engine/memory/index.ts";
import { connect } from "../src/index.ts";
import { heading, type Match, median, play, table } from "./compare.ts";

const { values } = parseArgs({ options: { quick: { type: "boolean" }, markdown: { type: "string" } } });
const effort = values.quick ? { rounds: 3, ms: 60 } : { rounds: 7, ms: 250 };
/** How many calls are under way at once in the rows that say so. */
const together = 64;

const answer = { id: "ch_3NqT2eLkdIwHu7ix", amount: 1250, currency: "eur", status: "succeeded" };
const request = { to: "acct_1032D82eZvKYlo2C", amount: 1250, currency: "eur" };

/** Keys that were never used, and one that was. */
let fresh = 0;

/** Does `one` so many times, `width` at once. */
function inParallel(width: number, one: () => Promise<unknown>) {
  return async (count: number): Promise<void> => {
    let left = count;
    const worker = async (): Promise<void> => {
      while (left-- > 0) await one();
    };
    await Promise.all(Array.from({ length: width }, worker));
  };
}

/** What the engine itself takes for a commit, and for a read. */
function rawCommit(engine: Engine): () => Promise<unknown> {
  return () =>
    engine.kv.commit({
      checks: [{ key: ["raw", fresh], version: undefined }],
      mutations: [{ set: ["raw", fresh++], value: { state: "done", result: answer }, ttl: "24h" }],
    });
}

async function matches(where: string, engine: Engine, width: number): Promise<Match[]> {
  const answers = createIdempotency(engine, "payments");
  await answers.run("used", () => answer, { fingerprint: request });
  await engine.kv.set(["raw", "used"], { state: "done", result: answer });
  const how = width === 1 ? "one after another" : `${width} at once`;
  const commit = { name: "a commit of the engine", run: inParallel(width, rawCommit(engine)) };
  const read = { name: "a read of the engine", run: inParallel(width, () => engine.kv.get(["raw", "used"])) };
  const contender = (name: string, one: () => Promise<unknown>) => ({ name, run: inParallel(width, one) });
  return [
    {
      what: `${where}, first run, ${how}`,
      contenders: [
        contender("run", () => answers.run(`k${fresh++}`, () => answer)),
        contender("run, with a fingerprint", () => answers.run(`k${fresh++}`, () => answer, { fingerprint: request })),
        contender("transact", () => answers.transact(`k${fresh++}`, () => answer)),
        commit,
      ],
    },
    {
      what: `${where}, replay, ${how}`,
      contenders: [
        contender("run", () => answers.run("used", () => answer)),
        contender("run, with a fingerprint", () => answers.run("used", () => answer, { fingerprint: request })),
        contender("transact", () => answers.transact("used", () => answer)),
        read,
      ],
    },
  ];
}

/** Microseconds of processor time of one operation of each contender: what other load on the machine changes least. Medians of rounds in turn. */
async function processorTime({ contenders }: Match): Promise<number[]> {
  const count = values.quick ? 300 : 3_000;
  const rounds: number[][] = contenders.map(() => []);
  for (let round = 0; round < effort.rounds; round++) {
    for (const [i, { run }] of contenders.entries()) {
      const before = process.cpuUsage();
      await run(count);
      const { user, system } = process.cpuUsage(before);
      rounds[i]?.push((user + system) / count);
    }
  }
  return rounds.map(median);
}

function processorRow({ what, contenders }: Match, times: readonly number[]): string {
  const base = times.at(-1) ?? Number.NaN;
  const cells = contenders.map(({ name }, i) => {
    const us = times[i] as number;
    return `${name} ${us.toFixed(1)} µs (${(us / base).toFixed(1)} ×)`;
  });
  return `| ${what} | ${cells.join(" · ")} |`;
}

const folder = mkdtempSync(join(tmpdir(), "ashlar-bench-"));
const engines: [string, () => Promise<Engine>][] = [
  ["memory", async () => openMemory()],
  ["SQLite", () => connect(`sqlite:${join(folder, "data.db")}`)],
];
const results = [];
const processor: string[] = [];
try {
  for (const [where, open] of engines) {
    for (const width of [1, together]) {
      await using engine = await open();
      for (const match of await matches(where, engine, width)) {
        results.push(await play(match, effort));
        processor.push(processorRow(match, await processorTime(match)));
      }
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const text = [
  "# Idempotency, measured",
  "",
  "The first contender of each row is `run`; the last is what the engine itself takes, so its *time ÷ ours* is the share of a call that is not the block's. A first `run` is a read and two commits: the claim, and the result. A",
  "first `transact` is a read and one commit. A replay is one read.",
  "",
  heading(),
  "",
  table(results),
  "",
  "## Processor time",
  "",
  "Of the whole process, SQLite's worker included, for one operation; in brackets, times what the engine itself takes. On a machine that is busy with other things, this says more than the clock.",
  "",
  "| work | processor time |",
  "|---|---|",
  ...processor,
  "",
].join("\n");
process.stdout.write(text);
if (values.markdown !== undefined) writeFileSync(values.markdown, text);
