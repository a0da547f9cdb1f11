import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InvalidArgumentError } from "../../core/index.ts";
import type { Operation } from "../history.ts";
import type { AnomalyName, IsolationLevel } from "./levels.ts";
import type { WorkloadKind } from "./micro-operations.ts";
import { concurrent, type Micro, sequential, t } from "./testing/transact.ts";
import { transactions } from "./transactions.ts";

interface Case {
  readonly what: string;
  readonly kind?: WorkloadKind;
  readonly history: Operation[];
  readonly anomalies: readonly AnomalyName[];
  readonly allowed: readonly IsolationLevel[];
  /** The same with something changed, so that nothing is wrong. */
  readonly clean: Operation[];
}

const r = (key: string, value: unknown): Micro => ["r", key, value];
const append = (key: string, value: number): Micro => ["append", key, value];
const w = (key: string, value: number): Micro => ["w", key, value];

const cases: readonly Case[] = [
  {
    what: "writes in opposite orders (dirty write)",
    history: concurrent(
      t(append("x", 1), append("y", 1)),
      t(append("x", 2), append("y", 2)),
      t(r("x", [1, 2]), r("y", [2, 1])),
    ),
    anomalies: ["G0"],
    allowed: [],
    clean: concurrent(
      t(append("x", 1), append("y", 1)),
      t(append("x", 2), append("y", 2)),
      t(r("x", [1, 2]), r("y", [1, 2])),
    ),
  },
  {
    what: "a read of a transaction that failed",
    history: concurrent({ ...t(append("x", 1)), outcome: "failed" }, t(r("x", [1]))),
    anomalies: ["G1a"],
    allowed: ["read-uncommitted"],
    clean: concurrent({ ...t(append("x", 1)), outcome: "unknown" }, t(r("x", [1]))),
  },
  {
    what: "a read of a register between two writes of a transaction",
    kind: "rw-register",
    history: concurrent(t(w("x", 1), w("x", 2)), t(r("x", 1))),
    anomalies: ["G1b"],
    allowed: ["read-uncommitted"],
    clean: concurrent(t(w("x", 1), w("x", 2)), t(r("x", 2))),
  },
  {
    what: "a read of a list between two appends of a transaction, which also misses one",
    history: concurrent(t(append("x", 1), append("x", 2)), t(r("x", [1]))),
    anomalies: ["G1b", "G-single"],
    allowed: ["read-uncommitted"],
    clean: concurrent(t(append("x", 1), append("x", 2)), t(r("x", [1, 2]))),
  },
  {
    what: "two that each saw the other (circular information flow)",
    history: concurrent(t(append("x", 1), r("y", [1])), t(append("y", 1), r("x", [1]))),
    anomalies: ["G1c"],
    allowed: ["read-uncommitted"],
    clean: concurrent(t(append("x", 1), r("y", [1])), t(append("y", 1), r("x", []))),
  },
  {
    what: "a transaction of which one half is seen (read skew)",
    history: concurrent(t(append("x", 1), append("y", 1)), t(r("x", null), r("y", [1]))),
    anomalies: ["G-single"],
    allowed: ["read-committed"],
    clean: concurrent(t(append("x", 1), append("y", 1)), t(r("x", null), r("y", null))),
  },
  {
    what: "two that read the same list and append to it",
    history: concurrent(t(r("x", []), append("x", 1)), t(r("x", []), append("x", 2)), t(r("x", [1, 2]))),
    anomalies: ["lost-update", "G-single"],
    allowed: ["read-committed"],
    clean: concurrent(t(r("x", []), append("x", 1)), t(r("x", [1]), append("x", 2)), t(r("x", [1, 2]))),
  },
  {
    what: "two that read the same version of a register and write it",
    kind: "rw-register",
    history: concurrent(t(w("x", 1)), t(r("x", 1), w("x", 2)), t(r("x", 1), w("x", 3))),
    anomalies: ["lost-update", "G2-item"],
    allowed: ["read-committed"],
    clean: concurrent(t(w("x", 1)), t(r("x", 1), w("x", 2)), t(r("x", 2), w("x", 3))),
  },
  {
    what: "readers that see two writes in opposite orders (long fork)",
    history: concurrent(t(append("x", 1)), t(append("y", 1)), t(r("x", [1]), r("y", [])), t(r("x", []), r("y", [1]))),
    anomalies: ["G-nonadjacent"],
    allowed: ["read-committed"],
    clean: concurrent(t(append("x", 1)), t(append("y", 1)), t(r("x", [1]), r("y", [])), t(r("x", [1]), r("y", [1]))),
  },
  {
    what: "two that each missed the other (write skew)",
    history: concurrent(t(r("x", []), append("y", 1)), t(r("y", []), append("x", 1)), t(r("x", [1]), r("y", [1]))),
    anomalies: ["G2-item"],
    allowed: ["strong-snapshot-isolation"],
    clean: concurrent(t(r("x", []), append("y", 1)), t(r("y", [1]), append("x", 1)), t(r("x", [1]), r("y", [1]))),
  },
  {
    what: "a transaction that misses its own append",
    history: concurrent(t(append("x", 1), r("x", []))),
    anomalies: ["internal"],
    allowed: [],
    clean: concurrent(t(append("x", 1), r("x", [1]))),
  },
  {
    what: "a transaction that sees what it appends later",
    history: concurrent(t(r("x", [1]), append("x", 1))),
    anomalies: ["internal"],
    allowed: [],
    clean: concurrent(t(r("x", []), append("x", 1))),
  },
  {
    what: "a transaction that misses its own write to a register",
    kind: "rw-register",
    history: concurrent(t(w("x", 2)), t(w("x", 1), r("x", 2))),
    anomalies: ["internal"],
    allowed: [],
    clean: concurrent(t(w("x", 2)), t(w("x", 1), r("x", 1))),
  },
  {
    what: "two reads of a register that differ",
    kind: "rw-register",
    history: concurrent(t(w("x", 1)), t(w("x", 2)), t(r("x", 1), r("x", 2))),
    anomalies: ["non-repeatable-read"],
    allowed: ["read-committed"],
    clean: concurrent(t(w("x", 1)), t(w("x", 2)), t(r("x", 1), r("x", 1))),
  },
  {
    what: "a value that nobody appended",
    history: concurrent(t(r("x", [7]))),
    anomalies: ["garbage-read"],
    allowed: [],
    clean: concurrent(t(r("x", [7])), t(append("x", 7))),
  },
  {
    what: "an append that is there twice",
    history: concurrent(t(append("x", 1)), t(r("x", [1, 1]))),
    anomalies: ["duplicate-elements"],
    allowed: [],
    clean: concurrent(t(append("x", 1)), t(r("x", [1]))),
  },
  {
    what: "lists of which neither begins with the other",
    history: concurrent(t(append("x", 1)), t(append("x", 2)), t(r("x", [1])), t(r("x", [2]))),
    anomalies: ["incompatible-order"],
    allowed: ["read-uncommitted"],
    clean: concurrent(t(append("x", 1)), t(append("x", 2)), t(r("x", [1])), t(r("x", [1, 2]))),
  },
  {
    what: "a list against the order of the appends of a transaction",
    history: concurrent(t(append("x", 1), append("x", 2)), t(r("x", [2, 1]))),
    anomalies: ["incompatible-order", "G1b"],
    allowed: ["read-uncommitted"],
    clean: concurrent(t(append("x", 1), append("x", 2)), t(r("x", [1, 2]))),
  },
  {
    what: "appends against real time",
    history: sequential(t(append("x", 1)), t(append("x", 2)), t(r("x", [2, 1]))),
    anomalies: ["G0-realtime"],
    allowed: ["strong-session-serializable"],
    clean: sequential(t(append("x", 1)), t(append("x", 2)), t(r("x", [1, 2]))),
  },
  {
    what: "a read before the write was called",
    history: sequential(t(r("x", [1])), t(append("x", 1))),
    anomalies: ["G1c-realtime"],
    allowed: ["strong-session-serializable"],
    clean: sequential(t(append("x", 1)), t(r("x", [1]))),
  },
  {
    what: "a stale read",
    history: sequential(t(append("x", 1)), t(r("x", []))),
    anomalies: ["G-single-realtime"],
    allowed: ["strong-session-serializable"],
    clean: concurrent(t(append("x", 1)), t(r("x", []))),
  },
  {
    what: "a client that misses its own append",
    history: sequential({ ...t(append("x", 1)), client: "a" }, { ...t(r("x", [])), client: "a" }),
    anomalies: ["G-single-process"],
    allowed: ["serializable"],
    clean: sequential({ ...t(append("x", 1)), client: "a" }, { ...t(r("x", [1])), client: "a" }),
  },
  {
    what: "write skew with a reader in between (Fekete, O'Neil and O'Neil's read-only anomaly, by real time)",
    history: concurrent(
      { ...t(append("y", 1)), at: [1, 2] },
      { ...t(r("x", [])), at: [3, 4] },
      { ...t(append("x", 1), r("y", [])), at: [0, 5] },
    ),
    anomalies: ["G2-item-realtime"],
    allowed: ["strong-snapshot-isolation", "strong-session-serializable"],
    clean: concurrent(
      { ...t(append("y", 1)), at: [1, 2] },
      { ...t(r("x", [])), at: [3, 4] },
      { ...t(append("x", 1), r("y", [1])), at: [0, 5] },
    ),
  },
];

describe("transactions", () => {
  for (const { what, kind = "list-append", history, anomalies, allowed, clean } of cases) {
    it(`finds ${anomalies.join(" and ")} in ${what}, and nothing beside it`, () => {
      const result = transactions({ kind }).check(history);
      assert.deepEqual([...new Set(result.anomalies.map(({ name }) => name))], anomalies);
      assert.deepEqual(result.allowed, allowed);
      assert.equal(result.verdict, "violated");
      assert.ok(result.explanation.length > 0 && result.operations.length > 0);
      for (const level of allowed) assert.equal(transactions({ kind, level }).check(history).verdict, "ok");

      const neighbour = transactions({ kind }).check(clean);
      assert.deepEqual(neighbour.anomalies, []);
      assert.deepEqual(neighbour.allowed, ["strict-serializable"]);
      assert.equal(neighbour.verdict, "ok");
    });
  }

  it("tells a cycle as a story", () => {
    const history = sequential(t(append("x", 1)), t(r("x", [])));
    const { anomalies, explanation, operations } = transactions({ kind: "list-append" }).check(history);
    const told = [
      'transaction 1 did not see 1 in "x", which transaction 0 wrote',
      "transaction 0 had returned before transaction 1 was called",
    ];
    assert.deepEqual(explanation, [...told, "so transaction 1 before 0 before 1: a contradiction"]);
    assert.deepEqual(operations, history);
    const steps = anomalies[0]?.steps.map(({ from, to, kind, key, value }) => [from.id, to.id, kind, key, value]);
    assert.deepEqual(steps, [
      [1, 0, "rw", "x", 1],
      [0, 1, "realtime", undefined, undefined],
    ]);
  });

  it("takes an unknown outcome for committed only where it was seen", () => {
    const lost = { ...t(append("x", 1), append("y", 1)), outcome: "unknown" as const };
    const check = (...reads: Micro[]) => transactions({ kind: "list-append" }).check(sequential(lost, t(...reads)));
    assert.equal(check(r("x", []), r("y", [])).verdict, "ok");
    assert.equal(check(r("x", [1]), r("y", [1])).verdict, "ok");
    assert.deepEqual(check(r("x", [1]), r("y", [])).allowed, ["read-committed"]);
  });

  it("keeps keys and values of different types apart", () => {
    const history = sequential(
      t(["append", 1, "1"], ["append", "1", 1], ["append", 1, 1]),
      t(["r", 1, ["1", 1]], ["r", "1", [1]]),
    );
    assert.equal(transactions({ kind: "list-append" }).check(history).verdict, "ok");
  });

  it("gives the same verdict with any number of steps", () => {
    const history = sequential(t(append("x", 1)), t(append("y", 1)), t(r("x", [])), t(r("y", [])));
    const [few, many] = [1, 1_000].map((steps) => transactions({ kind: "list-append", steps }).check(history));
    assert.deepEqual([few?.verdict, few?.allowed], [many?.verdict, many?.allowed]);
    assert.equal(few?.verdict, "violated");
  });

  it("refuses malformed options and histories", () => {
    const rejects = (run: () => unknown, message: RegExp) =>
      assert.throws(run, (error: Error) => {
        assert.ok(error instanceof InvalidArgumentError);
        assert.match(error.message, message);
        return true;
      });
    rejects(() => transactions({ kind: "set" as "rw-register" }), /options\.kind/);
    rejects(() => transactions({ kind: "rw-register", level: "best" as "serializable" }), /options\.level/);
    rejects(() => transactions({ kind: "rw-register", steps: 0 }), /options\.steps/);
    const check =
      (change: Partial<Operation>, kind: WorkloadKind = "list-append") =>
      () =>
        transactions({ kind }).check(
          sequential(t(append("x", 1), r("x", [1]))).map((each) => ({ ...each, ...change })),
        );
    rejects(check({ name: "get" }), /operation 0, name/);
    rejects(check({ input: "x" }), /operation 0, input/);
    rejects(check({ output: undefined }), /operation 0, output/);
    rejects(check({ output: [["append", "x", 1]] }), /operation 0, output/);
    rejects(
      check({
        output: [
          ["append", "x", 2],
          ["r", "x", [1]],
        ],
      }),
      /output\[0\].*the answer to/,
    );
    rejects(
      check({
        output: [
          ["append", "x", 1],
          ["r", "x", 1],
        ],
      }),
      /output\[1\]\[2\]/,
    );
    rejects(
      check({
        output: [
          ["append", "x", 1],
          ["r", "x", [null]],
        ],
      }),
      /output\[1\]\[2\]/,
    );
    rejects(
      check({
        input: [
          ["append", null, 1],
          ["r", "x", null],
        ],
      }),
      /input\[0\]\[1\]/,
    );
    rejects(
      check({
        input: [
          ["append", "x", { a: 1 }],
          ["r", "x", null],
        ],
      }),
      /input\[0\]|output\[0\]/,
    );
    rejects(check({}, "rw-register"), /input\[0\]/);
    const twice = sequential(t(append("x", 1)), t(append("x", 1)));
    rejects(() => transactions({ kind: "list-append" }).check(twice), /1 is written to "x" a second time/);
  });
});
