import assert from "node:assert/strict";
import {
  type Checker,
  createRecorder,
  type Recorder as HistoryRecorder,
  keyValue,
  type ListStep,
  linearizable,
  recordKv,
  recordLists,
  transactions,
} from "../../check/index.ts";
import { isAshlarError, type Key } from "../../core/index.ts";
import type { Batch, Engine, Transaction, Version } from "../contract.ts";
import { repeat } from "./during.ts";
import { listAll, numbers } from "./entries.ts";
import { type CaseContext, facts } from "./fact.ts";
import { type CommitRecord, findViolation, type Observation, type ReadRecord } from "./history.ts";
import { Oracle, type OracleEntry, type Verdict } from "./oracle.ts";
import { fewKeys, type Knowledge, randomBatch, randomRange } from "./random-batches.ts";
import { findAnomaly, type Operation, type TransactionRecord } from "./serializability.ts";

/** Commits the batch and tells the answer in the oracle's terms. */
async function answer(engine: Engine, batch: Batch): Promise<{ verdict: Verdict; version: Version | undefined }> {
  try {
    const outcome = await engine.kv.tryCommit(batch);
    if (!outcome.ok) return { verdict: { ok: false, refusal: outcome.refusal }, version: undefined };
    const adds = outcome.adds.map(({ value }) => value);
    return { verdict: { ok: true, adds, offsets: outcome.offsets }, version: outcome.version };
  } catch (error) {
    if (isAshlarError(error, "INVALID_STATE"))
      return { verdict: { ok: false, error: "INVALID_STATE" }, version: undefined };
    throw error;
  }
}

const bare = ({ key, value, version }: OracleEntry): OracleEntry => ({ key, value, version });

const differential = facts("concurrency", {
  "random batches of several clients have the outcomes that a plain model has": {
    guarantee: "commits",
    run: async ({ engine, other, chance, topic }) => {
      const oracle = new Oracle();
      const history: Version[] = [];
      const knowledge: Knowledge = {
        version: (key) => oracle.get(key)?.version,
        entries: (range) => oracle.list(range),
        old: () => (history.length > 0 ? chance.pick(history) : undefined),
      };
      for (const name of ["t", ["t", 1]]) topic(name);
      for (const round of numbers(150)) {
        const client = chance.hits(0.5) ? engine : other;
        const batch = randomBatch(chance, knowledge);
        const expected = oracle.judge(batch);
        const { verdict, version } = await answer(client, batch);
        assert.deepEqual(verdict, expected, `batch ${round}: ${JSON.stringify(batch)}`);
        if (version !== undefined && verdict.ok) {
          oracle.apply(batch, version);
          history.push(version);
        }
        await sameReads({ engine: chance.hits(0.5) ? engine : other, chance }, oracle);
      }
      assert.deepEqual((await listAll(engine, {})).map(bare), oracle.list({}));
      assert.ok(history.length > 20 && history.length < 150, "a good part is refused and a good part is not");
    },
  },
});

async function sameReads({ engine, chance }: Pick<CaseContext, "engine" | "chance">, oracle: Oracle): Promise<void> {
  const [range, key] = [randomRange(chance), chance.pick(fewKeys)];
  const options = { reverse: chance.hits(0.5), ...(chance.hits(0.5) && { limit: chance.below(5) }) };
  assert.deepEqual(
    (await listAll(engine, range, options)).map(bare),
    oracle.list(range, options),
    JSON.stringify([range, options]),
  );
  assert.deepEqual(await engine.kv.get(key), oracle.get(key));
}

/** Counts calls and returns, so that what happened before what can be told. */
class Recorder {
  readonly commits: CommitRecord[] = [];
  readonly reads: ReadRecord[] = [];
  #ticks = 0;

  tick(): number {
    return this.#ticks++;
  }

  async commit(engine: Engine, id: string, batch: Batch): Promise<void> {
    const called = this.tick();
    const { verdict, version } = await answer(engine, batch);
    this.commits.push({ id, batch, verdict, version, called, returned: this.tick() });
  }

  /** Reads everything in one snapshot. */
  async read(engine: Engine, byKeys: boolean): Promise<readonly OracleEntry[]> {
    const called = this.tick();
    const found = byKeys
      ? (await engine.kv.getMany(fewKeys)).filter((entry) => entry !== undefined)
      : await listAll(engine, {}, { limit: fewKeys.length + 1 });
    const entries = found.map(bare);
    this.reads.push({ entries, called, returned: this.tick() });
    return entries;
  }
}

/** A client's day: reads, and commits, several in flight at times, that check what it has read before. */
async function work(context: CaseContext, recorder: Recorder, engine: Engine, name: string): Promise<void> {
  const { chance } = context;
  let known: readonly OracleEntry[] = [];
  for (const round of numbers(15)) {
    if (chance.hits(0.5)) known = await recorder.read(engine, chance.hits(0.5));
    const knowledge = toKnowledge(known);
    const commits = numbers(chance.pick([1, 1, 2, 4])).map((i) => {
      const id = `${name}${round}.${i}`;
      const { checks = [], mutations = [] } = randomBatch(chance, knowledge);
      const written = mutations.filter((mutation) => !("append" in mutation));
      return recorder.commit(engine, id, { checks, mutations: [...written, { append: "history", records: [id] }] });
    });
    await Promise.all(commits);
  }
}

/** What is known from a read, as long as it may be ago. */
function toKnowledge(entries: readonly OracleEntry[]): Knowledge {
  const state = new Oracle();
  for (const { key, value, version } of entries) state.apply({ mutations: [{ set: key, value }] }, version);
  return {
    version: (key) => state.get(key)?.version,
    entries: (range) => state.list(range),
    old: () => entries[0]?.version,
  };
}

const histories = facts("concurrency", {
  "the history of concurrent clients is linearizable: commits, refusals, reads and watches": {
    guarantee: "commits",
    needs: ({ guarantees }) => (guarantees.reads === "linearizable" ? undefined : `reads are ${guarantees.reads}`),
    run: async (context) => {
      const { engine, other, topic, follow, soon } = context;
      topic("history");
      const recorder = new Recorder();
      const observations: OracleEntry[][][] = [[], []];
      const followers = [engine, other].map((client, i) =>
        follow(client, {}).onState(({ entries }) => void observations[i]?.push(entries.map(bare))),
      );
      await soon("the first arrays", Promise.all(followers.map((follower) => follower.begun())));
      await Promise.all(numbers(6).map((i) => work(context, recorder, i % 2 ? engine : other, "abcdef".charAt(i))));
      const final = (await listAll(engine, {})).map(bare);
      const versions = JSON.stringify(final.map(({ version }) => version));
      for (const follower of followers) {
        await soon(
          "the last state",
          follower.until(({ entries }) => JSON.stringify(entries.map(({ version }) => version)) === versions),
        );
      }
      const order = (await engine.log.read<string>("history")).map(({ value }) => value);
      const { commits, reads } = recorder;
      const violation = findViolation({ commits, reads, observations: observations satisfies Observation[], order });
      assert.equal(violation, undefined);
      assert.ok(order.length > 10 && order.length < commits.length, "a good part is refused and a good part is not");
    },
  },

  "the history of concurrent transactions is serialisable in real time: no dependency runs in a circle": {
    guarantee: "commits",
    run: async (context) => {
      const { engine, other, topic } = context;
      topic("order");
      const records: TransactionRecord[] = [];
      const recorder = new Recorder();
      const client = async (name: string, which: Engine): Promise<void> => {
        await repeat(10, async (round) => {
          const id = `${name}${round}`;
          const called = recorder.tick();
          const operations = await which.transact((tx) => randomTransaction(context, tx, id));
          records.push({ id, called, returned: recorder.tick(), operations });
        });
      };
      await Promise.all(numbers(6).map((i) => client("abcdef".charAt(i), i % 2 ? engine : other)));
      const lists: Record<string, string[]> = {};
      for (const list of listNames) lists[list] = (await engine.kv.get<string[]>(["list", list]))?.value ?? [];
      lists["order"] = (await engine.log.read<string>("order")).map(({ value }) => value);
      const sets: Record<string, string[]> = {};
      for (const set of setNames) sets[set] = await readSet(engine, set);
      assert.equal(findAnomaly(records, { lists, sets }), undefined);
    },
  },
});

/** What the operations of a client are, whichever engine it is. */
interface Working {
  readonly chance: CaseContext["chance"];
  readonly recorder: HistoryRecorder;
  readonly client: string;
}

/** Operations on a few keys, each recorded. */
async function workOnKeys(engine: Engine, { chance, recorder, client }: Working): Promise<void> {
  const store = recordKv(engine, { recorder, client });
  await repeat(20, async (round) => {
    const key = chance.pick([["k"], ["k", 1], ["l"]]);
    const value = `${client}${round}`;
    switch (chance.below(6)) {
      case 0:
        return await store.set(key, value);
      case 1:
        return await store.delete(key);
      case 2:
        return void (await store.cas(key, await store.get(key), value));
      case 3:
        return void (await store.add(["sum"], chance.below(10) - 3));
      default:
        return void (await store.get(key));
    }
  });
}

/** Transactions over lists that are kept in one key, or in a range of keys. */
async function workOnLists(engine: Engine, { chance, recorder, client }: Working): Promise<void> {
  const layout = (list: string) => (list.startsWith("range") ? "range" : "array");
  const transact = recordLists(engine, { recorder, client, layout });
  await repeat(12, async (round) => {
    const steps = numbers(chance.below(4) + 1).map((i): ListStep => {
      const list = chance.pick(["array 1", "array 2", "range 1", "range 2"]);
      return chance.hits(0.5) ? ["r", list, null] : ["append", list, `${client}${round}.${i}`];
    });
    await transact(steps);
  });
}

/** Several clients at once; what they were told is judged by the checker. */
function judged(
  checker: Checker,
  work: (engine: Engine, working: Working) => Promise<void>,
): (context: CaseContext) => Promise<void> {
  return async ({ engine, other, chance }) => {
    const recorder = createRecorder();
    await Promise.all(
      numbers(6).map((i) => work(i % 2 ? engine : other, { chance, recorder, client: "abcdef".charAt(i) })),
    );
    const { verdict, summary, explanation } = checker.check(recorder.history());
    assert.equal(verdict, "ok", [summary, ...explanation].join("\n"));
  };
}

const recorded = facts("concurrency", {
  "a recorded history of reads, writes, sums and compare-and-sets is linearizable": {
    guarantee: "commits",
    needs: ({ guarantees }) => (guarantees.reads === "linearizable" ? undefined : `reads are ${guarantees.reads}`),
    run: judged(linearizable(keyValue), workOnKeys),
  },

  "a recorded history of transactions over lists is strictly serialisable": {
    guarantee: "commits",
    run: judged(transactions({ kind: "list-append" }), workOnLists),
  },
});

const listNames = ["l", "m", "n"];
const setNames = ["s", "t"];

async function readSet(engine: Engine, set: string): Promise<string[]> {
  return (await listAll(engine, { prefix: ["set", set] })).map(({ key }) => key[2] as string);
}

/** A few reads and writes at random; what it saw and did. The log, appended to by all, shows the order too. */
async function randomTransaction({ chance }: CaseContext, tx: Transaction, id: string): Promise<Operation[]> {
  const operations: Operation[] = [];
  const readList = async (list: string): Promise<string[]> => {
    const saw = (await tx.get<string[]>(["list", list])) ?? [];
    operations.push({ list, saw });
    return saw;
  };
  const readRange = async (range: string): Promise<void> => {
    const keys: Key[] = [];
    for await (const { key } of tx.list({ prefix: ["set", range] }, { reverse: chance.hits(0.5) })) keys.push(key);
    operations.push({ range, saw: keys.map((key) => key[2] as string) });
  };
  const done = new Set<string>();
  for (const step of numbers(chance.below(4) + 1)) {
    const [list, set] = [chance.pick(listNames), chance.pick(setNames)];
    const value = `${id}.${step}`;
    switch (chance.below(4)) {
      case 0:
        await readList(list);
        break;
      case 1:
        tx.set(["list", list], [...(await readList(list)), value]);
        operations.push({ append: list, value });
        break;
      case 2:
        // Before anything of one's own is put into it, or not at all; and once, for each entry read counts towards the limit of a commit.
        if (!done.has(set)) await readRange(set);
        done.add(set);
        break;
      default:
        done.add(set);
        tx.set(["set", set, value], true);
        operations.push({ insert: set, value });
    }
  }
  tx.append("order", [id]);
  operations.push({ append: "order", value: id });
  return operations;
}

export const concurrencyFacts = [...differential, ...histories, ...recorded];
