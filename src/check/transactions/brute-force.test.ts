import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Operation } from "../history.ts";
import { Dice } from "../linearizability/testing/dice.ts";
import type { IsolationLevel } from "./levels.ts";
import type { WorkloadKind } from "./micro-operations.ts";
import { isSerializableByForce, isSnapshotIsolatedByForce } from "./testing/brute-force.ts";
import { execute, executors } from "./testing/execute.ts";
import { transactions } from "./transactions.ts";

const histories = Number(process.env["ASHLAR_HISTORIES"] ?? 2_000);

type Judge = (history: readonly Operation[]) => boolean;
const judges: Partial<Record<IsolationLevel, Judge>> = {
  serializable: (history) => isSerializableByForce(history, "none"),
  "strong-session-serializable": (history) => isSerializableByForce(history, "client"),
  "strict-serializable": (history) => isSerializableByForce(history, "time"),
  "snapshot-isolation": (history) => isSnapshotIsolatedByForce(history, "none"),
  "strong-session-snapshot-isolation": (history) => isSnapshotIsolatedByForce(history, "client"),
  "strong-snapshot-isolation": (history) => isSnapshotIsolatedByForce(history, "time"),
};

function generate(seed: number, kind: WorkloadKind, isSmall: boolean): Operation[] {
  const dice = new Dice(seed);
  return execute(dice, {
    kind,
    executor: dice.pick(executors.slice(dice.below(3))),
    clients: 2 + dice.below(4),
    transactions: 3 + dice.below(isSmall ? 2 : 4),
    keys: 1 + dice.below(3),
    micro: 2 + dice.below(4),
    unknown: dice.pick([0, 0, 0.2]),
    failed: dice.pick([0, 0.15]),
    readsAll: kind === "list-append" || dice.chance(0.5),
  });
}

/**
 * Whether the last transaction saw all that was appended for sure. What nobody saw has no order, which matters to
 * snapshots alone.
 */
function seesAll(history: readonly Operation[]): boolean {
  const seen = new Set(micro(history.at(-1)).flatMap(([, , values]) => (Array.isArray(values) ? values : [])));
  const committed = history.filter(({ outcome }) => outcome === "ok").flatMap(micro);
  return committed.every(([what, , value]) => what !== "append" || seen.has(value));
}

function micro(operation: Operation | undefined): [what: string, key: number, value: unknown][] {
  return (operation?.output ?? []) as [string, number, unknown][];
}

describe("transactions against brute force", () => {
  for (const [level, judge] of Object.entries(judges) as [IsolationLevel, Judge][]) {
    it(`decides ${level} exactly for lists that are read in the end`, (t) => {
      const checker = transactions({ kind: "list-append", level });
      const counts = { ok: 0, violated: 0 };
      for (let seed = 0; seed < histories; seed++) {
        const history = generate(seed, "list-append", level.includes("snapshot"));
        const expected = judge(history) ? "ok" : "violated";
        const result = checker.check(history);
        if (level.includes("snapshot") && !seesAll(history)) {
          assert.ok(expected === "violated" || result.verdict === "ok", `seed ${seed}`);
          continue;
        }
        assert.equal(result.verdict, expected, `seed ${seed}: ${JSON.stringify({ history, result }, null, 1)}`);
        counts[expected]++;
      }
      t.diagnostic(JSON.stringify(counts));
      assert.ok(counts.ok > histories / 10 && counts.violated > histories / 12, JSON.stringify(counts));
    });

    it(`never takes registers that keep ${level} for wrong`, (t) => {
      const checker = transactions({ kind: "rw-register", level });
      const counts = { ok: 0, violated: 0, missed: 0 };
      for (let seed = 0; seed < histories; seed++) {
        const history = generate(seed, "rw-register", level.includes("snapshot"));
        const isLegal = judge(history);
        const result = checker.check(history);
        if (isLegal)
          assert.equal(result.verdict, "ok", `seed ${seed}: ${JSON.stringify({ history, result }, null, 1)}`);
        if (isLegal) counts.ok++;
        else if (result.verdict === "violated") counts.violated++;
        else counts.missed++;
      }
      t.diagnostic(JSON.stringify(counts));
      assert.ok(counts.ok > histories / 10 && counts.violated > histories / 10, JSON.stringify(counts));
    });
  }
});
