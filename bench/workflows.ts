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
import { type Contender, heading, type Match, type MatchResult, play, table } from "./compare.ts";
import { load } from "./machine.ts";

const { values: args } = parseArgs({
  options: {
    quick: { type: "boolean" },
    markdown: { type: "string" },
  },
});

const inFlight = 50;
const steps = 5;
const timing = args.quick ? { rounds: 3, ms: 300 } : { rounds: 5, ms: 2000 };

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
  return { name: "Ashlar", one };
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
  return { name: "openworkflow 0.10", one: async () => (await five.run()).result() };
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
  return { name: "DBOS 5.3, called directly", one: five };
}

function matches(at: string, runners: readonly Runner[], goal: number): Match[] {
  const contender = ({ name, one }: Runner, most: number): Contender => ({
    name,
    run: (count) => lanes(count, most, one),
  });
  const match = (what: string, most: number, more: { readonly goal?: number }): Match => ({
    what: `${at}: ${what}`,
    ...more,
    contenders: runners.map((runner) => contender(runner, most)) as [Contender, ...Contender[]],
  });
  return [
    match(`workflows of ${steps} steps that do nothing, ${inFlight} at once`, inFlight, { goal }),
    match("the same, one after another", 1, {}),
  ];
}

const folder = mkdtempSync(join(tmpdir(), "ashlar-workflows-"));
const head = heading();
const results: MatchResult[] = [];
{
  await using held = new AsyncDisposableStack();
  const runners = [await ours(`sqlite:${folder}/ours.db`, held), await openWorkflow(join(folder, "theirs.db"), held)];
  for (const match of matches("SQLite", runners, 15)) results.push(await play(match, timing));
}
console.error(table(results));
if (findPostgres() === undefined) console.error(`Postgres is not measured: ${postgresMissing}`);
else {
  await using server = await startPostgres({ settings: { max_connections: "200", shared_buffers: "128MB" } });
  await using held = new AsyncDisposableStack();
  const runners = [await ours(server.url, held), await dbos(server.url, held)];
  for (const match of matches("Postgres", runners, 10)) results.push(await play(match, timing));
}
rmSync(folder, { recursive: true });
const openWorkflowVersion = JSON.parse(
  readFileSync(new URL("node_modules/openworkflow/package.json", import.meta.url), "utf8"),
).version;
const report = `# Workflows

Workflows of ${steps} steps that do nothing, from their start until their result is there; worker and caller in one process. Contestants run in turn within each of ${timing.rounds} rounds. Run with \`node bench/workflows.ts\`.

${head}
- openworkflow ${openWorkflowVersion}, @dbos-inc/dbos-sdk 5.3.0
- load ${load()} after

Not equal: openworkflow's SQLite is in WAL mode as it sets it up, and its worker and the wait for a result poll; ours flushes each commit (\`synchronous=FULL\`), and nothing polls. DBOS and ours share a stock Postgres; DBOS is called directly, without its queue. Steps of workflows that run at the same time share commits with ours; with the peers each step is a
transaction of its own.

${table(results)}`;
if (args.markdown !== undefined) writeFileSync(args.markdown, report);
console.log(report);
process.exit();
