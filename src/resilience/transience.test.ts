import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ConflictError,
  InvalidArgumentError,
  OutcomeUnknownError,
  TimeoutError,
  UnavailableError,
} from "../core/index.ts";
import { retryAfterMs } from "./retry-after.ts";
import { isFailedResponse, tellsOfTrouble, transienceOf } from "./transience.ts";

const coded = (code: string, more: object = {}) => Object.assign(new Error(code), { code, ...more });

test("errors are judged by their kind, code, cause and status", () => {
  for (const [error, expected] of [
    [new UnavailableError("x"), "safe"],
    [new ConflictError("x"), "safe"],
    [new TimeoutError("x", { definite: false }), "doubtful"],
    [new OutcomeUnknownError("x"), "doubtful"],
    [new InvalidArgumentError("x"), "never"],
    [coded("ECONNREFUSED"), "safe"],
    [coded("EAI_AGAIN"), "safe"],
    [coded("ETIMEDOUT", { syscall: "connect" }), "safe"],
    [coded("ETIMEDOUT", { syscall: "read" }), "doubtful"],
    [coded("ECONNRESET"), "doubtful"],
    [new TypeError("fetch failed", { cause: coded("UND_ERR_CONNECT_TIMEOUT") }), "safe"],
    [new TypeError("fetch failed", { cause: coded("UND_ERR_SOCKET") }), "doubtful"],
    [new AggregateError([coded("ECONNREFUSED"), coded("ECONNREFUSED")]), "safe"],
    [new AggregateError([coded("ECONNREFUSED"), coded("ETIMEDOUT")]), "doubtful"],
    [new TypeError("undefined is not a function"), "never"],
    [new DOMException("stop", "AbortError"), "never"],
    [new Error("who knows"), "doubtful"],
    [Object.assign(new Error("x"), { status: 429 }), "safe"],
    [Object.assign(new Error("x"), { response: { status: 502 } }), "doubtful"],
    [Object.assign(new Error("x"), { statusCode: 404 }), "never"],
    ["text", "never"],
    [undefined, "never"],
  ] as const)
    assert.equal(transienceOf(error), expected, String(error));
});

test("a chain of causes that bites its tail is followed to an end", () => {
  const error = new Error("x");
  error.cause = error;
  assert.equal(transienceOf(error), "doubtful");
});

test("a conflict and a refusal do not tell of trouble, a timeout does", () => {
  assert.equal(tellsOfTrouble(new ConflictError("x")), false);
  assert.equal(tellsOfTrouble(Object.assign(new Error("x"), { status: 404 })), false);
  assert.equal(tellsOfTrouble(new TimeoutError("x")), true);
});

test("responses are failures by their status", () => {
  assert.equal(isFailedResponse(new Response(null, { status: 503 })), true);
  assert.equal(isFailedResponse(new Response(null, { status: 404 })), false);
  assert.equal(isFailedResponse(new Response("ok")), false);
  assert.equal(isFailedResponse(undefined), false);
});

test("Retry-After is read as seconds, as a date, from headers of any kind, and from details", () => {
  const now = Date.parse("Wed, 21 Oct 2015 07:28:00 GMT");
  const date = "Wed, 21 Oct 2015 07:28:30 GMT";
  assert.equal(retryAfterMs(new Response(null, { headers: { "Retry-After": "7" } }), now), 7000);
  assert.equal(retryAfterMs({ response: { headers: { "Retry-After": date } } }, now), 30_000);
  assert.equal(retryAfterMs({ headers: { "retry-after": "Wed, 21 Oct 2014 07:28:00 GMT" } }, now), 0);
  assert.equal(retryAfterMs({ details: { retryAfterMs: 12 } }, now), 12);
  for (const nonsense of ["-1", "soon", "", "1.5"])
    assert.equal(retryAfterMs({ headers: { "retry-after": nonsense } }, now), undefined);
  assert.equal(retryAfterMs(null, now), undefined);
});
