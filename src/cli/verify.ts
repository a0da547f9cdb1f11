import { existsSync } from "node:fs";
import {
  type CaseResult,
  type Contract,
  conformance,
  contracts,
  describeError,
  type Report,
  renderReport,
  report,
} from "../engine/conformance/index.ts";
import { type Command, type Context, exitCodes, expectArguments, open, parse, UsageError } from "./command.ts";
import { createScratch } from "./scratch.ts";
import { fileOf } from "./sqlite-file.ts";

const help = `Usage: ashlar verify <url> [--only contract,…] [--seed n]

Asks for everything that the contract of engines says, and prints what the engine promises and what
was found: ✓ so, ✗ not so, – not asked and why. It works in a new store of its own beside the one
that the URL names, on the same disk (sqlite: a folder .ashlar-verify-…) or in the same database
(postgres: schemas ashlar_verify_…), which it removes afterwards. What is in yours is not touched.

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
    // What cannot be opened at all is no engine that breaks its promises.
    if (!isNewFile(given.url)) await (await open(given.url, context)).close();
    await using scratch = await createScratch(given.url as string);
    await using suite = conformance({ ...scratch.target, ...(seed !== undefined && { seed }) });
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

/** A database that would be made if it were opened. */
function isNewFile(url: string | undefined): boolean {
  return url !== undefined && /^sqlite:./i.test(url) && !existsSync(fileOf(url));
}

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

/** The report with its errors as texts. */
function toJsonReport(found: Report): unknown {
  const results = found.results.map((result) =>
    result.outcome === "failed" ? { ...result, error: describeError(result.error) } : result,
  );
  return { ...found, results };
}
