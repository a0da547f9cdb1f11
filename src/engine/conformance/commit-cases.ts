import assert from "node:assert/strict";
import { isAshlarError, type Key } from "../../core/index.ts";
import type { Batch, Engine, Version } from "../contract.ts";
import { during, repeat } from "./during.ts";
import { getValue, getVersion, listAll, numbers } from "./entries.ts";
import { abortedSignal, failsBy, failsWith, failureOf } from "./expecting.ts";
import { facts } from "./fact.ts";

/** The commit is refused for this check, and says so both ways. */
export async function refusesCheck(engine: Engine, batch: Batch, check = 0): Promise<void> {
  const refusal = { reason: "check", check };
  assert.deepEqual(await engine.kv.tryCommit(batch), { ok: false, refusal });
  const error = await failsWith("CONFLICT", () => engine.kv.commit(batch));
  assert.deepEqual({ ...error.details }, refusal);
}

const atomicity = facts("commit", {
  "a batch does all of its mutations": async ({ engine, topic }) => {
    await engine.kv.set(["old"], 1);
    const outcome = await engine.kv.commit({
      mutations: [
        { set: ["a"], value: 1 },
        { add: ["b"], delta: 2 },
        { delete: ["old"] },
        { append: topic("t"), records: ["x", "y"] },
        { add: ["c"], delta: 3 },
        { append: topic("u"), records: ["z"] },
      ],
    });
    const { version } = outcome;
    const sums = [
      { value: 2, ceiling: undefined },
      { value: 3, ceiling: undefined },
    ];
    assert.deepEqual(outcome, { ok: true, version, adds: sums, offsets: [0, 0] });
    const entry = (key: string, value: number) => ({ key: [key], value, version });
    assert.deepEqual(await listAll(engine, {}), [entry("a", 1), entry("b", 2), entry("c", 3)]);
    assert.deepEqual(
      (await engine.log.read("t")).map(({ value }) => value),
      ["x", "y"],
    );
  },

  "a refused batch does nothing": async ({ engine, topic }) => {
    await engine.kv.set(["old"], 1);
    const before = await listAll(engine, {});
    await refusesCheck(engine, {
      checks: [{ key: ["old"], version: undefined }],
      mutations: [
        { set: ["a"], value: 1 },
        { add: ["b"], delta: 2 },
        { delete: ["old"] },
        { append: topic("t"), records: ["x"] },
      ],
    });
    assert.deepEqual(await listAll(engine, {}), before);
    assert.deepEqual(await engine.log.bounds("t"), { first: 0, next: 0 });
  },

  "a batch is judged by the state before it": async ({ engine }) => {
    const outcome = await engine.kv.tryCommit({
      checks: [{ key: ["k"], version: undefined }],
      mutations: [{ set: ["k"], value: 1 }],
    });
    assert.equal(outcome.ok, true);
  },

  "an empty batch and one of checks alone write nothing": async ({ engine }) => {
    await engine.kv.set(["k"], 1);
    const before = await listAll(engine, {});
    const [entry] = before;
    assert.equal((await engine.kv.commit({})).ok, true);
    assert.equal((await engine.kv.commit({ checks: [], mutations: [] })).ok, true);
    const checked = await engine.kv.commit({ checks: [{ key: ["k"], version: entry?.version }] });
    assert.deepEqual([checked.adds, checked.offsets], [[], []]);
    await refusesCheck(engine, { checks: [{ key: ["k"], version: undefined }] });
    assert.deepEqual(await listAll(engine, {}), before);
  },

  "deleting removes the key, and what is absent does no harm": async ({ engine }) => {
    await engine.kv.set(["k"], 1);
    assert.equal((await engine.kv.delete(["k"])).ok, true);
    assert.equal(await engine.kv.get(["k"]), undefined);
    assert.equal((await engine.kv.delete(["k"])).ok, true);
    assert.equal((await engine.kv.commit({ mutations: [{ delete: ["never"] }, { set: ["a"], value: 1 }] })).ok, true);
    assert.equal(await getValue(engine, ["a"]), 1);
  },

  "readers never see half of a commit": async ({ engine, other, runtime }) => {
    const move = (from: string, to: string, n: number): Batch => ({
      mutations: [{ delete: ["place", from] }, { set: ["place", to], value: n }],
    });
    await engine.kv.set(["place", "a"], 0);
    await during(
      runtime,
      repeat(60, (n) => engine.kv.commit(n % 2 ? move("b", "a", n) : move("a", "b", n))),
      async () => {
        const both = await other.kv.getMany([
          ["place", "a"],
          ["place", "b"],
        ]);
        assert.equal(both.filter((entry) => entry !== undefined).length, 1);
        assert.equal((await listAll(other, { prefix: ["place"] })).length, 1);
      },
    );
  },

  "an acknowledged commit is there for a client that is opened afterwards": {
    guarantee: "durability",
    run: async ({ open, topic }) => {
      const { client, engine } = await open();
      const { version } = await engine.kv.commit({
        mutations: [
          { set: ["k"], value: "kept" },
          { append: topic("t"), records: ["kept"] },
        ],
      });
      await client.close();
      const { engine: later } = await open();
      assert.deepEqual(await later.kv.get(["k"]), { key: ["k"], value: "kept", version });
      assert.deepEqual(
        (await later.log.read("t")).map(({ value }) => value),
        ["kept"],
      );
    },
  },
});

const checks = facts("commit", {
  "a check for absence holds while the key is absent": async ({ engine }) => {
    const batch: Batch = { checks: [{ key: ["k"], version: undefined }], mutations: [{ set: ["k"], value: 1 }] };
    assert.equal((await engine.kv.tryCommit(batch)).ok, true);
    await refusesCheck(engine, batch);
    await engine.kv.delete(["k"]);
    assert.equal((await engine.kv.tryCommit(batch)).ok, true);
  },

  "a check for a version holds for that version alone": async ({ engine }) => {
    const first = await engine.kv.set(["k"], 1);
    const elsewhere = await engine.kv.set(["other"], 1);
    const check = (version: Version): Batch => ({ checks: [{ key: ["k"], version }] });
    assert.equal((await engine.kv.tryCommit(check(first.version))).ok, true);
    await refusesCheck(engine, check(elsewhere.version));
    const second = await engine.kv.set(["k"], 1);
    await refusesCheck(engine, check(first.version));
    assert.equal((await engine.kv.tryCommit(check(second.version))).ok, true);
    await engine.kv.delete(["k"]);
    await refusesCheck(engine, check(second.version));
    await engine.kv.set(["k"], 1);
    await refusesCheck(engine, check(second.version));
  },

  "a check of presence holds at every version, and not for what is absent": async ({ engine, other }) => {
    const check: Batch = { checks: [{ key: ["k"], present: true }], mutations: [{ set: ["seen"], value: 1 }] };
    await refusesCheck(engine, check);
    await engine.kv.set(["k"], 1);
    assert.equal((await engine.kv.tryCommit(check)).ok, true);
    await other.kv.set(["k"], 2);
    assert.equal((await engine.kv.tryCommit({ checks: [{ key: ["k"], present: true }] })).ok, true);
    assert.equal((await other.kv.tryCommit(check)).ok, true);
    await other.kv.delete(["k"]);
    await refusesCheck(engine, check);
    await refusesCheck(engine, { checks: [{ key: ["k"], present: true }] });
    assert.equal(await getValue(engine, ["seen"]), 1);
  },

  "a check of presence sees what the commits before it in the same flush did": async ({ engine }) => {
    const present: Batch = { checks: [{ key: ["k"], present: true }], mutations: [{ add: ["passed"], delta: 1 }] };
    const outcomes = await Promise.all([
      engine.kv.tryCommit(present),
      engine.kv.tryCommit({ mutations: [{ set: ["k"], value: 1 }] }),
      engine.kv.tryCommit(present),
      engine.kv.tryCommit({ mutations: [{ delete: ["k"] }] }),
      engine.kv.tryCommit(present),
    ]);
    const passed = outcomes.filter(({ ok }, i) => ok && i % 2 === 0).length;
    assert.equal((await getValue(engine, ["passed"])) ?? 0, passed);
    assert.equal((await engine.kv.tryCommit(present)).ok, false);
  },

  "a version that another client read or wrote is as good": async ({ engine, other }) => {
    const { version } = await engine.kv.set(["k"], 1);
    assert.equal(await getVersion(other, ["k"]), version);
    const swapped = await other.kv.tryCommit({
      checks: [{ key: ["k"], version }],
      mutations: [{ set: ["k"], value: 2 }],
    });
    assert.equal(swapped.ok, true);
    await refusesCheck(engine, { checks: [{ key: ["k"], version }] });
  },

  "the refusal names the first check that did not hold": async ({ engine }) => {
    const { version } = await engine.kv.set(["k"], 1);
    const good = { key: ["k"], version };
    const bad = { key: ["k"], version: undefined };
    await refusesCheck(engine, { checks: [good, bad, good, bad] }, 1);
    await refusesCheck(engine, { checks: [good, good, { range: { prefix: [] }, entries: [] }, bad] }, 2);
    await refusesCheck(engine, { checks: [bad, { range: { prefix: [] }, entries: [] }] }, 0);
  },

  "of two commits with the same check one wins": async ({ engine, other }) => {
    for (const round of numbers(20)) {
      const attempt = (client: Engine, value: number) =>
        client.kv.tryCommit({
          checks: [{ key: ["race", round], version: undefined }],
          mutations: [{ set: ["race", round], value }],
        });
      const outcomes = await Promise.all(numbers(6).map((i) => attempt(i % 2 ? engine : other, i)));
      const winners = outcomes.flatMap(({ ok }, i) => (ok ? [i] : []));
      assert.equal(winners.length, 1);
      assert.equal(await getValue(engine, ["race", round]), winners[0]);
    }
  },
});

const versions = facts("commit", {
  "all keys of one commit have its version, and others keep theirs": async ({ engine }) => {
    const { version: before } = await engine.kv.set(["before"], 1);
    const { version } = await engine.kv.commit({
      mutations: [
        { set: ["a"], value: 1 },
        { add: ["b"], delta: 1 },
        { set: ["c"], value: 1, ttl: "1h" },
      ],
    });
    const found = await engine.kv.getMany([["a"], ["b"], ["c"], ["before"]]);
    assert.deepEqual(
      found.map((entry) => entry?.version),
      [version, version, version, before],
    );
    assert.notEqual(version, before);
  },

  "a version never comes back, whatever is written, deleted and written again": async ({ engine, other }) => {
    const seen = new Set<Version>();
    const note = (version: Version | undefined): void => {
      assert.equal(typeof version, "string");
      assert.ok(!seen.has(version as Version), `the version ${version} came back`);
      seen.add(version as Version);
    };
    for (let i = 0; i < 20; i++) {
      const client = i % 2 ? engine : other;
      note((await client.kv.set(["k"], "same")).version);
      if (i % 3 === 0) await client.kv.delete(["k"]);
      await client.kv.add(["sum"], 0);
      note(await getVersion(engine, ["sum"]));
      await client.kv.delete(["sum"]);
    }
    const concurrent = await Promise.all(numbers(40).map((i) => (i % 2 ? engine : other).kv.set(["k", i], 0)));
    for (const { version } of concurrent) note(version);
  },
});

const duplicates = facts("commit", {
  "a key mutated twice in a batch is refused": async ({ engine }) => {
    const batches: Batch[] = [
      {
        mutations: [
          { set: ["k"], value: 1 },
          { set: ["k"], value: 2 },
        ],
      },
      { mutations: [{ set: ["k"], value: 1 }, { set: ["a"], value: 1 }, { delete: ["k"] }] },
      {
        mutations: [
          { add: ["k"], delta: 1 },
          { add: ["k"], delta: 1 },
        ],
      },
      {
        mutations: [
          { set: ["k", 5], value: 1 },
          { set: ["k", 5n], value: 1 },
        ],
      },
    ];
    for (const batch of batches) {
      await failsWith("INVALID_ARGUMENT", () => engine.kv.commit(batch), "mutations");
      await failsWith("INVALID_ARGUMENT", () => engine.kv.tryCommit(batch), "mutations");
    }
    assert.deepEqual(await listAll(engine, {}), []);
  },

  "a topic appended to twice in a batch is refused, also under its two spellings": async ({ engine, topic }) => {
    for (const second of ["t", ["t"]]) {
      const mutations = [
        { append: topic("t"), records: [1] },
        { append: second, records: [2] },
      ];
      await failsWith("INVALID_ARGUMENT", () => engine.kv.commit({ mutations }), "mutations[1]");
    }
    assert.deepEqual(await engine.log.bounds("t"), { first: 0, next: 0 });
  },

  "a key and a topic of the same name are two things": async ({ engine, topic }) => {
    await engine.kv.commit({
      mutations: [
        { set: ["x"], value: 1 },
        { append: topic("x"), records: [2] },
      ],
    });
    assert.equal(await getValue(engine, ["x"]), 1);
    assert.equal((await engine.log.read("x"))[0]?.value, 2);
    await engine.kv.delete(["x"]);
    assert.equal((await engine.log.bounds("x")).next, 1);
  },

  "the same key may be checked twice": async ({ engine }) => {
    const { version } = await engine.kv.set(["k"], 1);
    const check = { key: ["k"], version };
    assert.equal((await engine.kv.tryCommit({ checks: [check, check] })).ok, true);
  },
});

const aborting = facts("commit", {
  "a commit whose signal is aborted fails with the reason and writes nothing": async ({ engine, topic }) => {
    const { signal, reason } = abortedSignal();
    await failsBy(reason, () => engine.kv.commit({ mutations: [{ set: ["k"], value: 1 }] }, { signal }));
    await failsBy(reason, () => engine.kv.tryCommit({ mutations: [{ set: ["k"], value: 1 }] }, { signal }));
    await failsBy(reason, () => engine.kv.set(["k"], 1, { signal }));
    await failsBy(reason, () => engine.kv.add(["k"], 1, { signal }));
    await failsBy(reason, () => engine.kv.delete(["k"], { signal }));
    await failsBy(reason, () => engine.log.append(topic("t"), [1], { signal }));
    assert.deepEqual(await listAll(engine, {}), []);
    assert.equal((await engine.log.bounds("t")).next, 0);
  },

  "a commit aborted in flight is withdrawn, done, or of unknown outcome, and says which": async ({
    engine,
    eventually,
  }) => {
    for (const round of numbers(20)) {
      const key: Key = ["k", round];
      const controller = new AbortController();
      const reason = new Error(`round ${round}`);
      const commit = engine.kv.set(key, round, { signal: controller.signal });
      controller.abort(reason);
      const outcome = await commit.then(
        () => "done" as const,
        (error: unknown) => ({ error }),
      );
      if (outcome === "done") {
        assert.equal(await getValue(engine, key), round);
      } else if (isAshlarError(outcome.error, "OUTCOME_UNKNOWN")) {
        assert.equal(outcome.error.cause, reason);
        // It may yet arrive: a later commit that refuses it settles the doubt.
        await eventually("an end of the doubt", async () => {
          const settled = await engine.kv.tryCommit({
            checks: [{ key, version: undefined }],
            mutations: [{ delete: key }],
          });
          return settled.ok || (await getValue(engine, key)) === round;
        });
      } else {
        assert.equal(outcome.error, reason);
        assert.equal(await engine.kv.get(key), undefined);
      }
    }
  },

  "an abort after the answer changes nothing": async ({ engine }) => {
    const controller = new AbortController();
    await engine.kv.set(["k"], 1, { signal: controller.signal });
    controller.abort(new Error("too late"));
    assert.equal(await getValue(engine, ["k"]), 1);
    assert.ok((await failureOf(() => engine.kv.set(["k"], 2, { signal: controller.signal }))) instanceof Error);
    assert.equal(await getValue(engine, ["k"]), 1);
  },
});

export const commitFacts = [...atomicity, ...checks, ...versions, ...duplicates, ...aborting];
