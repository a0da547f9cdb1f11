/**
 * How many milliseconds to wait before asking again, as an outcome says it: `details.retryAfterMs` of an Ashlar error, else the header `Retry-After` (RFC 9110, section
 * 10.2.3: seconds or an HTTP date) of a response or of an error's `response`. Undefined if it says nothing that can be understood.
 * @param now the wall clock, for dates
 */
export function retryAfterMs(outcome: unknown, now: number): number | undefined {
  if (typeof outcome !== "object" || outcome === null) return undefined;
  const { details, headers, response } = outcome as {
    readonly details?: { readonly retryAfterMs?: unknown } | null;
    readonly headers?: unknown;
    readonly response?: { readonly headers?: unknown } | null;
  };
  const given = details?.retryAfterMs;
  if (typeof given === "number" && given >= 0) return given;
  const text = header(headers) ?? header(response?.headers);
  return text === undefined ? undefined : parse(text.trim(), now);
}

/** Headers as `fetch` has them, or as a plain object. */
function header(headers: unknown): string | undefined {
  if (typeof headers !== "object" || headers === null) return undefined;
  const get = (headers as { readonly get?: unknown }).get;
  const value =
    typeof get === "function"
      ? (get.call(headers, "retry-after") as unknown)
      : Object.entries(headers).find(([name]) => name.toLowerCase() === "retry-after")?.[1];
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? value : undefined;
}

function parse(text: string, now: number): number | undefined {
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  // Only a date with a weekday: `Date.parse` takes much else for one.
  const date = /^[A-Z][a-z]{2,8},? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
