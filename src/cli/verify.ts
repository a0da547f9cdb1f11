import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemRuntime } from "../core/index.ts";
import {
  type CaseResult,
  type ConformanceTarget,
  type Contract,
  conformance,
  contracts,
  describeError,
  type Report,
  renderReport,
  report,
} from "../engine/conformance/index.ts";
import { connect } from "../engine/index.ts";
import { MemoryStore, openMemory } from "../engine/memory/index.ts";
import { type Command, type Context, exitCodes, expectArguments, open, parse, UsageError } from "./command.ts";

const help = `Usage: ashlar verify <url> [--only contract,…] [--seed n]

Asks the store for everything that the contract of engines says, and prints what it promises and
what was found: ✓ so, ✗ not so, – not asked and why. Works below the key ["conformance"] and
removes what it wrote. What stays: the names of its topics with their next offsets, because offsets
are never given out again; and some MB of deleted objects, until objects are put or deleted again.

Options   --only      these contracts alone: ${contracts.slice(0, 9).join(", ")},
                      ${contracts.slice(9).join(", ")}
          --seed      the seed of all chance, to repeat a failure
          --url       the store, instead of the first argument
          --json      the report as one JSON object

Exits with 1 if anything is not so.`;

export const verifyCommand: Command = {
  help,
  async run(args, context) {
    const given = parse(args, { only: "string", seed: "string" }, context);
    expectArguments(given.rest, []);
    const only = toContracts(given.text("only"));
    const seed = given.count("seed", 0);
    // What cannot be reached at all is no engine that breaks its promises.
    await (await open(given.url, context)).close();
    await using place = await prepare(given.url as string);
    await using suite = conformance({ ...place.target, ...(seed !== undefined && { seed }) });
    const found = await report(suite, {
      ...(only && { only }),
      signal: context.signal,
      onResult: progress(context, suite.cases.length),
    });
    context.output.progress("");
    await context.output.line(given.json ? JSON.stringify(toJsonReport(found)) : renderReport(found));
    return found.failed === 0 ? exitCodes.good : exitCodes.found;
  },
};

function toContracts(text: string | undefined): Contract[] | undefined {
  return text?.split(",").map((name) => {
    const found = contracts.find((contract) => contract === name.trim());
    if (found === undefined)
      throw new UsageError(`--only: given ${JSON.stringify(name)}; allowed: ${contracts.join(", ")}`);
    return found;
  });
}

function progress({ output }: Context, total: number): (result: CaseResult) => void {
  let done = 0;
  return ({ contract, name }) => output.progress(`${++done}/${total} ${contract}: ${name}`.slice(0, 79));
}

interface Place extends AsyncDisposable {
  readonly target: ConformanceTarget;
}

/** How to open clients of the store, and empty stores beside it where that costs nothing. */
async function prepare(url: string): Promise<Place> {
  if (url.startsWith("memory:")) {
    const store = new MemoryStore(systemRuntime);
    const target = { open: async () => openMemory({ store }), openSeparate: async () => openMemory() };
    return { target, [Symbol.asyncDispose]: async () => {} };
  }
  if (!url.startsWith("sqlite:"))
    return { target: { open: () => connect(url) }, [Symbol.asyncDispose]: async () => {} };
  const folder = await mkdtemp(join(tmpdir(), "ashlar-verify-"));
  let stores = 0;
  const target = {
    open: () => connect(url),
    openSeparate: () => connect(`sqlite:${encodeURI(join(folder, `${stores++}.db`))}`),
  };
  return { target, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/** The report with its errors as texts. */
function toJsonReport(found: Report): unknown {
  const results = found.results.map((result) =>
    result.outcome === "failed" ? { ...result, error: describeError(result.error) } : result,
  );
  return { ...found, results };
}
