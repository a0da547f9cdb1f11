import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError } from "../../core/index.ts";
import { portableLimits } from "../../engine/index.ts";
import { Batcher } from "./batcher.ts";

test("what comes in one turn shares a commit, and what comes meanwhile the next, in order and within the limits", async () => {
  const commits: number[][] = [];
  const batcher = new Batcher<number>(portableLimits, async (records) => {
    commits.push([...records]);
    await undefined;
  });
  const first = Promise.all([1, 2, 3].map((record) => batcher.add(record, 10)));
  await first;
  const large = portableLimits.commitBytes / 2;
  await Promise.all([4, 5, 6].map((record) => batcher.add(record, large - 10)));
  await Promise.all(Array.from({ length: 200 }, (_, i) => batcher.add(100 + i, 1)));
  assert.deepEqual(commits.slice(0, 4), [[1, 2, 3], [4], [5], [6]]);
  assert.deepEqual(
    commits.slice(4).map(({ length }) => length),
    [90, 90, 20],
  );
  assert.deepEqual(
    commits.slice(4).flat(),
    Array.from({ length: 200 }, (_, i) => 100 + i),
  );
});

test("a commit that fails fails those whom it held, and no others", async () => {
  const batcher = new Batcher<number>(portableLimits, async (records) => {
    if (records.includes(2)) throw new Error("no");
  });
  const some = [1, 2].map((record) => batcher.add(record, 10));
  const outcomes = await Promise.allSettled(some);
  await batcher.add(3, 10);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  await assert.rejects(batcher.addAll([{ record: 2, bytes: 1 }]), /no/);
  await assert.rejects(batcher.add(4, 1, AbortSignal.abort(new Error("enough"))), /enough/);
});

test("whoever adds without end and awaits nothing is refused, and goes on when what waited is written", async () => {
  const gate = Promise.withResolvers<void>();
  const batcher = new Batcher<number>(portableLimits, () => gate.promise);
  const waiting: Promise<void>[] = [];
  for (let i = 0; i < 64; i++) waiting.push(batcher.add(i, 1024 * 1024));
  await assert.rejects(batcher.add(64, 1024 * 1024 + 1), (error) => isAshlarError(error, "OVERLOADED"));
  gate.resolve();
  await Promise.all(waiting);
  await batcher.add(65, 1024 * 1024);
});
