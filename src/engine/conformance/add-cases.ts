import assert from "node:assert/strict";
import type { AddOptions, Engine, Mutation } from "../contract.ts";
import { getValue, listAll, numbers } from "./entries.ts";
import { failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

const { MAX_SAFE_INTEGER, MIN_SAFE_INTEGER } = Number;

/** The sum is refused, and says so with the sum and the ceiling that it met. */
async function passesCeiling(
  engine: Engine,
  delta: number,
  options: AddOptions,
  value: number,
  ceiling: number,
): Promise<void> {
  const mutation: Mutation = { add: ["k"], delta, ...options };
  const refusal = { reason: "ceiling", mutation: 0, value, ceiling };
  assert.deepEqual(await engine.kv.tryCommit({ mutations: [mutation] }), { ok: false, refusal });
  const error = await failsWith("CONFLICT", () => engine.kv.add(["k"], delta, options), String(value), String(ceiling));
  assert.deepEqual({ ...error.details }, refusal);
}

const sums = facts("add", {
  "a sum begins at 0 and goes both ways": async ({ engine, other }) => {
    assert.equal(await engine.kv.add(["k"], 3), 3);
    assert.equal(await other.kv.add(["k"], -5), -2);
    assert.equal(await engine.kv.add(["k"], 0), -2);
    assert.equal(await getValue(engine, ["k"]), -2);
  },

  "what set wrote can be added to, and what add wrote can be set": async ({ engine }) => {
    await engine.kv.set(["k"], 40);
    assert.equal(await engine.kv.add(["k"], 2), 42);
    await engine.kv.set(["k"], "text");
    await engine.kv.set(["k"], -1);
    assert.equal(await engine.kv.add(["k"], 1), 0);
  },

  "a deleted sum begins anew": async ({ engine }) => {
    await engine.kv.add(["k"], 5);
    await engine.kv.delete(["k"]);
    assert.equal(await engine.kv.add(["k"], 1), 1);
  },

  "sums of any size are exact up to the last safe integer": async ({ engine }) => {
    for (const value of [1, 255, 256, 2 ** 31, 2 ** 32, 2 ** 40, MAX_SAFE_INTEGER]) {
      for (const sign of [1, -1]) {
        await engine.kv.set(["k"], sign * value);
        assert.equal(await engine.kv.add(["k"], -sign), sign * value - sign);
        assert.equal(await engine.kv.add(["k"], sign), sign * value);
        assert.equal(await getValue(engine, ["k"]), sign * value);
      }
    }
  },

  "a sum beyond the safe integers is an error, and changes nothing": async ({ engine }) => {
    for (const [present, delta] of [
      [MAX_SAFE_INTEGER, 1],
      [MIN_SAFE_INTEGER, -1],
      [MAX_SAFE_INTEGER, MAX_SAFE_INTEGER],
    ] as const) {
      const { version } = await engine.kv.set(["k"], present);
      const mutations: Mutation[] = [
        { set: ["a"], value: 1 },
        { add: ["k"], delta },
      ];
      await failsWith("INVALID_STATE", () => engine.kv.commit({ mutations }));
      await failsWith("INVALID_STATE", () => engine.kv.tryCommit({ mutations }));
      await failsWith("INVALID_STATE", () => engine.kv.add(["k"], delta));
      assert.deepEqual(await listAll(engine, {}), [{ key: ["k"], value: present, version }]);
    }
  },

  "adding to what is no integer is an error, and changes nothing": async ({ engine }) => {
    for (const present of [
      "5",
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 60,
      null,
      true,
      [1],
      new Uint8Array(8),
      new Date(0),
    ]) {
      const { version } = await engine.kv.set(["k"], present);
      await failsWith("INVALID_STATE", () => engine.kv.add(["k"], 1));
      await failsWith("INVALID_STATE", () =>
        engine.kv.tryCommit({
          mutations: [
            { set: ["a"], value: 1 },
            { add: ["k"], delta: 1 },
          ],
        }),
      );
      assert.deepEqual(await listAll(engine, {}), [{ key: ["k"], value: present, version }]);
    }
  },

  "the results of several adds come in their order": async ({ engine }) => {
    const mutations: Mutation[] = [
      { add: ["c"], delta: 3, ceiling: 10 },
      { set: ["x"], value: 0 },
      { add: ["a"], delta: 1 },
      { add: ["b"], delta: 2, ceiling: 2 },
    ];
    const { adds } = await engine.kv.commit({ mutations });
    assert.deepEqual(adds, [
      { value: 3, ceiling: 10 },
      { value: 1, ceiling: undefined },
      { value: 2, ceiling: 2 },
    ]);
  },

  "concurrent adds of several clients all count, each with a result of its own": {
    guarantee: "commits",
    run: async ({ engine, other }) => {
      const count = 200;
      const found = await Promise.all(numbers(count).map((i) => (i % 2 ? engine : other).kv.add(["k"], 1)));
      assert.deepEqual(
        found.sort((a, b) => a - b),
        numbers(count).map((i) => i + 1),
      );
      assert.equal(await getValue(other, ["k"]), count);
    },
  },
});

const bounds = facts("add", {
  "a floor lifts what is below it before the delta is added": async ({ engine }) => {
    assert.equal(await engine.kv.add(["k"], 1, { floor: 10 }), 11);
    assert.equal(await engine.kv.add(["k"], 1, { floor: 5 }), 12);
    assert.equal(await engine.kv.add(["k"], 1, { floor: 12 }), 13);
    assert.equal(await engine.kv.add(["k"], -100, { floor: 13 }), -87);
    assert.equal(await engine.kv.add(["k"], 1, { floor: -50 }), -49);
  },

  "an absent sum counts as 0 also against a floor below 0": async ({ engine }) => {
    assert.equal(await engine.kv.add(["k"], 1, { floor: -10 }), 1);
  },

  "a floor of minus the delta holds a sum at 0 while it counts down": async ({ engine }) => {
    await engine.kv.set(["k"], 5);
    const down = () => engine.kv.add(["k"], -3, { floor: 3 });
    assert.deepEqual([await down(), await down(), await down()], [2, 0, 0]);
  },

  "a sum may reach its ceiling and not pass it": async ({ engine }) => {
    assert.equal(await engine.kv.add(["k"], 7, { ceiling: 10 }), 7);
    assert.equal(await engine.kv.add(["k"], 3, { ceiling: 10 }), 10);
    await passesCeiling(engine, 1, { ceiling: 10 }, 11, 10);
    assert.equal(await engine.kv.add(["k"], 0, { ceiling: 10 }), 10);
    assert.equal(await getValue(engine, ["k"]), 10);
  },

  "a sum above its ceiling is refused even on the way down": async ({ engine }) => {
    await engine.kv.set(["k"], 100);
    await passesCeiling(engine, -1, { ceiling: 50 }, 99, 50);
    assert.equal(await engine.kv.add(["k"], -50, { ceiling: 50 }), 50);
  },

  "a ceiling below the floor refuses": async ({ engine }) => {
    await passesCeiling(engine, 1, { floor: 10, ceiling: 5 }, 11, 5);
    await passesCeiling(engine, 1, { ceiling: -5 }, 1, -5);
  },

  "a refused sum undoes its whole batch": async ({ engine, topic }) => {
    const { version } = await engine.kv.set(["k"], 10);
    const outcome = await engine.kv.tryCommit({
      mutations: [
        { set: ["a"], value: 1 },
        { append: topic("t"), records: [1] },
        { add: ["fine"], delta: 1, ceiling: 1 },
        { add: ["k"], delta: 1, ceiling: 10 },
        { add: ["k2"], delta: 1, ceiling: 0 },
      ],
    });
    assert.deepEqual(outcome, { ok: false, refusal: { reason: "ceiling", mutation: 3, value: 11, ceiling: 10 } });
    assert.deepEqual(await listAll(engine, {}), [{ key: ["k"], value: 10, version }]);
    assert.equal((await engine.log.bounds("t")).next, 0);
  },

  "a check that does not hold comes before a sum that is refused": async ({ engine }) => {
    const { version } = await engine.kv.set(["gone"], 1);
    await engine.kv.delete(["gone"]);
    const outcome = await engine.kv.tryCommit({
      checks: [
        { range: { prefix: [] }, entries: [] },
        { key: ["k"], version: undefined },
        { key: ["gone"], version },
      ],
      mutations: [{ add: ["k"], delta: 1, ceiling: 0 }],
    });
    assert.deepEqual(outcome, { ok: false, refusal: { reason: "check", check: 2 } });
  },

  "concurrent adds under a ceiling succeed as often as there is room": async ({ engine, other }) => {
    const attempt = (i: number) =>
      (i % 2 ? engine : other).kv.tryCommit({ mutations: [{ add: ["k"], delta: 2, ceiling: 31 }] });
    const outcomes = await Promise.all(numbers(60).map(attempt));
    const done = outcomes.flatMap((outcome) => (outcome.ok ? [outcome.adds[0]?.value] : []));
    assert.deepEqual(
      done.sort((a = 0, b = 0) => a - b),
      numbers(15).map((i) => i * 2 + 2),
    );
    for (const outcome of outcomes) {
      if (!outcome.ok) assert.deepEqual(outcome.refusal, { reason: "ceiling", mutation: 0, value: 32, ceiling: 31 });
    }
  },
});

const clocks = facts("add", {
  "a floor on the engine's clock is its time at the commit, in whole milliseconds or microseconds": {
    guarantee: "clock",
    run: async ({ engine }) => {
      for (const [clock, unit] of [
        ["ms", 1],
        ["us", 1000],
      ] as const) {
        for (const plus of [0, 5000, -5000]) {
          await engine.kv.delete(["k"]);
          const before = await engine.now();
          const sum = await engine.kv.add(["k"], 7, { floor: plus === 0 ? { clock } : { clock, plus } });
          const after = await engine.now();
          assert.ok(Number.isSafeInteger(sum), String(sum));
          const low = Math.floor(before) * unit + plus + 7;
          const high = Math.ceil(after + 1) * unit + plus + 7;
          assert.ok(sum >= low && sum <= high, `${sum} is not within ${low} and ${high}`);
        }
      }
    },
  },

  "a ceiling on the engine's clock refuses what lies after it, and tells its time": {
    guarantee: "clock",
    run: async ({ engine }) => {
      for (const [clock, unit] of [
        ["ms", 1],
        ["us", 1000],
      ] as const) {
        const before = Math.floor(await engine.now()) * unit;
        const hour = 3_600_000 * unit;
        await engine.kv.set(["k"], before + hour);
        const allowed = await engine.kv.commit({
          mutations: [{ add: ["k"], delta: 0, ceiling: { clock, plus: hour } }],
        });
        const ceiling = allowed.adds[0]?.ceiling as number;
        assert.ok(ceiling >= before + hour, `the ceiling ${ceiling} is below ${before + hour}`);
        const refused = await engine.kv.tryCommit({ mutations: [{ add: ["k"], delta: 1, ceiling: { clock } }] });
        assert.ok(!refused.ok && refused.refusal.reason === "ceiling");
        assert.equal(refused.refusal.value, before + hour + 1);
        const after = Math.ceil((await engine.now()) + 1) * unit;
        assert.ok(
          refused.refusal.ceiling >= before && refused.refusal.ceiling <= after,
          String(refused.refusal.ceiling),
        );
      }
    },
  },

  "floor and ceiling on one clock meet at one instant: a rate limit lets its burst through": async ({
    engine,
    other,
  }) => {
    // The generic cell rate algorithm with an interval so long that the test cannot outlast it.
    const interval = 600_000_000;
    const take: Mutation = {
      add: ["k"],
      delta: interval,
      floor: { clock: "us" },
      ceiling: { clock: "us", plus: 4 * interval },
    };
    const outcomes = await Promise.all(
      numbers(10).map((i) => (i % 2 ? engine : other).kv.tryCommit({ mutations: [take] })),
    );
    assert.equal(outcomes.filter(({ ok }) => ok).length, 4);
  },

  "a clock without room is as exact as a number": async ({ engine }) => {
    const mutations: Mutation[] = [{ add: ["k"], delta: 1, floor: { clock: "us" }, ceiling: { clock: "us" } }];
    const outcome = await engine.kv.tryCommit({ mutations });
    assert.ok(!outcome.ok && outcome.refusal.reason === "ceiling");
    assert.equal(outcome.refusal.value, outcome.refusal.ceiling + 1);
    const exact = await engine.kv.commit({
      mutations: [{ add: ["k"], delta: 1, floor: { clock: "us" }, ceiling: { clock: "us", plus: 1 } }],
    });
    assert.equal(exact.adds[0]?.value, exact.adds[0]?.ceiling);
  },
});

export const addFacts = [...sums, ...bounds, ...clocks];
