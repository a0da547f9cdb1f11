import { type Duration, invalidArgument, toMilliseconds } from "../core/index.ts";
import type { Verdict } from "./verdict.ts";

export interface HeaderOptions {
  /** The name of the policy in the headers: printable ASCII. Default "default". */
  readonly name?: string;
  /** The rate's `limit`, for `q` of the policy. Default: the verdict's. */
  readonly limit?: number;
  /** The rate's `per`, for `w` of the policy. Default: `w` is left out. */
  readonly per?: Duration;
  /** Also the older `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds from now). Default true. */
  readonly legacy?: boolean;
}

/**
 * The HTTP headers that tell a client about a verdict: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), `Retry-After`
 * (RFC 9110, section 10.2.3) where it was refused, and the older `X-RateLimit-*`. Times are whole seconds, rounded up, so that who obeys never comes early.
 * @throws InvalidArgumentError a name that no header can carry
 */
export function rateLimitHeaders(verdict: Verdict, options: HeaderOptions = {}): Record<string, string> {
  const { legacy = true, limit = verdict.limit } = options;
  const name = quoted(options.name ?? "default");
  const window =
    options.per === undefined
      ? ""
      : `;w=${Math.max(1, Math.ceil(toMilliseconds(options.per, "options.per", { min: 1 }) / 1000))}`;
  // `t` is when more will be there: for who was refused, when the same request may pass.
  const after = seconds(verdict.retryAfterMs ?? verdict.resetAfterMs);
  const headers: Record<string, string> = {
    "RateLimit-Policy": `${name};q=${limit}${window}`,
    RateLimit: `${name};r=${verdict.remaining};t=${after}`,
  };
  if (!verdict.allowed) headers["Retry-After"] = String(Math.max(1, after));
  if (legacy) {
    headers["X-RateLimit-Limit"] = String(verdict.limit);
    headers["X-RateLimit-Remaining"] = String(verdict.remaining);
    headers["X-RateLimit-Reset"] = String(seconds(verdict.resetAfterMs));
  }
  return headers;
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000);
}

/** A string of structured fields (RFC 9651, section 3.3.3). */
function quoted(name: string): string {
  if (typeof name !== "string" || !/^[\x20-\x7e]+$/.test(name))
    throw invalidArgument("options.name", name, "printable ASCII, at least one character");
  return `"${name.replace(/["\\]/g, "\\$&")}"`;
}
