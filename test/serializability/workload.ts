import { setImmediate as turn } from "node:timers/promises";
import type { Engine, Transaction } from "../../src/engine/index.ts";
import { isAshlarError } from "../../src/index.ts";
import { type Seeded, seeded } from "../seeded.ts";
import type { Step, Transacted } from "./history.ts";

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
 * each value, where to append is to insert into what others have read.
 */
export async function runClient(engine: Engine, task: ClientTask, access: Access = correct): Promise<Transacted[]> {
  const random = seeded(task.seed);
  const history: Transacted[] = [];
  let oldest = 0;
  for (let i = 0; i < task.transactions; i++) {
    const plan = planOf(random, oldest, task.client * 1_000_000 + i * 10);
    const transacted = await runOne(engine, `${task.client}.${i}`, plan, access);
    history.push(transacted);
    const full = transacted.steps.some((step) => step.kind === "read" && step.values.length >= longest);
    if (full) oldest++;
  }
  return history;
}

/** Reads every list at the end: shows the order of all its values. */
export async function readAll(engine: Engine, history: readonly Transacted[]): Promise<Transacted[]> {
  const keys = new Set(history.flatMap(({ steps }) => steps.map(({ key }) => key)));
  return await Promise.all(
    Array.from(keys, (key) => runOne(engine, `last.${key}`, [{ kind: "read", key, value: 0 }], correct)),
  );
}

interface Plan {
  readonly kind: Step["kind"];
  readonly key: string;
  readonly value: number;
}

function planOf(random: Seeded, oldest: number, firstValue: number): Plan[] {
  return Array.from({ length: random.integer(1, 4) }, (_, i) => {
    const list = oldest + random.integer(0, openLists - 1);
    return {
      kind: random.pick(["append", "read"]),
      key: `${list % 2 ? "range" : "array"}${list}`,
      value: firstValue + i,
    };
  });
}

async function runOne(engine: Engine, id: string, plan: readonly Plan[], access: Access): Promise<Transacted> {
  const began = now();
  let steps: Step[] = [];
  let outcome: Transacted["outcome"] = "committed";
  try {
    await engine.transact(async (tx) => {
      steps = [];
      const own = access(engine, tx);
      for (const { kind, key, value } of plan) {
        const values = await read(own, key);
        if (kind === "append") append(own, key, values, value);
        steps.push(kind === "read" ? { kind, key, values } : { kind, key, value });
        // Lets others commit between the steps, also on an engine that answers at once.
        await turn();
      }
    });
  } catch (error) {
    if (!isAshlarError(error) || (error.code !== "CONFLICT" && error.code !== "TIMEOUT")) throw error;
    outcome = error.definite ? "aborted" : "unknown";
  }
  return { id, began, ended: now(), outcome, steps };
}

async function read(tx: ReturnType<Access>, key: string): Promise<number[]> {
  if (key.startsWith("array")) return (await tx.get<number[]>([key])) ?? [];
  const values: number[] = [];
  for await (const { value } of tx.list<number>({ prefix: [key] })) values.push(value);
  return values;
}

function append(tx: ReturnType<Access>, key: string, values: readonly number[], value: number): void {
  if (key.startsWith("array")) tx.set([key], [...values, value]);
  else tx.set([key, values.length], value);
}

/** Milliseconds of a clock that all processes of the machine share. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
