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

test("who has rivals leaves the lock free again and again, however much there is to write", () => {
  const lock = new LockSharing(1000);
  let left = 0;
  const end = performance.now() + 200;
  for (let released = performance.now(); performance.now() < end; ) {
    lock.acquire(() => {
      if (performance.now() - released > 0.5) left++;
    });
    lock.released(true);
    released = performance.now();
  }
  assert.ok(left >= 4, `left free ${left} times in 200 ms`);
});
