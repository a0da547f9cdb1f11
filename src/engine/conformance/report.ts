import type { Engine, Guarantees } from "../contract.ts";
import { type Contract, contracts } from "./fact.ts";
import type { Conformance, ConformanceCase } from "./suite.ts";

/** What became of one case. */
export type CaseResult = Pick<ConformanceCase, "contract" | "name" | "guarantee"> &
  (
    | { readonly outcome: "passed"; readonly ms: number }
    | { readonly outcome: "failed"; readonly ms: number; readonly error: unknown }
    | { readonly outcome: "not-asked"; readonly reason: string }
  );

/** One promise of the engine, and what the cases say of it. */
export interface GuaranteeResult {
  readonly guarantee: keyof Guarantees;
  /** The promise in the engine's words. */
  readonly promised: string;
  readonly outcome: CaseResult["outcome"];
  /** The cases that were asked, or why none was. */
  readonly evidence: string;
}

export interface Report {
  readonly engine: string;
  readonly guarantees: readonly GuaranteeResult[];
  /** Sentences that a user of this engine should know. */
  readonly notes: readonly string[];
  readonly results: readonly CaseResult[];
  readonly passed: number;
  readonly failed: number;
  readonly notAsked: number;
  readonly ms: number;
}

export interface ReportOptions {
  /** Only the cases of these contracts. Default: all. */
  readonly only?: readonly Contract[];
  /** Cases that run at the same time at most. Default 6. */
  readonly concurrency?: number;
  /** Ends the run after the cases that are under way; rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Called after each case. */
  readonly onResult?: (result: CaseResult) => void;
}

/** Runs the suite and says what it found. A case that fails does not end the run. */
export async function report(suite: Conformance, options: ReportOptions = {}): Promise<Report> {
  const engine = await suite.engine();
  const { monotonic } = engine.runtime.clock;
  const begin = monotonic();
  const cases = suite.cases.filter(({ contract }) => options.only?.includes(contract) ?? true);
  const results: CaseResult[] = new Array(cases.length);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < cases.length; i = next++) {
      options.signal?.throwIfAborted();
      const result = await judge(cases[i] as ConformanceCase, monotonic);
      results[i] = result;
      options.onResult?.(result);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency ?? 6 }, work));
  const count = (outcome: CaseResult["outcome"]): number =>
    results.filter((result) => result.outcome === outcome).length;
  return {
    engine: engine.name,
    guarantees: judgeGuarantees(engine, results),
    notes: engine.guarantees.notes,
    results: results.toSorted((a, b) => contracts.indexOf(a.contract) - contracts.indexOf(b.contract)),
    passed: count("passed"),
    failed: count("failed"),
    notAsked: count("not-asked"),
    ms: monotonic() - begin,
  };
}

async function judge(each: ConformanceCase, monotonic: () => number): Promise<CaseResult> {
  const { contract, name, guarantee } = each;
  const what = { contract, name, ...(guarantee !== undefined && { guarantee }) };
  const begin = monotonic();
  try {
    const reason = await each.notAsked();
    if (reason !== undefined) return { ...what, outcome: "not-asked", reason };
    await each.run();
    return { ...what, outcome: "passed", ms: monotonic() - begin };
  } catch (error) {
    return { ...what, outcome: "failed", ms: monotonic() - begin, error };
  }
}

/** Why the cases cannot bear out a promise, or cannot bear out all of it. */
const unasked: Readonly<Partial<Record<keyof Guarantees, string>>> = {
  unknownOutcomes: "needs connections that break",
  failover: "needs a replica and a failover",
};

const asFarAsAsked: Readonly<Partial<Record<keyof Guarantees, string>>> = {
  durability: "over the closing of a client; crashes and power failures were not asked",
  sharing: "by clients of one process",
};

function judgeGuarantees({ guarantees }: Engine, results: readonly CaseResult[]): GuaranteeResult[] {
  const { notes: _, ...promises } = guarantees;
  return Object.entries(promises).map(([name, promised]) => {
    const guarantee = name as keyof Guarantees;
    const { outcome, evidence } = evidenceFor(guarantee, results);
    return { guarantee, promised: String(promised), outcome, evidence };
  });
}

function evidenceFor(
  guarantee: keyof Guarantees,
  results: readonly CaseResult[],
): Pick<GuaranteeResult, "outcome" | "evidence"> {
  const about = results.filter((result) => result.guarantee === guarantee && result.outcome !== "not-asked");
  const failed = about.find(({ outcome }) => outcome === "failed");
  if (failed) return { outcome: "failed", evidence: `${failed.contract}: ${failed.name}` };
  if (about.length === 0) return { outcome: "not-asked", evidence: unasked[guarantee] ?? "no case about it was asked" };
  const limit = asFarAsAsked[guarantee];
  return {
    outcome: "passed",
    evidence: `${about.length} ${about.length === 1 ? "case" : "cases"}${limit === undefined ? "" : `, ${limit}`}`,
  };
}

const marks: Readonly<Record<CaseResult["outcome"], string>> = { passed: "✓", failed: "✗", "not-asked": "–" };

/** The report as text: the table of guarantees, the cases by contract, and the failures in full. */
export function renderReport(found: Report): string {
  const lines: string[] = [`${found.engine}: ${summary(found)}`, "", "Guarantees"];
  const width = (texts: readonly string[]): number => Math.max(...texts.map(({ length }) => length));
  const names = width(found.guarantees.map(({ guarantee }) => guarantee));
  const promises = width(found.guarantees.map(({ promised }) => promised));
  for (const { guarantee, promised, outcome, evidence } of found.guarantees) {
    const what = outcome === "not-asked" ? `not asked (${evidence})` : evidence;
    lines.push(`  ${marks[outcome]} ${guarantee.padEnd(names)}  ${promised.padEnd(promises)}  ${what}`);
  }
  for (const note of found.notes) lines.push(`  · ${note}`);
  let contract: Contract | undefined;
  for (const result of found.results) {
    if (result.contract !== contract) lines.push("", result.contract);
    contract = result.contract;
    const more = result.outcome === "not-asked" ? `not asked (${result.reason})` : `${Math.round(result.ms)} ms`;
    lines.push(`  ${marks[result.outcome]} ${result.name}  ${more}`);
  }
  for (const result of found.results) {
    if (result.outcome === "failed")
      lines.push("", `✗ ${result.contract}: ${result.name}`, indent(describeError(result.error)));
  }
  return lines.join("\n");
}

function summary({ passed, failed, notAsked, ms }: Report): string {
  const verdict = failed === 0 ? "keeps the contract as far as it was asked" : "does not keep the contract";
  return `${verdict}: ${passed} ✓, ${failed} ✗, ${notAsked} not asked, in ${(ms / 1000).toFixed(1)} s`;
}

/** The message of an error, with its code if it has one. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? `${error.code}: ` : "";
  return `${code}${error.message}`;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}
