import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InvalidArgumentError } from "../../core/index.ts";
import { fromEvents, type HistoryEvent, type Operation } from "../history.ts";
import { Dice } from "../linearizability/testing/dice.ts";
import { causal } from "./causal.ts";
import {
  monotonicReads,
  monotonicWrites,
  readYourWrites,
  type SessionGuarantee,
  sessions,
  writesFollowReads,
} from "./sessions.ts";
import { isCausalByForce, keepsByForce } from "./testing/brute-force.ts";

const histories = Number(process.env["ASHLAR_HISTORIES"] ?? 3_000);

/**
 * Lines such as "a set x 1", "b get x null" and "a set? x 2", whose outcome is unknown, or "a set! x 3", which failed.
 */
function h(...lines: string[]): Operation[] {
  const events = lines.flatMap((line, id): HistoryEvent[] => {
    const [client = "", what = "", key = "", value = ""] = line.split(" ");
    const name = what.slice(0, 3);
    const given = JSON.parse(value) as unknown;
    const call: HistoryEvent = { event: "invoke", id, client, name, key, ...(name === "set" && { input: given }) };
    if (what.endsWith("?")) return [call];
    return [call, { event: what.endsWith("!") ? "failed" : "ok", id, ...(name === "get" && { output: given }) }];
  });
  return fromEvents(events);
}

const checkers = {
  "read-your-writes": readYourWrites(),
  "monotonic-reads": monotonicReads(),
  "monotonic-writes": monotonicWrites(),
  "writes-follow-reads": writesFollowReads(),
  together: sessions(),
  causal: causal(),
};

/** Which of the checkers reject a history. */
function rejecting(history: Operation[]): string[] {
  return Object.entries(checkers).flatMap(([name, checker]) => {
    const { verdict, explanation } = checker.check(history);
    assert.equal(explanation.length > 0, verdict === "violated");
    return verdict === "violated" ? [name] : [];
  });
}

function pattern(history: Operation[]): string {
  return causal().check(history).summary.split(":")[0] ?? "";
}

describe("sessions", () => {
  const cases: [what: string, history: Operation[], rejected: string[]][] = [
    ["a client that misses what it set", h("a set x 1", "a get x null"), ["read-your-writes"]],
    ["a client that misses what it got", h("a set x 1", "b get x 1", "b get x null"), ["monotonic-reads"]],
    [
      "a later set that is seen without the earlier one of its client",
      h("a set x 1", "a set y 2", "b get y 2", "b get x null"),
      ["monotonic-writes"],
    ],
    [
      "a set that is seen without what its client had got before",
      h("a set x 1", "b get x 1", "b set y 2", "c get y 2", "c get x null"),
      ["writes-follow-reads"],
    ],
    ["sets of a client seen in the wrong order", h("a set x 1", "a set x 2", "b get x 2", "b get x 1"), []],
    [
      "versions that go back and forth",
      h("a set x 1", "b set x 2", "c get x 1", "c get x 2", "c get x 1"),
      ["monotonic-reads"],
    ],
  ];
  for (const [what, history, rejected] of cases) {
    it(`rejects ${what}: ${rejected.join() || "no guarantee alone"}`, () => {
      const found = rejecting(history).filter((name) => name !== "causal");
      assert.deepEqual(found, [...rejected, "together"]);
    });
  }

  it("accepts replicas that lag as long as each client goes forward", () => {
    assert.deepEqual(rejecting(h("a set x 1", "b get x null", "b get x 1", "b set x 2", "a get x 1", "a get x 2")), []);
  });

  it("tells why no order of the versions will do", () => {
    const { explanation, operations } = monotonicWrites().check(
      h("a set x 1", "a set y 2", "c get z null", "b get y 2", "b get x null"),
    );
    const told = [
      '1 is not newer than null: client a set 1 to "x" (operation 0); then client a set 2 to "y" (operation 1); ' +
        'then client b got 2 from "y" (operation 3); then client b got null from "x" (operation 4)',
      "null is not newer than 1: it was there before all sets",
    ];
    assert.deepEqual(explanation, told);
    assert.deepEqual(
      operations.map(({ id }) => id),
      [0, 1, 3, 4],
    );
  });

  it("names the causal pattern", () => {
    assert.equal(pattern(h("a get x 1")), "ThinAirRead");
    assert.equal(pattern(h("a set! x 1", "a get x 1")), "ThinAirRead");
    assert.equal(pattern(h("a get x 1", "a set y 1", "b get y 1", "b set x 1")), "CyclicCO");
    assert.equal(pattern(h("a set x 1", "a set y 1", "b get y 1", "b get x null")), "WriteCOInitRead");
    assert.equal(pattern(h("a set x 1", "b get x 1", "b set x 2", "c get x 2", "c get x 1")), "WriteCORead");
  });

  it("lets concurrent sets be seen in different orders by causal consistency", () => {
    const forked = h("a set x 1", "b set x 2", "c get x 1", "c get x 2", "d get x 2", "d get x 1");
    assert.deepEqual(rejecting(forked), ["monotonic-reads", "together"]);
  });

  it("lets a set of unknown outcome be seen, or not, and late", () => {
    assert.deepEqual(rejecting(h("a set? x 1", "a get x null", "b get x null")), []);
    assert.deepEqual(rejecting(h("a set? x 1", "a get x null", "b get x 1")), []);
    assert.deepEqual(rejecting(h("a set? x 1", "a set y 2", "b get y 2", "b get x null", "b get x 1")), []);
    assert.deepEqual(rejecting(h("a set? x 1", "b get x 1", "b get x null")), [
      "monotonic-reads",
      "together",
      "causal",
    ]);
  });

  it("refuses what it cannot judge", () => {
    const rejects = (history: Operation[], message: RegExp) => {
      for (const checker of Object.values(checkers)) {
        assert.throws(
          () => checker.check(history),
          (error: Error) => error instanceof InvalidArgumentError && message.test(error.message),
        );
      }
    };
    rejects(h("a set x 1", "b set x 1"), /operation 1: 1 is set to "x" a second time/);
    rejects(h("a set x null"), /operation 0, input/);
    rejects(h("a cas x 1"), /operation 0, name/);
    const overlapping = h("a set x 1", "a get x 1").map((operation, i) => ({
      ...operation,
      called: i,
      returned: 5 + i,
    }));
    rejects(overlapping, /operations 0 and 1 of client "a" overlap; sessions must be sequential/);
    assert.throws(() => sessions({ guarantees: [] }), InvalidArgumentError);
    assert.throws(() => sessions({ guarantees: ["atomic" as SessionGuarantee] }), InvalidArgumentError);
  });
});

/** Gets return something that was set to the key, mostly of late, or null; sometimes what was not set yet. */
function generate(dice: Dice): Operation[] {
  const lines: string[] = [];
  const values = new Map<string, number[]>();
  const keys = dice.pick([["x"], ["x", "y"], ["x", "y"]]);
  const freshness = dice.pick([0.2, 0.5, 0.9]);
  const size = 7 + dice.below(7);
  for (let i = 1; i <= size; i++) {
    const [client, key] = [dice.pick(["a", "b", "c"]), dice.pick(keys)];
    const known = values.get(key) ?? [];
    const isUnknown = dice.chance(0.1);
    if (dice.chance(0.5) && known.length < 4) {
      lines.push(`${client} set${isUnknown ? "?" : ""} ${key} ${i}`);
      values.set(key, [...known, i]);
    } else if (dice.chance(0.04)) lines.push(`${client} get ${key} ${dice.below(size + 1) + 1}`);
    else
      lines.push(
        `${client} get ${key} ${dice.chance(freshness) ? (known.at(-1) ?? null) : dice.pick([null, ...known])}`,
      );
  }
  return h(...lines);
}

describe("sessions against brute force", () => {
  const sets: SessionGuarantee[][] = [
    ["read-your-writes"],
    ["monotonic-reads"],
    ["monotonic-writes"],
    ["writes-follow-reads"],
    ["read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads"],
  ];
  for (const guarantees of sets) {
    it(`decides ${guarantees.join(", ")} as trying all orders of versions does`, (t) => {
      compare(t, sessions({ guarantees }), (history) => keepsByForce(history, guarantees), 100);
    });
  }

  it("decides causal consistency as its definition does", (t) => {
    compare(t, causal(), isCausalByForce, 10);
  });
});

function compare(
  t: { diagnostic(text: string): void },
  checker: { check(history: Operation[]): { verdict: string } },
  judge: (history: Operation[]) => boolean,
  share: number,
): void {
  const counts = { ok: 0, violated: 0 };
  for (let seed = 0; seed < histories; seed++) {
    const history = generate(new Dice(seed));
    const expected = judge(history) ? "ok" : "violated";
    assert.equal(checker.check(history).verdict, expected, `seed ${seed}: ${JSON.stringify(history)}`);
    counts[expected]++;
  }
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.ok > histories / share && counts.violated > histories / share, JSON.stringify(counts));
}
