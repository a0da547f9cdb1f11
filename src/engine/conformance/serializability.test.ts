import assert from "node:assert/strict";
import { test } from "node:test";
import { type FinalState, findAnomaly, type Operation, type TransactionRecord } from "./serializability.ts";

const append = (list: string, value: string): Operation => ({ append: list, value });
const read = (list: string, ...saw: string[]): Operation => ({ list, saw });
const insert = (set: string, value: string): Operation => ({ insert: set, value });
const range = (set: string, ...saw: string[]): Operation => ({ range: set, saw });

/** All at the same time, so that real time orders nothing. */
function concurrent(transactions: Readonly<Record<string, readonly Operation[]>>): TransactionRecord[] {
  return Object.entries(transactions).map(([id, operations]) => ({ id, called: 0, returned: 1, operations }));
}

/** One after another. */
function inTurn(transactions: Readonly<Record<string, readonly Operation[]>>): TransactionRecord[] {
  return Object.entries(transactions).map(([id, operations], i) => ({
    id,
    called: 2 * i,
    returned: 2 * i + 1,
    operations,
  }));
}

const lists = (held: FinalState["lists"]): FinalState => ({ lists: held, sets: {} });
const sets = (held: FinalState["sets"]): FinalState => ({ lists: {}, sets: held });

test("a transaction that misses what it had appended itself is found out", () => {
  const blind = { A: [append("x", "1"), read("x")] };
  assert.match(
    findAnomaly(inTurn(blind), lists({ x: ["1"] })) ?? "",
    /A saw \[\] in x, which does not end with its own \[1\]/,
  );
  const partly = { A: [append("x", "1"), append("x", "2"), read("x", "1")] };
  assert.match(findAnomaly(inTurn(partly), lists({ x: ["1", "2"] })) ?? "", /does not end with its own \[1,2\]/);
});

test("histories that a serial run could have made are accepted", () => {
  assert.equal(findAnomaly([], lists({})), undefined);
  const serial = {
    A: [read("x"), append("x", "1")],
    B: [read("x", "1"), append("x", "2"), read("x", "1", "2"), append("y", "3")],
    C: [read("y", "3"), read("x", "1", "2")],
  };
  const final = lists({ x: ["1", "2"], y: ["3"] });
  assert.equal(findAnomaly(inTurn(serial), final), undefined);
  assert.equal(findAnomaly(concurrent(serial), final), undefined);
  const disjoint = { A: [range("s", "b"), insert("s", "a")], B: [insert("s", "b")], C: [range("s", "a", "b")] };
  assert.equal(findAnomaly(concurrent(disjoint), sets({ s: ["a", "b"] })), undefined);
});

test("a transaction that sees its own writes is not taken for one that sees itself commit", () => {
  const own = {
    A: [append("x", "1"), read("x", "1"), append("x", "2"), read("x", "1", "2"), insert("s", "a"), range("s", "a")],
  };
  assert.equal(findAnomaly(concurrent(own), { lists: { x: ["1", "2"] }, sets: { s: ["a"] } }), undefined);
});

const anomalies: readonly [what: string, transactions: TransactionRecord[], final: FinalState, said: RegExp][] = [
  [
    "a lost update",
    concurrent({ A: [read("x"), append("x", "1")], B: [read("x"), append("x", "2")] }),
    lists({ x: ["2"] }),
    /1 was written .* 0 times/,
  ],
  [
    "two updates from the same state",
    concurrent({ A: [read("x"), append("x", "1")], B: [read("x"), append("x", "2")] }),
    lists({ x: ["1", "2"] }),
    /did not see 1 in x/,
  ],
  [
    "write skew",
    concurrent({ A: [read("x"), append("y", "1")], B: [read("y"), append("x", "2")] }),
    lists({ x: ["2"], y: ["1"] }),
    /did not see/,
  ],
  [
    "write skew through ranges",
    concurrent({ A: [range("s"), insert("t", "1")], B: [range("t"), insert("s", "2")] }),
    sets({ s: ["2"], t: ["1"] }),
    /did not see/,
  ],
  [
    "a phantom",
    concurrent({ A: [insert("s", "1"), append("x", "2")], B: [range("s"), read("x", "2")] }),
    { lists: { x: ["2"] }, sets: { s: ["1"] } },
    /did not see 1 in s/,
  ],
  [
    "a fractured read",
    concurrent({ A: [append("x", "1"), append("y", "2")], B: [read("x", "1"), read("y")] }),
    lists({ x: ["1"], y: ["2"] }),
    /did not see 2 in y/,
  ],
  ["a read of what was never committed", concurrent({ A: [read("x", "ghost")] }), lists({ x: [] }), /no beginning/],
  [
    "a value of a transaction that failed",
    concurrent({ A: [append("x", "1")] }),
    lists({ x: ["1", "ghost"] }),
    /ghost .* written by no transaction/,
  ],
  ["a write that was done twice", concurrent({ A: [append("x", "1")] }), lists({ x: ["1", "1"] }), /2 times/],
  [
    "reads in different orders",
    concurrent({ A: [append("x", "1")], B: [append("x", "2")], C: [read("x", "2", "1")] }),
    lists({ x: ["1", "2"] }),
    /no beginning/,
  ],
  [
    "circular writes",
    concurrent({ A: [append("x", "1"), append("y", "2")], B: [append("x", "3"), append("y", "4")] }),
    lists({ x: ["1", "3"], y: ["4", "2"] }),
    /appended to/,
  ],
  [
    "a stale read, known by real time alone",
    inTurn({ A: [append("x", "1")], B: [read("x")] }),
    lists({ x: ["1"] }),
    /had returned before the call of/,
  ],
  [
    "a late write, known by real time alone",
    inTurn({ A: [append("x", "1")], B: [append("x", "2")] }),
    lists({ x: ["2", "1"] }),
    /had returned before the call of/,
  ],
  [
    "a stale range, known by real time alone",
    inTurn({ A: [insert("s", "1")], B: [range("s")] }),
    sets({ s: ["1"] }),
    /had returned before the call of/,
  ],
  [
    "a long way round",
    concurrent({
      A: [read("x"), append("y", "1")],
      B: [read("y"), append("z", "2")],
      C: [read("z"), append("x", "3")],
    }),
    lists({ x: ["3"], y: ["1"], z: ["2"] }),
    /A .* C .* B/,
  ],
];

for (const [what, transactions, final, said] of anomalies) {
  test(`${what} is found`, () => assert.match(findAnomaly(transactions, final) ?? "nothing", said));
}
