import { UsageError } from "./command.ts";

/** A place in a log: its start, its end, an offset or a time. */
export type Place = "start" | "end" | { readonly offset: number } | { readonly time: number };

/** @throws UsageError no place */
export function toPlace(text: string, name: string): Place {
  if (text === "start" || text === "end") return text;
  if (/^\d+$/.test(text)) return { offset: Number(text) };
  const time = Date.parse(text);
  if (Number.isNaN(time))
    throw new UsageError(`${name}: given ${JSON.stringify(text)}; allowed: start, end, an offset, or a time`);
  return { time };
}
