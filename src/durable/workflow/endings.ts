import { isAshlarError, validate } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";
import type { Workflow } from "./contract.ts";
import { CancelledError, Continuation, type StoredError, StuckError, toStored } from "./errors.ts";
import { type ChildEnd, childName, generationOf, keys, type Message, type RunRecord } from "./layout.ts";

/** How the function of a workflow has ended. */
export type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** What the record of a run says after its end; `"stuck"` and `"open"`, which goes on anew, are none. */
export type Ending =
  | { readonly status: "open"; readonly input: unknown }
  | { readonly status: "completed"; readonly result?: unknown }
  | { readonly status: "failed" | "cancelled"; readonly error: ReturnType<typeof toStored> }
  | { readonly status: "stuck"; readonly error: ReturnType<typeof toStored> };

export async function endingOf(outcome: Outcome, workflow: Workflow, isCancelled: boolean): Promise<Ending> {
  const { output } = workflow;
  if ("error" in outcome) {
    const { error } = outcome;
    if (error instanceof Continuation) return await renewalOf(error, workflow);
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

async function renewalOf({ input }: Continuation, workflow: Workflow): Promise<Ending> {
  try {
    return { status: "open", input: workflow.input ? await validate(workflow.input, input, "input") : input };
  } catch (error) {
    return { status: isAshlarError(error, "INVALID_ARGUMENT") ? "failed" : "stuck", error: toStored(error) };
  }
}

/** Where a run is, and how long it is remembered. */
export interface Place {
  readonly shard: number;
  readonly shardOf: (id: string) => number;
  readonly retention: number;
}

/**
 * @param parent whether there is one to be told
 * @returns the record from now on
 * @throws InvalidArgumentError LimitError the result cannot be stored
 */
export function writeEnding(
  tx: Transaction,
  id: string,
  record: RunRecord,
  { shard, shardOf, retention }: Place,
  { ending, ended, parent }: { readonly ending: Ending; readonly ended: number; readonly parent: boolean },
): RunRecord {
  if (ending.status === "open") return writeRenewal(tx, id, record, shard, ending.input, ended);
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
  if (parent) tellParent(tx, shardOf, id, after);
  return after;
}

function writeRenewal(
  tx: Transaction,
  id: string,
  { input: _, ...record }: RunRecord,
  shard: number,
  input: unknown,
  renewed: number,
): RunRecord {
  const before = generationOf(record);
  const after: RunRecord = { ...record, ...(input !== undefined && { input }), generation: before + 1, renewed };
  tx.set(keys.run(id), after);
  tx.set(keys.active(shard, id), true);
  tx.set(keys.old(shard, id, before), true);
  return after;
}

/** Ends a run from outside. Its owner finds that it has ended, and puts it among those to be forgotten. */
export async function writeTermination(
  tx: Transaction,
  shardOf: (id: string) => number,
  id: string,
  record: RunRecord,
  reason: string,
  ended: number,
): Promise<void> {
  const error: StoredError = { name: "Terminated", message: reason.slice(0, 1000) };
  const after: RunRecord = { ...record, status: "terminated", error, ended };
  tx.set(keys.run(id), after);
  tx.delete(keys.stuck(shardOf(id), id));
  tx.set(keys.active(shardOf(id), id), true);
  const { parent } = record;
  if (parent && (await tx.get(keys.run(parent.id))) !== undefined) tellParent(tx, shardOf, id, after);
}

function tellParent(tx: Transaction, shardOf: (id: string) => number, child: string, record: RunRecord): void {
  const { parent, status, result, error } = record;
  if (!parent) return;
  const { id, generation, seq } = parent;
  const told =
    status === "completed"
      ? { ...(result !== undefined && { value: result }) }
      : { error: error ?? { name: "Error", message: status } };
  const payload: ChildEnd = { generation, seq, child, ...told };
  tx.set(keys.message(id, `child ${child}`), { name: childName, payload } satisfies Message);
  tx.set(keys.active(shardOf(id), id), true);
}
