import { parseArgs } from "node:util";
import { show, type TortureResult, type TortureStore, torture, type Victim } from "./rounds.ts";
import { createPostgresStore, createSqliteStore } from "./stores.ts";

/**
 * Kills writing processes, and on Postgres the server, and audits what is left:
 * `node test/torture/run.ts --engine sqlite|postgres [--rounds 100] [--victims client|server|both] [--seed n]`.
 * Exits with 1 if an acknowledged write was lost, halved, doubled or reordered, and with 2 for wrong arguments.
 */
const usage =
  "node test/torture/run.ts --engine sqlite|postgres [--rounds 100] [--victims client|server|both] [--seed n]";
const { values } = parseArgs({
  options: {
    engine: { type: "string", default: "sqlite" },
    rounds: { type: "string", default: "100" },
    victims: { type: "string" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
});
const seed = Number(values.seed);
const rounds = Number(values.rounds);
const victims = victimsOf(values.engine, values.victims);
if (!victims || !Number.isSafeInteger(seed) || !Number.isSafeInteger(rounds) || rounds < 1) {
  console.error(usage);
  process.exit(2);
}
console.log(`seed ${seed}`);
const began = performance.now();
const results = values.engine === "sqlite" ? await tortureSqlite(victims) : await torturePostgres(victims);
for (const { violations } of results) {
  for (const { kind, what } of violations.slice(0, 20)) console.error(`${kind}: ${what}`);
}
console.log(
  `${values.engine}, ${Math.round((performance.now() - began) / 1000)} s: ${results.map(show).join("\n  and ")}`,
);
if (results.some(({ violations }) => violations.length > 0)) {
  console.error(`violated; repeat the choices with --engine ${values.engine} --rounds ${rounds} --seed ${seed}`);
  process.exitCode = 1;
}

function victimsOf(engine: string, given: string | undefined): readonly Victim[] | undefined {
  const all: readonly Victim[] =
    engine === "sqlite" ? ["client"] : engine === "postgres" ? ["client", "server", "both"] : [];
  const chosen = given === undefined ? all : all.filter((victim) => victim === given);
  return chosen.length > 0 ? chosen : undefined;
}

/** Half of the rounds with watchers, half on a file that nobody else has open, which must then be recovered. */
async function tortureSqlite(victims: readonly Victim[]): Promise<TortureResult[]> {
  const watched = Math.ceil(rounds / 2);
  const results: TortureResult[] = [];
  using first = createSqliteStore();
  results.push(await run(first, watched, seed, victims, true));
  if (rounds === watched) return results;
  using second = createSqliteStore();
  results.push(await run(second, rounds - watched, seed + 1, victims, false));
  return results;
}

async function torturePostgres(victims: readonly Victim[]): Promise<TortureResult[]> {
  await using store = await createPostgresStore();
  return [await run(store, rounds, seed, victims, true)];
}

function run(
  store: TortureStore,
  count: number,
  from: number,
  victims: readonly Victim[],
  watched: boolean,
): Promise<TortureResult> {
  console.log(watched ? "with watchers that live through all rounds" : "on a store that nobody else has open");
  return torture(store, { rounds: count, seed: from, victims, watched, print: (line) => console.log(line) });
}
