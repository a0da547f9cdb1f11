import assert from "node:assert/strict";
import { test } from "node:test";
import { rateLimitHeaders } from "./index.ts";

test("an allowed verdict as headers", () => {
  const verdict = { allowed: true, limit: 100, remaining: 40, resetAfterMs: 1_200, retryAfterMs: undefined };
  assert.deepEqual(rateLimitHeaders(verdict, { name: "api", per: "1m" }), {
    "RateLimit-Policy": '"api";q=100;w=60',
    RateLimit: '"api";r=40;t=2',
    "X-RateLimit-Limit": "100",
    "X-RateLimit-Remaining": "40",
    "X-RateLimit-Reset": "2",
  });
});

test("a refusal says when to come back, never too early and never in 0 seconds", () => {
  const verdict = { allowed: false, limit: 5, remaining: 0, resetAfterMs: 60_000, retryAfterMs: 0.2 };
  assert.deepEqual(rateLimitHeaders(verdict, { legacy: false }), {
    "RateLimit-Policy": '"default";q=5',
    RateLimit: '"default";r=0;t=1',
    "Retry-After": "1",
  });
});

test("a name is quoted, and what no header can carry is refused", () => {
  const verdict = { allowed: true, limit: 1, remaining: 0, resetAfterMs: 0, retryAfterMs: undefined };
  assert.equal(rateLimitHeaders(verdict, { name: 'a"b\\' })["RateLimit-Policy"], '"a\\"b\\\\";q=1');
  for (const name of ["", "zeile\n", "ü"])
    assert.throws(() => rateLimitHeaders(verdict, { name }), { code: "INVALID_ARGUMENT" });
});
