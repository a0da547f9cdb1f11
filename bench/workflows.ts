import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DBOS } from "@dbos-inc/dbos-sdk";
import { OpenWorkflow } from "openworkflow";
import { BackendSqlite } from "openworkflow/sqlite";
import { createWorkflows, defineWorkflow } from "../src/durable/workflow/index.ts";
import { connect } from "../src/index.ts";
import { findPostgres, postgresMissing, startPostgres } from "../test/servers/postgres.ts";
import { heading, type MatchResult, table } from "./compare.ts";
import { load } from "./machine.ts";

const { values: args } = parseArgs({
  options: {
    quick: { type: "boolean" },
    markdown: { type: "string" },
  },
});

const inFlight = 50;
const steps = 5;
const rounds = args.quick ? 2 : 5;

/** As many at once as there are lanes. */
async function lanes(count: number, most: number, one: () => Promise<unknown>): Promise<void> {
  let left = count;
  const work = async (): Promise<void> => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: Math.min(most, count) }, work));
}

interface Runner {
  readonly name: string;
  /** Workflows of a round, when many run at once, and one after another: seconds rather than minutes of each, however slow. */
  readonly counts: readonly [many: number, few: number];
  /** Begins all of them at once, instead of so many at a time. */
  readonly allAtOnce?: true;
  one(): Promise<unknown>;
}

const flow = defineWorkflow("five", async (ctx) => {
  for (let i = 0; i < steps; i++) await ctx.step(`step ${i}`, () => i);
});

async function ours(url: string, held: AsyncDisposableStack): Promise<Runner> {
  const engine = held.use(await connect(url));
  const workflows = createWorkflows(engine, [flow]);
  held.use(workflows.work({ concurrency: 200 }));
  const one = async () => (await workflows.start(flow, undefined)).result();
  // The worker owns its shards by then.
  await one();
  return { name: "Ashlar", counts: [2000, 100], one };
}

async function openWorkflow(path: string, held: AsyncDisposableStack): Promise<Runner> {
  const backend = BackendSqlite.connect(path);
  const client = new OpenWorkflow({ backend });
  const five = client.defineWorkflow({ name: "five" }, async ({ step }) => {
    for (let i = 0; i < steps; i++) await step.run({ name: `step ${i}` }, async () => i);
  });
  const worker = client.newWorker({ concurrency: inFlight });
  await worker.start();
  held.defer(() => backend.stop());
  held.defer(() => worker.stop());
  return { name: "openworkflow 0.10", counts: [400, 5], allAtOnce: true, one: async () => (await five.run()).result() };
}

async function dbos(url: string, held: AsyncDisposableStack): Promise<Runner> {
  DBOS.setConfig({ name: "bench", systemDatabaseUrl: url, logLevel: "error" });
  const five = DBOS.registerWorkflow(
    async () => {
      for (let i = 0; i < steps; i++) await DBOS.runStep(async () => i, { name: `step ${i}` });
    },
    { name: "five" },
  );
  await DBOS.launch();
  held.defer(() => DBOS.shutdown());
  return { name: "DBOS 5.3, called directly", counts: [400, 50], one: five };
}

/** In rounds, in turn; one round before them does not count. */
async function race(what: string, runners: readonly Runner[], most: number, goal?: number): Promise<MatchResult> {
  const results: number[][] = runners.map(() => []);
  for (let round = 0; round <= rounds; round++)
    for (const [i, { counts, allAtOnce, one }] of runners.entries()) {
      const count = counts[most > 1 ? 0 : 1];
      globalThis.gc?.();
      const start = process.hrtime.bigint();
      await lanes(count, most > 1 && allAtOnce ? count : most, one);
      if (round > 0) results[i]?.push(Number(process.hrtime.bigint() - start) / count);
    }
  const contenders = runners.map(({ name }) => ({ name, run: () => {} }));
  const match = { what, contenders: contenders as [(typeof contenders)[0]], ...(goal !== undefined && { goal }) };
  return { match, rounds: results };
}

async function races(at: string, runners: readonly Runner[], goal: number): Promise<MatchResult[]> {
  const what = `${at}: workflows of ${steps} steps that do nothing`;
  return [
    await race(`${what}, ${inFlight} at once`, runners, inFlight, goal),
    await race(`${what}, one after another`, runners, 1),
  ];
}

const folder = mkdtempSync(join(tmpdir(), "ashlar-workflows-"));
const head = heading();
const results: MatchResult[] = [];
{
  await using held = new AsyncDisposableStack();
  const runners = [await ours(`sqlite:${folder}/ours.db`, held), await openWorkflow(join(folder, "theirs.db"), held)];
  results.push(...(await races("SQLite", runners, 15)));
}
console.error(table(results));
if (findPostgres() === undefined) console.error(`Postgres is not measured: ${postgresMissing}`);
else {
  await using server = await startPostgres({ settings: { max_connections: "200", shared_buffers: "128MB" } });
  await using held = new AsyncDisposableStack();
  const runners = [await ours(server.url, held), await dbos(server.url, held)];
  results.push(...(await races("Postgres", runners, 10)));
}
rmSync(folder, { recursive: true });
const openWorkflowVersion = JSON.parse(
  readFileSync(new URL("node_modules/openworkflow/package.json", import.meta.url), "utf8"),
).version;
const report = `# Workflows

Workflows of ${steps} steps that do nothing, from their start until their result is there; worker and caller in one process. Contestants run in turn within each of ${rounds} rounds. Run with \`node bench/workflows.ts\`.

${head}
- openworkflow ${openWorkflowVersion}, @dbos-inc/dbos-sdk 5.3.0
- load ${load()} after

Not equal: openworkflow's SQLite is in WAL mode as it sets it up, its worker polls, and whoever waits for a result looks once a second: its workflows are therefore begun all at once, and its worker has ${inFlight} under way. Ours flushes each commit (\`synchronous=FULL\`), and nothing polls. DBOS and ours share a stock Postgres; DBOS is called directly, without its queue. Steps of workflows that run at the same time share commits with ours; with the peers each step is a
transaction of its own.

${table(results)}`;
if (args.markdown !== undefined) writeFileSync(args.markdown, report);
console.log(report);
process.exit();
