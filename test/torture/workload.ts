import { setTimeout as pause } from "node:timers/promises";
import type { Engine } from "../../src/engine/index.ts";
import { isAshlarError } from "../../src/index.ts";
import type { Seeded } from "../seeded.ts";
import type { Journal } from "./journal.ts";

/*
 * What the writers write, so that anything lost, halved, doubled or reordered leaves a trace:
 *
 *   ["batch", writer, lane, 0…3] → seq          one commit sets the four and ["shared", 0…2]: equal, or a commit was halved
 *   ["shared", 0…2] → [writer, lane, seq, text] the same by all writers; the text is long, so that files grow
 *   topic "records": { writer, lane, seq, part }  1 to 3 records of one append, with the key below in the same commit
 *   ["appended", writer, lane] → seq
 *   ["account", 0…9] → balance                  the sum never changes
 *   ["transfer", writer, lane, seq] → Transfer  one transaction with two accounts, the count and the topic below
 *   ["transfers"] → their number
 *   topic "transferred": { writer, lane, seq }
 *   ["count", writer, lane], ["total"] → sums   two adds of 1 in one commit
 */
export const accounts = 10;
export const initialBalance = 100;
export const batchKeys = 4;
export const sharedKeys = 3;

export interface RecordValue {
  readonly writer: string;
  readonly lane: string;
  readonly seq: number;
  readonly part: number;
}

export interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly amount: number;
}

/** What a shared key holds besides: up to 8 KiB. */
export function textOf(seq: number): string {
  return String(seq % 10).repeat((seq * 797) % 8192);
}

/** Records of one append. */
export function partsOf(seq: number): number {
  return 1 + (seq % 3);
}

/** The loops of one writer, each of which has one write in flight: two of each kind, so that flushes gather several. */
export const lanes = ["batch.0", "batch.1", "append.0", "append.1", "transfer.0", "transfer.1", "count.0", "count.1"];

export interface WriterContext {
  readonly engine: Engine;
  /** Unique among all writers of a store, past ones included. */
  readonly writer: string;
  readonly journal: Journal;
  readonly random: Seeded;
  stopped(): boolean;
}

/** The accounts, once before the first writer. */
export async function prepare(engine: Engine): Promise<void> {
  const mutations = Array.from({ length: accounts }, (_, i) => ({ set: ["account", i], value: initialBalance }));
  await engine.kv.commit({ mutations });
}

/** Writes one thing after another until stopped; what became of each stands in the journal before the next begins. */
export async function runLane(context: WriterContext, lane: string): Promise<void> {
  const { journal } = context;
  const write = writes[lane.split(".")[0] as keyof typeof writes];
  for (let seq = 1; !context.stopped(); seq++) {
    journal.begun(lane, seq);
    try {
      journal.acknowledged(lane, seq, await write(context, lane, seq));
    } catch (error) {
      const expected = isAshlarError(error) && (error.retryable || error.code === "OUTCOME_UNKNOWN");
      if (!expected) journal.failed(`${lane} ${seq}: ${error instanceof Error ? error.stack : error}`);
      if (expected && error.definite) journal.refused(lane, seq, error.code);
      else journal.unknown(lane, seq, isAshlarError(error) ? error.code : "");
      // The server may be down: what comes back at once must not fill the journal.
      await pause(20);
    }
  }
}

const writes = { batch, append, transfer, count };

async function batch({ engine, writer }: WriterContext, lane: string, seq: number): Promise<number> {
  const own = Array.from({ length: batchKeys }, (_, i) => ({ set: ["batch", writer, lane, i], value: seq }));
  const value = [writer, lane, seq, textOf(seq)];
  const shared = Array.from({ length: sharedKeys }, (_, i) => ({ set: ["shared", i], value }));
  await engine.kv.commit({ mutations: [...own, ...shared] });
  return 0;
}

async function append({ engine, writer }: WriterContext, lane: string, seq: number): Promise<number> {
  const records = Array.from({ length: partsOf(seq) }, (_, part): RecordValue => ({ writer, lane, seq, part }));
  const mutations = [
    { append: "records", records },
    { set: ["appended", writer, lane], value: seq },
  ];
  const { offsets } = await engine.kv.commit({ mutations });
  return offsets[0] as number;
}

async function transfer({ engine, writer, random }: WriterContext, lane: string, seq: number): Promise<number> {
  const from = random.integer(0, accounts - 1);
  const to = (from + random.integer(1, accounts - 1)) % accounts;
  const amount = random.integer(1, 20);
  await engine.transact(async (tx) => {
    const [source, target] = await tx.getMany<number>([
      ["account", from],
      ["account", to],
    ]);
    tx.set(["account", from], (source as number) - amount);
    tx.set(["account", to], (target as number) + amount);
    tx.set(["transfer", writer, lane, seq], { from, to, amount } satisfies Transfer);
    tx.add(["transfers"], 1);
    tx.append("transferred", [{ writer, lane, seq }]);
  });
  return 0;
}

async function count({ engine, writer }: WriterContext, lane: string, seq: number): Promise<number> {
  const mutations = [
    { add: ["count", writer, lane], delta: 1 },
    { add: ["total"], delta: 1 },
  ];
  const { adds } = await engine.kv.commit({ mutations });
  const sum = adds[0]?.value as number;
  if (sum > seq) throw new Error(`the ${seq}th add of 1 returned ${sum}`);
  return sum;
}
