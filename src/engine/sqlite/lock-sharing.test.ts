import assert from "node:assert/strict";
import { test } from "node:test";
import { LockSharing } from "./lock-sharing.ts";

/** A world in which naps take exactly their time and nothing else takes any. */
function world() {
  const naps: number[] = [];
  const clock = { now: 0, monotonic: () => clock.now };
  const nap = (ms: number) => {
    naps.push(ms);
    clock.now += ms;
  };
  return { clock, nap, naps };
}

function busy(): Error {
  return Object.assign(new Error("database is locked"), { code: "ERR_SQLITE_ERROR", errcode: 5, errstr: "locked" });
}

test("the lock is tried until it is free, with short naps", () => {
  const { clock, nap, naps } = world();
  const lock = new LockSharing(10_000, { clock, nap });
  let attempts = 0;
  lock.acquire(() => {
    if (++attempts < 5) throw busy();
  });
  assert.equal(attempts, 5);
  assert.equal(naps.length, 4);
  assert.ok(naps.every((ms) => ms > 0 && ms < 0.5));
});

test("a lock that does not become free is given up after the time allowed, another error at once", () => {
  const { clock, nap, naps } = world();
  const lock = new LockSharing(30, { clock, nap });
  const locked = () => {
    throw busy();
  };
  assert.throws(() => lock.acquire(locked), /database is locked/);
  assert.ok(clock.now >= 30 && clock.now < 31, `${clock.now} ms`);
  const before = naps.length;
  const failing = () => {
    throw new RangeError("other");
  };
  assert.throws(() => lock.acquire(failing), RangeError);
  assert.equal(naps.length, before);
});

/** Writes all the time for 100 ms in transactions of 1 ms. Returns how long the lock was left free in each step back. */
function hog(rivalSeen: (now: number) => boolean, pause = 0): number[] {
  const { clock, nap, naps } = world();
  const lock = new LockSharing(1000, { clock, nap });
  while (clock.now < 100) {
    lock.acquire(() => {
      clock.now += 1;
    });
    lock.released(rivalSeen(clock.now));
    clock.now += pause;
  }
  return naps;
}

test("who has rivals leaves the lock free every few turns, for longer than a rival naps", () => {
  const naps = hog((now) => now < 10);
  assert.ok(naps.length === 4 || naps.length === 5, `left free ${naps.length} times`);
  assert.ok(naps.every((ms) => ms > 0.5));
});

test("who has no rivals, or pauses anyway, does not step back", () => {
  assert.deepEqual(
    hog(() => false),
    [],
  );
  assert.deepEqual(
    hog(() => true, 1),
    [],
  );
});
