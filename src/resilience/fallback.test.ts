import assert from "node:assert/strict";
import { test } from "node:test";
import { UnavailableError } from "../core/index.ts";
import { compose } from "./compose.ts";
import { fallback } from "./fallback.ts";
import { retry } from "./retry.ts";

const down = new UnavailableError("down");

test("a value stands in for an operation that failed, or what a function makes of the error", async () => {
  assert.equal(await fallback(0).execute(() => 1), 1);
  assert.equal(await fallback(0).execute(() => Promise.reject(down)), 0);
  assert.equal(
    await fallback((error) => (error === down ? "known" : "unknown")).execute(() => Promise.reject(down)),
    "known",
  );
  assert.equal(await fallback(async () => "later").execute(() => Promise.reject(down)), "later");
});

test("mistakes of the program stay visible, unless one asks otherwise", async () => {
  const mistake = new TypeError("a mistake");
  await assert.rejects(
    fallback(0).execute(() => Promise.reject(mistake)),
    mistake,
  );
  assert.equal(await fallback(0, { fallbackIf: () => true }).execute(() => Promise.reject(mistake)), 0);
});

test("results that are failures are substituted too", async () => {
  const policy = fallback((error) => (error === undefined ? "instead" : "wrong"), {
    isFailure: (result) => result === 503,
  });
  assert.equal(await policy.execute(() => 503), "instead");
  assert.equal(await policy.execute(() => 200), 200);
});

test("after an abort from outside nobody waits for a substitute", async () => {
  const controller = new AbortController();
  const call = fallback(0).execute(
    async ({ signal }) => {
      controller.abort(new Error("gone"));
      signal.throwIfAborted();
    },
    { signal: controller.signal },
  );
  await assert.rejects(call, /gone/);
});

test("what the substitute throws comes through, and an outer policy sees it", async () => {
  let attempts = 0;
  const policy = compose(
    retry({ baseDelay: 0 }),
    fallback(() => {
      attempts++;
      throw down;
    }),
  );
  await assert.rejects(
    policy.execute(() => Promise.reject(down)),
    down,
  );
  assert.equal(attempts, 3);
});

test("bad options are refused", () => {
  assert.throws(() => fallback(0, { fallbackIf: 1 as never }), /fallbackIf/);
  assert.throws(() => fallback(0, { isFailure: 1 as never }), /isFailure/);
  assert.throws(() => fallback(0, { when: 1 } as never), /when/);
});
