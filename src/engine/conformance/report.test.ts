import assert from "node:assert/strict";
import { test } from "node:test";
import { createEngine } from "../engine.ts";
import { createMemoryDriver, MemoryStore, openMemory } from "../memory/index.ts";
import { renderReport, report } from "./report.ts";
import { type Conformance, conformance } from "./suite.ts";

test("a report tells the guarantees, and what holds, fails, and was not asked", async () => {
  const store = new MemoryStore();
  await using real = conformance({ open: async () => openMemory({ store }) });
  const suite: Conformance = {
    engine: () => real.engine(),
    cases: [
      { contract: "log", name: "later in the contract", notAsked: async () => undefined, run: async () => {} },
      { contract: "kv", name: "holds", guarantee: "reads", notAsked: async () => undefined, run: async () => {} },
      {
        contract: "kv",
        name: "does not hold",
        guarantee: "commits",
        notAsked: async () => undefined,
        run: () => Promise.reject(new Error("1 is not 2")),
      },
      {
        contract: "kv",
        name: "cannot be asked",
        guarantee: "sql",
        notAsked: async () => "it is Sunday",
        run: () => assert.fail(),
      },
    ],
    [Symbol.asyncDispose]: async () => {},
  };
  const found = await report(suite);
  assert.deepEqual([found.engine, found.passed, found.failed, found.notAsked], ["memory", 2, 1, 1]);
  assert.deepEqual(
    found.results.map(({ contract }) => contract),
    ["kv", "kv", "kv", "log"],
  );
  const outcomes = Object.fromEntries(found.guarantees.map(({ guarantee, outcome }) => [guarantee, outcome]));
  assert.deepEqual(outcomes, {
    commits: "failed",
    reads: "passed",
    durability: "not-asked",
    sharing: "not-asked",
    clock: "not-asked",
    unknownOutcomes: "not-asked",
    failover: "not-asked",
    sql: "not-asked",
  });
  const text = renderReport(found);
  for (const line of [
    /✓ reads +linearizable +1 case/,
    /✗ commits +strict-serializable +kv: does not hold/,
    /✓ holds/,
    /– cannot be asked {2}not asked \(it is Sunday\)/,
    /1 is not 2/,
    /does not keep the contract/,
  ]) {
    assert.match(text, line);
  }
});

test("a run can be confined to contracts, and ended", async () => {
  const store = new MemoryStore();
  await using suite = conformance({ open: async () => openMemory({ store }) });
  const found = await report(suite, { only: ["range-check", "add"] });
  assert.deepEqual([...new Set(found.results.map(({ contract }) => contract))], ["range-check", "add"]);
  assert.equal(found.failed, 0);
  const reason = new Error("enough");
  await assert.rejects(report(suite, { signal: AbortSignal.abort(reason) }), reason);
});

test("the suite removes its keys and objects, whether its cases hold or not", async () => {
  for (const broken of [false, true]) {
    const store = new MemoryStore();
    const open = async () => {
      const driver = createMemoryDriver(store);
      // Forgets all checks: plenty of cases fail.
      const commitMany: typeof driver.commitMany = (commits) =>
        driver.commitMany(commits.map((commit) => ({ ...commit, checks: [] })));
      return createEngine(broken ? { ...driver, commitMany } : driver);
    };
    await using suite = conformance({ open, patienceMs: 300 });
    const found = await report(suite, { only: ["kv", "commit", "range-check", "log", "blob", "scope"] });
    assert.equal(found.failed > 0, broken);
    await using observer = openMemory({ store });
    assert.deepEqual(await Array.fromAsync(observer.kv.list({})), []);
    assert.deepEqual(await Array.fromAsync(observer.blob.list({})), []);
  }
});

test("a failure names the seed that repeats it", async () => {
  const store = new MemoryStore();
  const driver = createMemoryDriver(store);
  const commitMany: typeof driver.commitMany = (commits) =>
    driver.commitMany(commits.map((commit) => ({ ...commit, checks: [] })));
  await using suite = conformance({ open: async () => createEngine({ ...driver, commitMany }), seed: 4711 });
  const found = suite.cases.find(({ name }) => name.startsWith("random batches"));
  await assert.rejects(async () => await found?.run(), /\(repeat with the seed 4711\)/);
});
