import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ScheduleOptions } from "./contract.ts";
import { toDefinition } from "./definition.ts";
import { jitterOf, nextTick, ticksWithin } from "./ticks.ts";

const at = (text: string) => Date.parse(text);

/** The first ticks behind `after`, as UTC. */
function ticks(options: ScheduleOptions, after: string, count: number): string[] {
  return ticksWithin(toDefinition(options), at(after), Number.POSITIVE_INFINITY, count).map((time) =>
    new Date(time).toISOString().replace(":00.000Z", ""),
  );
}

test("a pattern ticks by the clocks of its time zone", () => {
  assert.deepEqual(ticks({ cron: "0 3 * * *" }, "2026-01-01T00:00Z", 2), ["2026-01-01T03:00", "2026-01-02T03:00"]);
  assert.deepEqual(ticks({ cron: "0 9 * * MON-FRI", timeZone: "America/New_York" }, "2026-07-03T00:00Z", 2), [
    "2026-07-03T13:00",
    "2026-07-06T13:00",
  ]);
  assert.deepEqual(ticks({ cron: "@monthly", timeZone: "Asia/Kolkata" }, "2026-01-15T00:00Z", 2), [
    "2026-01-31T18:30",
    "2026-02-28T18:30",
  ]);
});

test("what the calendar does not have is passed over", () => {
  assert.deepEqual(ticks({ cron: "0 0 31 * *" }, "2026-01-31T00:00Z", 3), [
    "2026-03-31T00:00",
    "2026-05-31T00:00",
    "2026-07-31T00:00",
  ]);
  assert.deepEqual(ticks({ cron: "0 0 29 2 *" }, "2026-01-01T00:00Z", 2), ["2028-02-29T00:00", "2032-02-29T00:00"]);
  assert.deepEqual(ticks({ cron: "0 0 L * *" }, "2026-01-31T12:00Z", 2), ["2026-02-28T00:00", "2026-03-31T00:00"]);
});

test("a time of the day that a spring night does not have comes at the end of the gap; one that an autumn night has twice comes once", () => {
  const berlin = { cron: "30 2 * * *", timeZone: "Europe/Berlin" };
  assert.deepEqual(ticks(berlin, "2026-03-28T00:00Z", 3), ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]);
  assert.deepEqual(ticks(berlin, "2026-10-24T12:00Z", 2), ["2026-10-25T00:30", "2026-10-26T01:30"]);
  const newYork = { cron: "30 2 * * *", timeZone: "America/New_York" };
  assert.deepEqual(ticks(newYork, "2026-03-07T12:00Z", 2), ["2026-03-08T07:00", "2026-03-09T06:30"]);
  const early = { cron: "30 1 * * *", timeZone: "America/New_York" };
  assert.deepEqual(ticks(early, "2026-10-31T12:00Z", 2), ["2026-11-01T05:30", "2026-11-02T06:30"]);
});

test("a pattern of many times in the day goes by the hours that there are", () => {
  const halves = { cron: "*/30 * * * *", timeZone: "Europe/Berlin" };
  const spring = ticksWithin(toDefinition(halves), at("2026-03-28T22:59Z"), at("2026-03-29T22:59Z"), 1000);
  const autumn = ticksWithin(toDefinition(halves), at("2026-10-24T21:59Z"), at("2026-10-25T22:59Z"), 1000);
  assert.equal(autumn.length, 50);
  assert.equal(spring.length, 48);
  for (const times of [spring, autumn])
    for (const [i, time] of times.entries()) if (i > 0) assert.equal(time - (times[i - 1] as number), 1_800_000);
});

test("intervals lie on their start, whatever came before", () => {
  assert.deepEqual(ticks({ every: "15m" }, "2026-01-01T00:07Z", 2), ["2026-01-01T00:15", "2026-01-01T00:30"]);
  assert.deepEqual(ticks({ every: "90m", start: at("2026-01-01T00:10Z") }, "2026-01-01T00:10Z", 2), [
    "2026-01-01T01:40",
    "2026-01-01T03:10",
  ]);
  assert.deepEqual(ticks({ every: "1h", start: at("2030-01-01T00:10Z") }, "2026-01-01T00:00Z", 1), [
    "2026-01-01T00:10",
  ]);
});

test("there is no tick on days of exception, before from, or after until", () => {
  const options: ScheduleOptions = {
    cron: "0 1 * * *",
    timeZone: "Asia/Tokyo",
    except: ["2026-01-02", { from: "2026-01-04", to: "2026-01-05" }],
    from: at("2025-12-31T16:00Z"),
    until: new Date("2026-01-06T16:00Z"),
  };
  // One in the morning in Tokyo is four in the afternoon of the day before.
  assert.deepEqual(ticks(options, "2020-01-01T00:00Z", 10), [
    "2025-12-31T16:00",
    "2026-01-02T16:00",
    "2026-01-05T16:00",
    "2026-01-06T16:00",
  ]);
  assert.equal(nextTick(toDefinition(options), at("2026-01-06T16:00Z")), undefined);
  assert.equal(nextTick(toDefinition({ cron: "0 0 30 2 *" }), at("2026-01-01T00:00Z")), undefined);
  const never: ScheduleOptions = { every: "1h", except: [{ from: "2026-01-01", to: "2026-12-31" }] };
  assert.deepEqual(ticks(never, "2026-06-01T00:00Z", 1), ["2027-01-01T00:00"]);
});

test("each tick is the first one behind the one before, from wherever one looks", () => {
  const timings = [
    { cron: "*/7 3-5 * * *", timeZone: "Europe/Berlin" },
    { cron: "15,45 */2 * 3,10 *", timeZone: "America/New_York" },
    { cron: "10 30 1 * * 1#2", timeZone: "Australia/Lord_Howe" },
    { every: 61_000 },
  ];
  const instants = fc.integer({ min: at("2026-01-01T00:00Z"), max: at("2027-01-01T00:00Z") });
  fc.assert(
    fc.property(
      fc.constantFrom(...timings),
      instants,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (timing, from, part) => {
        const definition = toDefinition(timing);
        const tick = nextTick(definition, from) as number;
        assert.ok(tick > from);
        const between = Math.floor(from + (tick - 1 - from) * part);
        assert.equal(nextTick(definition, between), tick);
        assert.ok((nextTick(definition, tick) as number) > tick);
      },
    ),
    { numRuns: 300 },
  );
});

test("jitter is below its bound, the same each time, and not the same for all", () => {
  const definition = toDefinition({ every: "1m", jitter: "30s" });
  const jitters = Array.from({ length: 200 }, (_, i) => jitterOf("s", i * 60_000, definition));
  assert.deepEqual(
    jitters,
    jitters.map((_, i) => jitterOf("s", i * 60_000, definition)),
  );
  assert.ok(jitters.every((ms) => ms >= 0 && ms < 30_000));
  assert.ok(Math.max(...jitters) > 25_000 && Math.min(...jitters) < 5000);
  assert.notEqual(jitterOf("s", 0, definition), jitterOf("t", 0, definition));
});

test("a definition that cannot be is refused by name", () => {
  const refused: readonly (readonly [object, RegExp])[] = [
    [{}, /cron/],
    [{ cron: "61 * * * *" }, /cron/],
    [{ cron: "every day" }, /cron/],
    [{ cron: "2026-01-01T00:00:00" }, /cron/],
    [{ cron: "? * * * *" }, /cron/],
    [{ cron: "* * * * *", every: "1m" }, /every/],
    [{ cron: "* * * * *", timeZone: "Mars/Base" }, /timeZone/],
    [{ every: 10 }, /every/],
    [{ every: "1m", start: Number.NaN }, /start/],
    [{ every: "1m", except: ["2026-06-31"] }, /except\[0\]/],
    [{ every: "1m", except: [{ from: "2026-06-30", to: "2026-06-01" }] }, /except\[0\]\.to/],
    [{ every: "1m", overlap: "both" }, /overlap/],
    [{ every: "1m", catchUp: 0 }, /catchUp/],
    [{ every: "1m", timezone: "UTC" }, /timezone/],
    [{ every: "1m", maxQueued: 0 }, /maxQueued/],
  ];
  for (const [options, message] of refused) assert.throws(() => toDefinition(options as ScheduleOptions), message);
});
