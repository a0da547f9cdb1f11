import { invalidArgument } from "./errors.ts";

/** Milliseconds as a number, or a string such as "250ms", "30s", "1.5h". */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const millisecondsPerUnit: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const pattern = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/**
 * The duration in milliseconds, possibly fractional.
 * @param name the argument's name as its caller knows it, for the message
 * @param bounds inclusive, in milliseconds; default 0 to the greatest safe integer
 * @throws InvalidArgumentError not a duration, not finite, or out of bounds
 */
export function toMilliseconds(
  duration: Duration,
  name: string,
  bounds?: { readonly min?: number; readonly max?: number },
): number {
  const min = bounds?.min ?? 0;
  const max = bounds?.max ?? Number.MAX_SAFE_INTEGER;
  const milliseconds = typeof duration === "number" ? duration : parse(duration);
  if (milliseconds >= min && milliseconds <= max) return milliseconds;
  throw invalidArgument(
    name,
    duration,
    `${describeBounds(bounds)} as milliseconds or as a string such as "30s" (units: ms, s, m, h, d)`,
  );
}

/** NaN if it is no duration. */
function parse(text: unknown): number {
  const match = typeof text === "string" ? pattern.exec(text) : null;
  if (match === null) return Number.NaN;
  return Number(match[1]) * (millisecondsPerUnit[match[2] ?? ""] ?? Number.NaN);
}

function describeBounds(bounds: { readonly min?: number; readonly max?: number } | undefined): string {
  const min = bounds?.min ?? 0;
  return bounds?.max === undefined
    ? `a duration of ${min} ms or more,`
    : `a duration of ${min} ms to ${bounds.max} ms,`;
}
