import { setImmediate as turn } from "node:timers/promises";
import type { FinalState, Operation, TransactionRecord } from "../../src/engine/conformance/index.ts";
import type { Engine, Transaction } from "../../src/engine/index.ts";
import { isAshlarError } from "../../src/index.ts";
import { type Seeded, seeded } from "../seeded.ts";

/** How a transaction reads and writes: as it should, or in a broken way that shows whether the check would notice. */
export type Access = (engine: Engine, tx: Transaction) => Pick<Transaction, "get" | "list" | "set">;

export const correct: Access = (_, tx) => tx;

export interface ClientTask {
  /** Unique among the clients of a history; from 1. */
  readonly client: number;
  readonly transactions: number;
  readonly seed: number;
}

/** Lists in use at the same time, and how long one gets before its clients turn to others: it must stay readable in one transaction. */
const openLists = 3;
const longest = 15;

/**
 * Random list-append transactions, one after another. Every other list is one key that holds an array; the rest are ranges with a key for
 * each value, where to append is to insert into what others have read. Resolves with those that committed.
 */
export async function runClient(
  engine: Engine,
  task: ClientTask,
  access: Access = correct,
): Promise<TransactionRecord[]> {
  const random = seeded(task.seed);
  const history: TransactionRecord[] = [];
  let oldest = 0;
  for (let i = 0; i < task.transactions; i++) {
    const id = `${task.client}.${i}`;
    const record = await runOne(engine, id, planOf(random, oldest, id), access);
    if (!record) continue;
    history.push(record);
    if (record.operations.some((done) => "list" in done && done.saw.length >= longest)) oldest++;
  }
  return history;
}

/** What every list that the history names holds. */
export async function readAll(engine: Engine, history: readonly TransactionRecord[]): Promise<FinalState> {
  const lists: Record<string, readonly string[]> = {};
  for (const list of new Set(history.flatMap(({ operations }) => operations.map(listOf)))) {
    lists[list] = await engine.transact((tx) => read(tx, list));
  }
  return { lists, sets: {} };
}

type Plan = { readonly append: string; readonly value: string } | { readonly list: string };

function planOf(random: Seeded, oldest: number, id: string): Plan[] {
  return Array.from({ length: random.integer(1, 4) }, (_, i) => {
    const number = oldest + random.integer(0, openLists - 1);
    const list = `${number % 2 ? "range" : "array"}${number}`;
    return random.pick([{ list }, { append: list, value: `${id}.${i}` }]);
  });
}

/** `undefined` if conflicts kept it from committing. */
async function runOne(
  engine: Engine,
  id: string,
  plan: readonly Plan[],
  access: Access,
): Promise<TransactionRecord | undefined> {
  const called = now();
  try {
    const operations = await engine.transact(async (tx) => {
      const done: Operation[] = [];
      const own = access(engine, tx);
      for (const step of plan) {
        const saw = await read(own, listOf(step));
        if ("append" in step) append(own, step.append, saw, step.value);
        done.push("append" in step ? step : { list: step.list, saw });
        // Lets others commit between the steps, also on an engine that answers at once.
        await turn();
      }
      return done;
    });
    return { id, called, returned: now(), operations };
  } catch (error) {
    if (isAshlarError(error) && error.definite && error.retryable) return undefined;
    throw error;
  }
}

function listOf(step: Plan | Operation): string {
  if ("append" in step) return step.append;
  return "list" in step ? step.list : "";
}

async function read(tx: ReturnType<Access>, key: string): Promise<string[]> {
  if (key.startsWith("array")) return (await tx.get<string[]>([key])) ?? [];
  const values: string[] = [];
  for await (const { value } of tx.list<string>({ prefix: [key] })) values.push(value);
  return values;
}

function append(tx: ReturnType<Access>, key: string, values: readonly string[], value: string): void {
  if (key.startsWith("array")) tx.set([key], [...values, value]);
  else tx.set([key, values.length], value);
}

/** Milliseconds of a clock that all processes of the machine share. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
