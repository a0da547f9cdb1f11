import assert from "node:assert/strict";
import { test } from "node:test";
import { LockSharing } from "./lock-sharing.ts";

function busy(): Error {
  return Object.assign(new Error("database is locked"), { code: "ERR_SQLITE_ERROR", errcode: 5, errstr: "locked" });
}

test("the lock is tried until it is free", () => {
  const lock = new LockSharing(10_000);
  let attempts = 0;
  lock.acquire(() => {
    if (++attempts < 5) throw busy();
  });
  assert.equal(attempts, 5);
});

test("a lock that does not become free is given up after the time allowed, another error at once", () => {
  const start = performance.now();
  assert.throws(
    () =>
      new LockSharing(30).acquire(() => {
        throw busy();
      }),
    /database is locked/,
  );
  assert.ok(performance.now() - start >= 30);
  let attempts = 0;
  const failing = () => {
    attempts++;
    throw new RangeError("other");
  };
  assert.throws(() => new LockSharing(10_000).acquire(failing), RangeError);
  assert.equal(attempts, 1);
});

/** Takes the lock all the time, as fast as it can. Returns for how long it was left free in each step back. */
function hog(ms: number, rivals: boolean): number[] {
  const naps: number[] = [];
  const lock = new LockSharing(1000, (nap) => naps.push(nap));
  const end = performance.now() + ms;
  while (performance.now() < end) {
    lock.acquire(() => {});
    lock.released(rivals);
  }
  return naps;
}

test("who has rivals leaves the lock free again and again, however much there is to write", () => {
  const naps = hog(150, true);
  assert.ok(naps.length >= 2 && naps.length <= 8, `left free ${naps.length} times`);
  assert.ok(naps.every((nap) => nap > 0.5));
});

test("who has no rivals leaves the lock free for nobody", () => {
  assert.deepEqual(hog(50, false), []);
});
