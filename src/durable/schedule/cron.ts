import { Cron } from "croner";
import { invalidArgument } from "../../core/index.ts";

/** @throws InvalidArgumentError the pattern is none, or never comes */
export function assertPattern(pattern: unknown, timeZone: string): asserts pattern is string {
  const allowed = "a cron pattern of 5 to 7 fields, or @hourly, @daily, @weekly, @monthly, @yearly";
  // A single date is no schedule; and `?` would stand for the time of reading.
  if (typeof pattern !== "string" || pattern.length > 500 || pattern.includes("?") || /^\s*\d{4}-/.test(pattern))
    throw invalidArgument("cron", pattern, allowed);
  try {
    cronOf(pattern, timeZone);
  } catch (error) {
    throw invalidArgument("cron", pattern, `${allowed} (${error instanceof Error ? error.message : error})`);
  }
}

/** The first instant of the pattern behind `after`. Daylight saving as croner has it: see the page of the block. */
export function nextOfPattern(pattern: string, timeZone: string, after: number): number | undefined {
  return cronOf(pattern, timeZone).nextRun(new Date(after))?.getTime();
}

const mostKept = 100;
const kept = new Map<string, Cron>();

function cronOf(pattern: string, timeZone: string): Cron {
  const name = `${timeZone} ${pattern}`;
  let cron = kept.get(name);
  if (cron === undefined) {
    cron = new Cron(pattern, { timezone: timeZone, paused: true });
    if (kept.size >= mostKept) kept.delete(kept.keys().next().value as string);
    kept.set(name, cron);
  }
  return cron;
}
