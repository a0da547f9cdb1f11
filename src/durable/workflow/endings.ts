import { isAshlarError, validate } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";
import type { Workflow } from "./contract.ts";
import { CancelledError, StuckError, toStored } from "./errors.ts";
import { keys, type RunRecord } from "./layout.ts";

/** How the function of a workflow has ended. */
export type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** What the record of a run says after its end; `"stuck"` is none. */
export type Ending =
  | { readonly status: "completed"; readonly result?: unknown }
  | { readonly status: "failed" | "cancelled"; readonly error: ReturnType<typeof toStored> }
  | { readonly status: "stuck"; readonly error: ReturnType<typeof toStored> };

export async function endingOf(outcome: Outcome, { output }: Workflow, isCancelled: boolean): Promise<Ending> {
  if ("error" in outcome) {
    const { error } = outcome;
    if (error instanceof StuckError) return { status: "stuck", error: toStored(error) };
    return { status: isCancelled && error instanceof CancelledError ? "cancelled" : "failed", error: toStored(error) };
  }
  try {
    const result = output ? await validate(output, outcome.value, "the result") : outcome.value;
    return { status: "completed", ...(result !== undefined && { result }) };
  } catch (error) {
    // A schema that throws is the mistake of a program, which its next version may have mended.
    return { status: isAshlarError(error, "INVALID_ARGUMENT") ? "failed" : "stuck", error: toStored(error) };
  }
}

/**
 * @returns the record from now on
 * @throws InvalidArgumentError LimitError the result cannot be stored
 */
export function writeEnding(
  tx: Transaction,
  id: string,
  {
    record,
    shard,
    ended,
    retention,
  }: {
    readonly record: RunRecord;
    readonly shard: number;
    readonly ended: number;
    readonly retention: number;
  },
  ending: Ending,
): RunRecord {
  tx.delete(keys.active(shard, id));
  if (ending.status === "stuck") {
    const stuck: RunRecord = { ...record, ...ending };
    tx.set(keys.run(id), stuck);
    tx.set(keys.stuck(shard, id), true);
    return stuck;
  }
  const after: RunRecord = { ...record, ...ending, ended };
  tx.set(keys.run(id), after);
  tx.set(keys.ended(shard, ended + retention, id), true);
  return after;
}
