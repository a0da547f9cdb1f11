import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Operation } from "../history.ts";
import { Dice } from "../linearizability/testing/dice.ts";
import type { WorkloadKind } from "./micro-operations.ts";
import { type Executor, execute } from "./testing/execute.ts";
import { transactions } from "./transactions.ts";

/** The names of the anomalies in many histories of an executor, and in how many of them. */
function anomaliesOf(executor: Executor, kind: WorkloadKind): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let seed = 0; seed < 300; seed++) {
    const sizes = { clients: 4, transactions: 40, keys: 3, micro: 4, unknown: 0.05, failed: 0.05, readsAll: true };
    const history = execute(new Dice(seed), { kind, executor, ...sizes });
    const names = new Set(
      transactions({ kind })
        .check(history)
        .anomalies.map(({ name }) => name),
    );
    for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

const size = 20_000;

/** Many clients, a new set of keys every few hundred transactions. */
function large(transactions: number): Operation[] {
  const chances = { unknown: 0.01, failed: 0.02, readsAll: false };
  const sizes = { clients: 50, transactions, keys: 10, micro: 7, rotation: 300 };
  return execute(new Dice(1), { kind: "list-append", executor: "strict", ...sizes, ...chances });
}

type Micro = [what: string, key: number, value: unknown];

describe("transactions of executors", () => {
  it("has nothing against transactions that ran at one instant each", () => {
    assert.deepEqual(anomaliesOf("strict", "list-append"), {});
    assert.deepEqual(anomaliesOf("strict", "rw-register"), {});
  });

  for (const kind of ["list-append", "rw-register"] as const) {
    it(`finds write skew under snapshot isolation and nothing else, kind ${kind}`, (t) => {
      const counts = anomaliesOf("snapshot", kind);
      t.diagnostic(JSON.stringify(counts));
      const allowed = ["G2-item", "G2-item-process", "G2-item-realtime"];
      assert.deepEqual(
        Object.keys(counts).filter((name) => !allowed.includes(name)),
        [],
      );
      assert.ok((counts["G2-item"] ?? 0) > 30);
    });
  }

  it("finds lost updates and skewed reads under read committed, but no dirty ones", (t) => {
    const counts = anomaliesOf("read-committed", "rw-register");
    t.diagnostic(JSON.stringify(counts));
    for (const name of ["lost-update", "G-single", "non-repeatable-read"]) assert.ok((counts[name] ?? 0) > 30, name);
    for (const name of ["G0", "G1a", "G1b", "G1c", "internal", "garbage-read"]) assert.equal(counts[name], undefined);
  });

  it(`finds stale reads by real time`, (t) => {
    const counts = anomaliesOf("stale", "list-append");
    t.diagnostic(JSON.stringify(counts));
    assert.ok((counts["G-single-realtime"] ?? 0) > 30);
    assert.equal(counts["G-single"], undefined);
  });

  it(`finds one stale read among ${size} transactions`, (t) => {
    const history = large(size);
    const started = process.hrtime.bigint();
    assert.equal(transactions({ kind: "list-append" }).check(history).verdict, "ok");
    t.diagnostic(`${(process.hrtime.bigint() - started) / 1_000_000n} ms`);

    const stale = history.find(({ id, outcome, output }) => {
      const [first, ...others] = outcome === "ok" ? (output as Micro[]) : [];
      return id > size / 2 && first?.[0] === "r" && others.length === 0 && (first[2] as unknown[]).length > 40;
    });
    assert.ok(stale);
    const output = (stale.output as Micro[]).map(([what, key]) => [what, key, []]);
    const result = transactions({ kind: "list-append" }).check(history.with(stale.id, { ...stale, output }));
    assert.equal(result.verdict, "violated");
    assert.ok(result.operations.some(({ id }) => id === stale.id));
    const lengths = result.anomalies.map(({ name, steps }) => `${name} of ${steps.length}`);
    t.diagnostic(lengths.join(", "));
    assert.ok(lengths.includes("G-single-realtime of 2"));
  });
});
