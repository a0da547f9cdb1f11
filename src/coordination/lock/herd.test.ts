import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createEngine, type Driver } from "../../engine/index.ts";
import { createMemoryDriver, MemoryStore } from "../../engine/memory/index.ts";
import { createSqliteDriver } from "../../engine/sqlite/index.ts";
import { tapDriver } from "../lease/testing/tapped-driver.ts";
import { createLocks } from "./index.ts";
import { claimsIn, waiting } from "./testing/queue.ts";

interface Cost {
  /** Commits for each that was served after the first release. */
  readonly commits: number;
  /** Reads of keys and ranges for each. */
  readonly reads: number;
}

/** Lets so many wait for one lock, and counts what serving all of them takes. */
async function serve(driver: Driver, waiters: number): Promise<Cost> {
  const tap = tapDriver(driver);
  await using engine = createEngine(tap.driver);
  const locks = createLocks(engine);
  const first = await locks.acquire("hot");
  const order: number[] = [];
  const tokens: number[] = [];
  const waits: Promise<void>[] = [];
  for (let i = 0; i < waiters; i++) {
    waits.push(
      locks.withLock(
        "hot",
        ({ token }) => {
          order.push(i);
          tokens.push(token);
        },
        { timeout: "5m" },
      ),
    );
  }
  await waiting(engine, "hot", waiters);
  // All have found the one before them, and watch it.
  await watched(tap);
  const [commits, reads] = [tap.commits, tap.reads];
  await first.release();
  await Promise.all(waits);
  assert.deepEqual(
    order,
    Array.from({ length: waiters }, (_, i) => i),
  );
  assert.ok(tokens.every((token, i) => token > (tokens[i - 1] ?? first.token)));
  const cost = { commits: (tap.commits - commits) / waiters, reads: (tap.reads - reads) / waiters };
  assert.deepEqual(await claimsIn(engine), []);
  return cost;
}

/** Until no read has come for some turns. */
async function watched(tap: { readonly reads: number }): Promise<void> {
  for (let quiet = 0, last = tap.reads; quiet < 50; last = tap.reads) {
    await new Promise((resolve) => setImmediate(resolve));
    quiet = tap.reads === last ? quiet + 1 : 0;
  }
}

async function judge(t: TestContext, open: () => Driver | Promise<Driver>): Promise<void> {
  const few = await serve(await open(), 10);
  const many = await serve(await open(), 1000);
  for (const [waiters, { commits, reads }] of [[10, few] as const, [1000, many] as const])
    t.diagnostic(`${waiters} waiters: ${commits.toFixed(2)} commits and ${reads.toFixed(2)} reads a hand-over`);
  assert.ok(many.commits <= 4, `${many.commits} commits a hand-over`);
  assert.ok(many.reads <= 8, `${many.reads} reads a hand-over`);
  assert.ok(many.commits < few.commits + 0.5);
}

test("a thousand that wait in memory are served in order, with no more commits a hand-over than ten", async (t) => {
  await judge(t, () => createMemoryDriver(new MemoryStore()));
});

test("a thousand that wait on SQLite are served in order, with no more commits a hand-over than ten", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-herd-"));
  let stores = 0;
  try {
    await judge(t, () => createSqliteDriver({ file: join(folder, `${stores++}.db`) }));
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
});
