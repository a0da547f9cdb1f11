import assert from "node:assert/strict";
import { test } from "node:test";
import { UnavailableError } from "../../core/index.ts";
import type { Driver, RawCommit, RawOutcome } from "../driver.ts";
import { CommitGate } from "./commit-gate.ts";

const commit: RawCommit = { checks: [], mutations: [], bytes: 0 };
const committed: RawOutcome = { ok: true, revision: 1, adds: [], offsets: [] };

function gateOver(inFlight: number, commitMany: Driver["commitMany"]): CommitGate {
  return new CommitGate({ commitMany, flush: { inFlight } } as Driver);
}

test("no more calls are in flight than the driver takes, and those that wait go in their order", async () => {
  const flights: (() => void)[] = [];
  const order: number[] = [];
  const gate = gateOver(2, async (commits) => {
    order.push(commits.length);
    await new Promise<void>((resolve) => void flights.push(resolve));
    return commits.map(() => committed);
  });
  const calls = [1, 2, 3, 4, 5].map((n) => gate.commitMany(Array(n).fill(commit)));
  for (const expected of [
    [1, 2],
    [1, 2, 3],
    [1, 2, 3, 4],
    [1, 2, 3, 4, 5],
  ]) {
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(order, expected);
    flights.shift()?.();
  }
  for (const land of flights) land();
  assert.deepEqual(
    (await Promise.all(calls)).map(({ length }) => length),
    [1, 2, 3, 4, 5],
  );
});

test("a call that fails gives its place back", async () => {
  let calls = 0;
  const gate = gateOver(1, (commits) => {
    if (++calls === 1) throw new UnavailableError("at once");
    if (calls === 2) return Promise.reject(new UnavailableError("later"));
    return commits.map(() => committed);
  });
  assert.throws(() => gate.commitMany([commit]), { code: "UNAVAILABLE" });
  await assert.rejects(gate.commit(commit), { code: "UNAVAILABLE" });
  assert.deepEqual(gate.commitMany([commit]), [committed], "a driver that answers at once is passed on at once");
  assert.deepEqual(await gate.commit(commit), committed);
});
