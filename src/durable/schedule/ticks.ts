import { createHash } from "node:crypto";
import { nextOfPattern } from "./cron.ts";
import type { Definition } from "./definition.ts";

/** Ticks on days of exception that are passed over in one search: more than a year of minutes. */
const mostPassedOver = 1_000_000;

/** The first tick behind `after`, if there is one. */
export function nextTick(definition: Definition, after: number): number | undefined {
  const { from, until, except } = definition;
  let at = from === undefined ? after : Math.max(after, from - 1);
  for (let passed = 0; passed < mostPassedOver; passed++) {
    const next = nextInstant(definition, at);
    if (next === undefined || (until !== undefined && next > until)) return undefined;
    if (except.length === 0) return next;
    const day = dayOf(next, definition.timeZone);
    if (!except.some(([first, last]) => first <= day && day <= last)) return next;
    at = next;
  }
  return undefined;
}

/** Ticks behind `after` and not behind `to`, the first `most` of them. */
export function ticksWithin(definition: Definition, after: number, to: number, most: number): number[] {
  const ticks: number[] = [];
  for (let at = nextTick(definition, after); at !== undefined && at <= to; at = nextTick(definition, at)) {
    ticks.push(at);
    if (ticks.length === most) break;
  }
  return ticks;
}

/** By how much the run of a tick is put off: the same for whoever reckons it. */
export function jitterOf(name: string, time: number, { jitter }: Definition): number {
  if (jitter === 0) return 0;
  const hash = createHash("sha256").update(`${name}\n${time}`).digest();
  return Math.floor((hash.readUIntBE(0, 6) / 2 ** 48) * jitter);
}

function nextInstant({ timing, timeZone }: Definition, after: number): number | undefined {
  if ("cron" in timing) return nextOfPattern(timing.cron, timeZone, after);
  const { every, start } = timing;
  return start + (Math.floor((after - start) / every) + 1) * every;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** The day of the instant, as clocks there show it: "2026-12-25". */
function dayOf(time: number, timeZone: string): string {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });
    formats.set(timeZone, format);
  }
  return format.format(time);
}
