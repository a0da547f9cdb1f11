import assert from "node:assert/strict";
import { test } from "node:test";
import { code, on, onAllStores, until } from "../../../test/on-stores.ts";
import type { Duration } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { Engine } from "../../engine/index.ts";
import { MemoryStore, openMemory } from "../../engine/memory/index.ts";
import { createSchedule, openSchedule, type Tick } from "./index.ts";

const day = 24 * 3600 * 1000;

onAllStores("schedules", (kind) => {
  test(
    "each tick has one run, whichever processes take part, and its writes commit with it",
    on(kind, async (a, b) => {
      const seen: Tick[] = [];
      const run = (engine: typeof a) =>
        createSchedule(engine, "beat", { every: 100, retry: { base: 1, cap: 1 } }, async (tick, { tx }) => {
          tx.add(["sum", tick.time], 1);
          if (tick.attempt === 1 && (tick.time / 100) % 3 === 0) throw new Error("flaky");
          seen.push(tick);
        });
      {
        await using _here = run(a);
        await using _there = run(b);
        await until(() => seen.length >= 12);
      }
      const times = seen.map(({ time }) => time);
      assert.deepEqual(
        times,
        times.toSorted((x, y) => x - y),
      );
      for (const [i, time] of times.entries()) if (i > 0) assert.equal(time - (times[i - 1] as number), 100);
      const sums = await Array.fromAsync(a.kv.list<number>({ prefix: ["sum"] }));
      assert.deepEqual(new Set(sums.map(({ value }) => value)), new Set([1]));
      assert.equal(new Set(seen.map(({ id }) => id)).size, seen.length);
      const history = await openSchedule(b, "beat").history();
      assert.deepEqual(
        history.filter(({ outcome }) => outcome === "done").map(({ time }) => time),
        times.toReversed(),
      );
    }),
  );

  test(
    "a schedule is paused, triggered, backfilled and looked at from anywhere",
    on(kind, async (a, b) => {
      const seen: Tick[] = [];
      await using schedule = createSchedule(a, "far", { cron: "0 0 1 1 *" }, (tick) => void seen.push(tick));
      await assert.rejects(openSchedule(b, "other").pause(), code("INVALID_STATE"));
      const [next] = await schedule.next(2);
      assert.match(next?.toISOString() ?? "", /-01-01T00:00:00.000Z$/);
      const admin = openSchedule(b, "far");
      await admin.pause();
      assert.equal((await schedule.info()).paused, true);
      assert.equal((await schedule.info()).next, undefined);
      const id = await admin.trigger({ data: { by: "hand" } });
      await until(() => seen.length === 1);
      assert.deepEqual([seen[0]?.id, seen[0]?.kind, seen[0]?.data], [id, "manual", { by: "hand" }]);
      await admin.resume();
      const years = { from: Date.UTC(2020, 0, 1), to: Date.UTC(2022, 5, 1), order: "newest" } as const;
      assert.equal(await admin.backfill(years), 3);
      await until(() => seen.length === 4);
      assert.deepEqual(
        seen.slice(1).map(({ time, kind: what }) => [new Date(time).getUTCFullYear(), what]),
        [
          [2022, "backfill"],
          [2021, "backfill"],
          [2020, "backfill"],
        ],
      );
      await until(async () => (await admin.history()).length === 4);
      const { runs, ticks, timing } = await admin.info();
      assert.deepEqual(
        [runs, ticks, timing],
        [{ open: 0, failed: 0 }, { begun: 0, skipped: 0, missed: 0 }, "0 0 1 1 *"],
      );
      await assert.rejects(admin.backfill({ from: 1, to: 0 }), code("INVALID_ARGUMENT"));
      await assert.rejects(
        a.transact(async (tx) => {
          await schedule.trigger({ tx });
          throw new Error("back");
        }),
        /back/,
      );
      assert.equal((await admin.info()).runs.open, 0);
    }),
  );

  test(
    "a run that fails for good is shown with its error, and the schedule goes on",
    on(kind, async (a) => {
      const options = { every: 100, retry: { attempts: 2, base: 1 } } as const;
      await using schedule = createSchedule(a, "bad", options, ({ attempt }) => {
        throw new Error(`no ${attempt}`);
      });
      await until(async () => (await schedule.info()).runs.failed >= 2);
      const [report] = await schedule.history({ limit: 1 });
      assert.deepEqual([report?.outcome, report?.error, report?.attempts], ["failed", "no 2", 2]);
    }),
  );

  test(
    "a definition that is given later is in force for all",
    on(kind, async (a, b) => {
      const seen: number[] = [];
      const handler = (tick: Tick) => void seen.push(tick.time);
      await using old = createSchedule(a, "s", { cron: "0 0 1 1 *" }, handler);
      assert.equal((await old.info()).timing, "0 0 1 1 *");
      await using _ = createSchedule(b, "s", { every: 100 }, handler);
      await until(() => seen.length >= 3);
      assert.equal((await old.info()).timing, "every 100 ms");
    }),
  );
});

/** Lets time pass until it has come to something. */
async function passing<T>(time: ManualRuntime, promise: Promise<T>): Promise<T> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  promise.then(over, over);
  while (!isOver) await time.advance(10);
  return await promise;
}

/** A schedule in virtual time. */
async function inVirtualTime(fn: (time: ManualRuntime, engine: Engine) => Promise<void>): Promise<void> {
  const time = createManualRuntime(Date.UTC(2026, 2, 15));
  await using engine = openMemory({ store: new MemoryStore(time), runtime: time });
  await fn(time, engine);
}

test("a month of days passes in a moment", () =>
  inVirtualTime(async (time, engine) => {
    const seen: string[] = [];
    const options = { cron: "0 12 * * *", timeZone: "Europe/Berlin", except: ["2026-04-03"], lease: "1h" } as const;
    const schedule = createSchedule(engine, "noon", options, (tick) => {
      assert.ok(time.clock.now() >= tick.time);
      seen.push(new Date(tick.time).toISOString());
    });
    await time.advance(1000);
    for (let i = 0; i < 30; i++) await time.advance(day);
    assert.equal(seen.length, 29);
    assert.ok(seen.includes("2026-03-28T11:00:00.000Z") && seen.includes("2026-03-29T10:00:00.000Z"));
    assert.ok(!seen.includes("2026-04-03T10:00:00.000Z"));
    await passing(time, schedule.close());
  }));

test("ticks that nobody saw are made up for if they are young enough, and counted if not", () =>
  inVirtualTime(async (time, engine) => {
    const seen: number[] = [];
    const begin = (catchUp: Duration) =>
      createSchedule(engine, "hourly", { every: "1h", catchUp }, (tick) => void seen.push(tick.time));
    const first = begin("2h");
    await time.advance(3_600_000 + 60_000);
    await passing(time, first.close());
    assert.equal(seen.length, 1);
    await time.advance(10 * 3_600_000);
    const second = begin("2h");
    await time.advance(60_000);
    assert.equal(seen.length, 3);
    assert.deepEqual((await passing(time, second.info())).ticks, { begun: 3, skipped: 0, missed: 8 });
    assert.equal((await passing(time, second.history())).filter(({ outcome }) => outcome === "missed").length, 8);
    await passing(time, second.close());
    await time.advance(5 * 3_600_000);
    const third = begin(Number.POSITIVE_INFINITY);
    await time.advance(60_000);
    assert.equal(seen.length, 8);
    await passing(time, third.close());
  }));

test("what a tick does about a run that has not ended is the schedule's to say", () =>
  inVirtualTime(async (time, engine) => {
    for (const [overlap, begun, aborted, most, skipped] of [
      ["queue", 4, 0, 1, 0],
      ["skip", 4, 0, 1, 6],
      ["cancel", 10, 9, 1, 0],
      ["allow", 10, 0, 3, 0],
    ] as const) {
      let [runs, stopped, running, peak] = [0, 0, 0, 0];
      const start = time.clock.now();
      const options = { every: "1m", start, overlap } as const;
      const schedule = createSchedule(engine, overlap, options, async (_, { signal }) => {
        runs++;
        peak = Math.max(peak, ++running);
        await new Promise<void>((resolve) => {
          const timer = time.timers.after(150_000, resolve);
          signal.addEventListener("abort", () => {
            stopped++;
            timer.cancel();
            resolve();
          });
        });
        running--;
        signal.throwIfAborted();
      });
      await time.advance(10.5 * 60_000);
      const { ticks } = await passing(time, schedule.info());
      assert.deepEqual([runs, stopped, peak, ticks.skipped], [begun, aborted, most, skipped], overlap);
      await passing(time, schedule.pause());
      await passing(time, schedule.close());
    }
  }));

test("bad input is refused by name", () =>
  inVirtualTime(async (_, engine) => {
    assert.throws(() => createSchedule(engine, "", { every: "1m" }, () => {}), /name/);
    assert.throws(() => createSchedule(engine, "x", { every: "1m" }, undefined as never), /handler/);
    assert.throws(() => createSchedule(engine, "x", { every: "1m", retry: { attempts: 0 } }, () => {}), /attempts/);
    assert.throws(() => openSchedule(engine, "x".repeat(151)), /name/);
  }));
