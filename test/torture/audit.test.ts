import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createEngine, type Driver, type RawCommit, type RawOutcome } from "../../src/engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../src/engine/memory/index.ts";
import { UnavailableError } from "../../src/index.ts";
import { seeded } from "../seeded.ts";
import { type Audit, audit, type ViolationKind } from "./audit.ts";
import { Journal, readJournal, type WriterRecord } from "./journal.ts";
import { Observer } from "./observer.ts";
import { readSnapshot, type Snapshot } from "./snapshot.ts";
import { lanes, prepare, runLane } from "./workload.ts";

test("a store that does what it says passes the audit, and its watchers arrive", async () => {
  const { found, seen } = await run((driver) => driver);
  assert.deepEqual(found.violations, []);
  assert.ok(found.acknowledged > 400 && found.inDoubt === 0, JSON.stringify(found));
  assert.ok(seen > 100, `${seen} observations`);
});

const bugs: readonly [string, ViolationKind, (driver: Driver) => Driver][] = [
  ["acknowledges without applying", "lost", (driver) => withBug(driver, () => [])],
  [
    "leaves a mutation out",
    "half",
    (driver) => withBug(driver, (commit) => [{ ...commit, mutations: commit.mutations.slice(1) }]),
  ],
  ["applies a commit twice", "twice", (driver) => withBug(driver, (commit) => [commit, { ...commit, checks: [] }])],
  ["applies and reports failure", "unasked", (driver) => withBug(driver, (commit) => [commit], "UNAVAILABLE")],
];

for (const [what, kind, plant] of bugs) {
  test(`a store that now and then ${what} is found out`, async () => {
    const { found } = await run(plant);
    assert.ok(
      found.violations.some((violation) => violation.kind === kind),
      `no "${kind}" among ${JSON.stringify(found.violations.slice(0, 5))}`,
    );
  });
}

const sound: Snapshot = {
  batches: new Map([["w/batch.0", [2, 2, 2, 2]]]),
  shared: [0, 1, 2].map(() => ({ by: "w/batch.0", seq: 2, whole: true, version: "9" })),
  records: [
    { offset: 0, value: { writer: "w", lane: "append.0", seq: 1, part: 0 } },
    { offset: 1, value: { writer: "w", lane: "append.0", seq: 1, part: 1 } },
    { offset: 2, value: { writer: "w", lane: "append.0", seq: 3, part: 0 } },
  ],
  appended: new Map([["w/append.0", 3]]),
  balances: [93, 107, ...Array.from({ length: 8 }, () => 100)],
  transfers: new Map([["w/transfer.0/1", { from: 0, to: 1, amount: 7 }]]),
  transferCount: 1,
  transferred: [{ offset: 0, value: { writer: "w", lane: "transfer.0", seq: 1 } }],
  counts: new Map([["w/count.0", 2]]),
  total: 2,
};

const transferOne = { writer: "w", lane: "transfer.0", seq: 1 };

const told: WriterRecord = readJournal(`+batch.0 1
=batch.0 1 0
+batch.0 2
=batch.0 2 0
+batch.0 3
+append.0 1
=append.0 1 0
+append.0 2
-append.0 2 UNAVAILABLE
+append.0 3
=append.0 3 2
+append.0 4
+transfer.0 1
=transfer.0 1 0
+transfer.0 2
-transfer.0 2 TIMEOUT
+transfer.0 3
+count.0 1
=count.0 1 1
+count.0 2
?count.0 2 OUTCOME_UNKNOWN
`);

test("what the writers were told, and writes in doubt either way, pass the audit", () => {
  assert.deepEqual(kinds(sound), []);
  assert.deepEqual(kinds({ ...sound, ...landed }), []);
  assert.deepEqual([judge(sound).inDoubt, judge(sound).landed], [4, 1]);
  assert.deepEqual([judge({ ...sound, ...landed }).inDoubt, judge({ ...sound, ...landed }).landed], [4, 2]);
  assert.deepEqual(judge(sound).acknowledged, 6);
  assert.deepEqual(judge(sound).refused, 2);
});

/** The writes in doubt, applied (the add in doubt: not). */
const landed: Partial<Snapshot> = {
  batches: new Map([["w/batch.0", [3, 3, 3, 3]]]),
  shared: [0, 1, 2].map(() => ({ by: "w/batch.0", seq: 3, whole: true, version: "a" })),
  records: [
    ...sound.records,
    { offset: 3, value: { writer: "w", lane: "append.0", seq: 4, part: 0 } },
    { offset: 4, value: { writer: "w", lane: "append.0", seq: 4, part: 1 } },
  ],
  appended: new Map([["w/append.0", 4]]),
  counts: new Map([["w/count.0", 1]]),
  total: 1,
};

const damages: readonly [string, ViolationKind, Partial<Snapshot>][] = [
  ["a shared key with another text", "half", { shared: sound.shared.map((each, i) => ({ ...each, whole: i > 0 })) }],
  ["an acknowledged batch overwritten by an older one", "lost", batchOf(1)],
  ["a batch that is gone", "lost", { batches: new Map(), shared: [] }],
  ["half a batch", "half", { batches: new Map([["w/batch.0", [2, 2, 3, 2]]]) }],
  ["a batch that was never issued", "unasked", batchOf(4)],
  ["shared keys of two versions", "half", { shared: sound.shared.map((each, i) => ({ ...each, version: String(i) })) }],
  [
    "shared keys that are ahead of their own batch",
    "half",
    { shared: sound.shared.map((each) => ({ ...each, seq: 3 })) },
  ],
  [
    "an acknowledged append without records",
    "lost",
    { records: sound.records.slice(0, 2), appended: new Map([["w/append.0", 1]]) },
  ],
  ["half an append", "half", { records: [0, 2].map((i, offset) => ({ offset, value: valueAt(i) })) }],
  [
    "a hole in the offsets",
    "gap",
    { records: sound.records.map(({ offset, value }) => ({ offset: offset && offset + 1, value })) },
  ],
  [
    "a record elsewhere than acknowledged",
    "gap",
    { records: [2, 0, 1].map((i, offset) => ({ offset, value: valueAt(i) })) },
  ],
  ["an append applied twice", "twice", { records: [...sound.records, { offset: 3, value: valueAt(2) }] }],
  ["a refused append that was applied", "unasked", { records: [...sound.records, ...refusedRecords()] }],
  ["a record without its key", "half", { appended: new Map([["w/append.0", 1]]) }],
  ["money that appeared", "half", { balances: sound.balances.map((balance, i) => (i === 5 ? balance + 1 : balance)) }],
  ["a transfer applied twice", "half", { balances: [86, 114, ...sound.balances.slice(2)] }],
  ["a transfer counted twice", "twice", { transferCount: 2 }],
  ["a transfer twice in the log", "twice", { transferred: [0, 1].map((offset) => ({ offset, value: transferOne })) }],
  ["a transfer without its record", "half", { transferred: [] }],
  ["a lost transfer", "lost", { ...withTransfers(), balances: sound.balances.map(() => 100) }],
  ["a refused transfer that was applied", "unasked", withTransfers("w/transfer.0/1", "w/transfer.0/2")],
  ["a transfer that nobody made", "unasked", withTransfers("w/transfer.0/1", "w/transfer.0/9")],
  ["a lost add", "lost", { counts: new Map([["w/count.0", 0]]), total: 0 }],
  ["an add applied twice", "twice", { counts: new Map([["w/count.0", 3]]), total: 3 }],
  ["two adds of one commit that disagree", "half", { total: 1 }],
];

for (const [what, kind, damage] of damages) {
  test(`the audit sees ${what}`, () => {
    const found = kinds({ ...sound, ...damage });
    assert.ok(found.includes(kind), `${kind} is not among ${found.join(", ")}`);
  });
}

test("the audit passes on what a writer could not explain", () => {
  const found = audit(new Map([["w", { ...told, failures: ["boom"] }]]), sound).violations;
  assert.deepEqual(found, [{ kind: "failed", what: "w: boom" }]);
});

test("a journal ends where its writer died", () => {
  const { lanes: read } = readJournal("+a.0 1\n=a.0 1 7\n+a.0 2\n=a.0 2");
  assert.deepEqual(read.get("a.0"), [
    { seq: 1, outcome: "acknowledged", result: 7 },
    { seq: 2, outcome: "in doubt", result: 0 },
  ]);
});

function judge(snapshot: Snapshot): Audit {
  return audit(new Map([["w", told]]), snapshot);
}

function kinds(snapshot: Snapshot): ViolationKind[] {
  return judge(snapshot).violations.map(({ kind }) => kind);
}

function batchOf(seq: number): Partial<Snapshot> {
  return {
    batches: new Map([["w/batch.0", [seq, seq, seq, seq]]]),
    shared: sound.shared.map((each) => ({ ...each, seq })),
  };
}

function valueAt(index: number): Snapshot["records"][number]["value"] {
  return (sound.records[index] as Snapshot["records"][number]).value;
}

function refusedRecords(): Snapshot["records"] {
  return [0, 1, 2].map((part) => ({ offset: 3 + part, value: { writer: "w", lane: "append.0", seq: 2, part } }));
}

/** Transfers of nothing under these ids, consistent but for who made them. */
function withTransfers(...ids: string[]): Partial<Snapshot> {
  return {
    balances: sound.balances.map(() => 100),
    transfers: new Map(ids.map((id) => [id, { from: 0, to: 1, amount: 0 }])),
    transferCount: ids.length,
    transferred: ids.map((id, offset) => {
      const [writer = "", lane = "", seq] = id.split("/");
      return { offset, value: { writer, lane, seq: Number(seq) } };
    }),
  };
}

/** Two writers in this process write for a while on a memory store whose driver may have a bug. */
async function run(plant: (driver: Driver) => Driver): Promise<{ found: Audit; seen: number }> {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-audit-"));
  const store = new MemoryStore();
  await using reader = createEngine(createMemoryDriver(store));
  await prepare(reader);
  const observer = new Observer(reader);
  const records = new Map<string, WriterRecord>();
  try {
    const writers = ["a", "b"].map(async (writer, i) => {
      await using engine = createEngine(plant(createMemoryDriver(store)));
      const journal = new Journal(join(folder, writer));
      let left = 400;
      const context = { engine, writer, journal, random: seeded(i), stopped: () => left-- <= 0 };
      await Promise.all(lanes.map((lane) => runLane(context, lane)));
      journal.close();
      records.set(writer, readJournal(readFileSync(join(folder, writer), "utf8")));
    });
    await Promise.all(writers);
    const late = await observer.arrive();
    const found = audit(records, await readSnapshot(reader));
    return { found: { ...found, violations: [...late, ...found.violations] }, seen: observer.seen };
  } finally {
    await observer.close();
    rmSync(folder, { recursive: true });
  }
}

/** Every tenth commit that writes is replaced by others; with `code`, reported as failed afterwards. */
function withBug(driver: Driver, instead: (commit: RawCommit) => RawCommit[], code?: "UNAVAILABLE"): Driver {
  let count = 0;
  const commitOne = async (commit: RawCommit): Promise<RawOutcome> => {
    if (commit.mutations.length === 0 || ++count % 10 !== 0)
      return (await driver.commitMany([commit]))[0] as RawOutcome;
    const applied = await driver.commitMany(instead(commit));
    if (code) throw new UnavailableError("planted: reported as not applied");
    const zero = { value: 0, ceiling: undefined };
    const { mutations } = commit;
    const invented: RawOutcome = {
      ok: true,
      revision: 1,
      adds: mutations.filter(({ kind }) => kind === "add").map(() => zero),
      offsets: mutations.filter(({ kind }) => kind === "append").map(() => 0),
    };
    return applied.find(({ ok }) => ok) ?? invented;
  };
  return { ...driver, commitMany: async (commits) => await Promise.all(commits.map(commitOne)) };
}
