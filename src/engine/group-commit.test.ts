import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError, systemRuntime, UnavailableError } from "../core/index.ts";
import type { Driver, FlushPolicy, RawCommit, RawOutcome } from "./driver.ts";
import { GroupCommit } from "./group-commit.ts";

/** A driver of which only the flushes are looked at; each flush waits until the test answers it. */
function heldDriver(policy: Partial<FlushPolicy> = {}) {
  const flushes: { commits: readonly RawCommit[]; answer: () => void; fail: (error: unknown) => void }[] = [];
  let revision = 0;
  const driver = {
    name: "held",
    flush: { commits: 100, bytes: 1000, inFlight: 1, immediate: false, ...policy },
    commitMany(commits: readonly RawCommit[]) {
      const { promise, resolve, reject } = Promise.withResolvers<RawOutcome[]>();
      const answer = () => resolve(commits.map(() => ({ ok: true, revision: ++revision, adds: [], offsets: [] })));
      flushes.push({ commits, answer, fail: reject });
      return promise;
    },
  } as unknown as Driver;
  return { driver, flushes };
}

function commit(bytes = 1): RawCommit {
  return { checks: [], mutations: [], bytes };
}

/** Lets everything run that is ready: the gathering waits one turn of the event loop. */
async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("commits issued in one turn share a flush, those issued during it share the next", async () => {
  const { driver, flushes } = heldDriver();
  const group = new GroupCommit(driver, systemRuntime);
  const first = [group.submit(commit(), ""), group.submit(commit(), "")];
  await turn();
  const second = [group.submit(commit(), ""), group.submit(commit(), ""), group.submit(commit(), "")];
  await turn();
  assert.equal(flushes.length, 1);
  flushes[0]?.answer();
  await Promise.all(first);
  await turn();
  assert.deepEqual(
    flushes.map((flush) => flush.commits.length),
    [2, 3],
  );
  flushes[1]?.answer();
  assert.deepEqual(
    (await Promise.all(second)).map((outcome) => outcome.ok && outcome.revision),
    [3, 4, 5],
  );
});

test("many commits of one turn are dealt out to the flushes that may be in flight, few share one", async () => {
  const { driver, flushes } = heldDriver({ inFlight: 2 });
  const group = new GroupCommit(driver, systemRuntime);
  const few = Array.from({ length: 31 }, () => group.submit(commit(), ""));
  await turn();
  flushes[0]?.answer();
  await Promise.all(few);
  const many = Array.from({ length: 51 }, () => group.submit(commit(), ""));
  await turn();
  flushes[1]?.answer();
  await Promise.all(many.slice(0, 26));
  // Callers that go on are no reason to divide again: the other half is in flight.
  const next = Array.from({ length: 26 }, () => group.submit(commit(), ""));
  await turn();
  assert.deepEqual(
    flushes.map(({ commits }) => commits.length),
    [31, 26, 25, 26],
  );
  for (const { answer } of flushes) answer();
  await Promise.all([...many, ...next]);
});

test("a flush keeps to its bounds of count and bytes, and takes one commit that is larger alone", async () => {
  const { driver, flushes } = heldDriver({ commits: 3, bytes: 10, inFlight: 100 });
  const group = new GroupCommit(driver, systemRuntime);
  const sizes = [4, 4, 4, 50, 1, 1, 1, 1];
  const all = sizes.map((bytes) => group.submit(commit(bytes), ""));
  await turn();
  assert.deepEqual(
    flushes.map((flush) => flush.commits.map(({ bytes }) => bytes)),
    [[4, 4], [4], [50], [1, 1, 1], [1]],
  );
  for (const flush of flushes) flush.answer();
  await Promise.all(all);
});

test("a lane with many commits delays another lane by one flush at most", async () => {
  const { driver, flushes } = heldDriver({ commits: 10 });
  const group = new GroupCommit(driver, systemRuntime);
  const greedy = Array.from({ length: 100 }, () => group.submit(commit(1), "greedy"));
  const modest = Array.from({ length: 5 }, () => group.submit(commit(2), "modest"));
  await turn();
  assert.equal(flushes[0]?.commits.filter(({ bytes }) => bytes === 2).length, 5);
  for (let i = 0; i < flushes.length || i < 11; i++) {
    flushes[i]?.answer();
    await turn();
  }
  await Promise.all([...greedy, ...modest]);
});

test("commits of a lane keep their order", async () => {
  const { driver, flushes } = heldDriver({ commits: 7, bytes: Number.MAX_SAFE_INTEGER });
  const group = new GroupCommit(driver, systemRuntime);
  const all = Array.from({ length: 3000 }, (_, i) => group.submit(commit(i), i % 3 === 0 ? "a" : "b"));
  for (let i = 0; ; i++) {
    await turn();
    if (!flushes[i]) break;
    flushes[i]?.answer();
  }
  await Promise.all(all);
  const order = flushes.flatMap((flush) => flush.commits.map(({ bytes }) => bytes));
  assert.equal(order.length, 3000);
  for (const lane of [order.filter((i) => i % 3 === 0), order.filter((i) => i % 3 !== 0)]) {
    assert.deepEqual(
      lane,
      lane.toSorted((a, b) => a - b),
    );
  }
});

test("when too much waits, a commit is refused at once and definitely", async () => {
  const { driver, flushes } = heldDriver();
  const group = new GroupCommit(driver, systemRuntime, { commits: 2, bytes: 100 });
  const accepted = [group.submit(commit(), ""), group.submit(commit(), "")];
  await assert.rejects(
    group.submit(commit(), ""),
    (error) => isAshlarError(error, "OVERLOADED") && error.definite && error.retryable,
  );
  await turn();
  flushes[0]?.answer();
  await Promise.all(accepted);
  await assert.rejects(group.submit(commit(101), ""), (error) => isAshlarError(error, "OVERLOADED"));
});

test("an abort withdraws a commit that waits and leaves one in flight unknown", async () => {
  const { driver, flushes } = heldDriver();
  const group = new GroupCommit(driver, systemRuntime);
  const controller = new AbortController();
  const sent = group.submit(commit(1), "", controller.signal);
  await turn();
  const waiting = group.submit(commit(2), "", controller.signal);
  const other = group.submit(commit(3), "");
  const reason = new Error("changed my mind");
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(sent, (error) => isAshlarError(error, "OUTCOME_UNKNOWN") && error.cause === reason);
  flushes[0]?.answer();
  await turn();
  assert.deepEqual(
    flushes[1]?.commits.map(({ bytes }) => bytes),
    [3],
  );
  flushes[1]?.answer();
  assert.ok((await other).ok);
  await assert.rejects(group.submit(commit(), "", controller.signal), reason);
});

test("a flush that fails fails its commits only, with the driver's error; an error that is none of ours leaves the outcome unknown", async () => {
  const { driver, flushes } = heldDriver();
  const group = new GroupCommit(driver, systemRuntime);
  const first = group.submit(commit(), "");
  await turn();
  const second = group.submit(commit(), "");
  const error = new UnavailableError("away");
  flushes[0]?.fail(error);
  await assert.rejects(first, error);
  await turn();
  flushes[1]?.fail(new TypeError("a bug"));
  await assert.rejects(second, (thrown) => isAshlarError(thrown, "OUTCOME_UNKNOWN"));
  const third = group.submit(commit(), "");
  await turn();
  flushes[2]?.answer();
  assert.ok((await third).ok);
});

test("close refuses new commits and waits for those accepted", async () => {
  const { driver, flushes } = heldDriver();
  const group = new GroupCommit(driver, systemRuntime);
  const accepted = group.submit(commit(), "");
  let closed = false;
  const closing = group.close().then(() => {
    closed = true;
  });
  await assert.rejects(group.submit(commit(), ""), (error) => isAshlarError(error, "CLOSED"));
  await turn();
  assert.equal(closed, false);
  flushes[0]?.answer();
  assert.ok((await accepted).ok);
  await closing;
  await new GroupCommit(driver, systemRuntime).close();
});
