import assert from "node:assert/strict";
import { test } from "node:test";
import { anomaliesOf } from "./check.ts";
import type { Step, Transacted } from "./history.ts";

/** `"a: x+1 y=[2 3]"`, each transaction after the one before unless `at` says otherwise. */
function transactions(
  ...lines: readonly (string | { line: string; at?: [number, number]; outcome?: Transacted["outcome"] })[]
): Transacted[] {
  return lines.map((given, i) => {
    const { line, at = [0, 100], outcome = "committed" } = typeof given === "string" ? { line: given } : given;
    const [id = "", text = ""] = line.split(": ");
    const steps = Array.from(text.matchAll(/(\w+)(?:\+(\d+)|=\[([\d ]*)\])/g), ([, key = "", value, values]): Step => {
      if (value !== undefined) return { kind: "append", key, value: Number(value) };
      return { kind: "read", key, values: (values ?? "").split(" ").filter(Boolean).map(Number) };
    });
    return { id: id || String(i), began: at[0], ended: at[1], outcome, steps };
  });
}

const sound: readonly [string, Transacted[]][] = [
  ["nothing", []],
  ["one after the other", transactions("a: x+1", "b: x=[1] x+2", "c: x=[1 2]")],
  ["a read of the past, while the append is under way", transactions("a: x+1", "b: x=[]", "c: x=[1]")],
  ["reads of one's own appends", transactions("a: x+1 x=[1] x+2 x=[1 2]", "b: x=[1 2]")],
  ["an unknown outcome that took effect", transactions({ line: "a: x+1", outcome: "unknown" }, "b: x=[1]")],
  ["an unknown outcome that did not", transactions({ line: "a: x+1", outcome: "unknown" }, "b: x=[]")],
  ["an abort that nobody sees", transactions({ line: "a: x+1", outcome: "aborted" }, "b: x=[]")],
];

for (const [what, history] of sound) {
  test(`serialisable: ${what}`, () => assert.deepEqual(anomaliesOf(history), []));
}

const broken: readonly [string, RegExp, Transacted[]][] = [
  ["write skew (G2)", /cycle: .*-rw .*-rw /, transactions("a: x=[] y+1", "b: y=[] x+1", "c: x=[1] y=[1]")],
  ["a lost update", /neither begins the other|lost/, transactions("a: x=[] x+1", "b: x=[] x+2", "c: x=[2]")],
  ["a fractured read", /cycle/, transactions("a: x+1 y+1", "b: x=[1] y=[]", "c: x=[1] y=[1]")],
  ["circular information flow (G1c)", /cycle: .*-wr .*-wr /, transactions("a: x+1 y=[1]", "b: y+1 x=[1]")],
  [
    "writes in two orders (G0)",
    /cycle: .*-ww .*-ww /,
    transactions("a: x+1 y+2", "b: x+3 y+4", "c: x=[1 3]", "d: y=[4 2]"),
  ],
  ["a long fork", /cycle/, transactions("a: x+1", "b: y+1", "c: x=[1] y=[]", "d: x=[] y=[1]", "e: x=[1] y=[1]")],
  ["an aborted read (G1a)", /G1a/, transactions({ line: "a: x+1", outcome: "aborted" }, "b: x=[1]")],
  ["an intermediate read (G1b)", /G1b/, transactions("a: x+1 x+2", "b: x=[1]", "c: x=[1 2]")],
  ["a value twice", /twice/, transactions("a: x+1", "b: x=[1 1]")],
  ["a value from nowhere", /nobody/, transactions("a: x=[7]")],
  ["an acknowledged append that is gone", /lost/, transactions("a: x+1", "b: x=[]")],
  ["not seeing its own append", /itself appended/, transactions("a: x+1 x=[]", "b: x=[1]")],
  ["two pasts", /neither begins the other/, transactions("a: x+1", "b: x+2", "c: x=[1 2]", "d: x=[2]")],
  [
    "a stale read",
    /cycle: .*-rt/,
    transactions(
      { line: "a: x+1", at: [0, 10] },
      { line: "b: x=[]", at: [20, 30] },
      { line: "c: x=[1]", at: [40, 50] },
    ),
  ],
];

for (const [what, wanted, history] of broken) {
  test(`not serialisable: ${what}`, () => assert.match(anomaliesOf(history).join("\n"), wanted));
}

test("the workload must not give a value out twice", () => {
  assert.throws(() => anomaliesOf(transactions("a: x+1", "b: x+1")), /two transactions/);
});
