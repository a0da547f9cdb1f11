import assert from "node:assert/strict";
import diagnostics from "node:diagnostics_channel";
import { test } from "node:test";
import { OutcomeUnknownError, UnavailableError } from "../core/index.ts";
import { createManualRuntime } from "../core/testing/manual-runtime.ts";
import type { Engine } from "../engine/index.ts";
import { openMemory } from "../engine/memory/index.ts";
import { createLocalRateLimiter, createRateLimiter, type RateLimiterOptions, takeAll } from "./index.ts";

/** An engine that counts commits, and fails them on demand. */
function watched(engine: Engine) {
  const seen = { commits: 0, fail: undefined as Error | undefined };
  const kv = new Proxy(engine.kv, {
    get(target, name) {
      if (name !== "tryCommit") return Reflect.get(target, name).bind(target);
      return async (...args: Parameters<Engine["kv"]["tryCommit"]>) => {
        seen.commits++;
        if (seen.fail !== undefined) throw seen.fail;
        return target.tryCommit(...args);
      };
    },
  });
  const wrapped = { ...engine, kv, runtime: engine.runtime, now: () => engine.now() } as Engine;
  return { seen, engine: wrapped };
}

function create(options: Partial<RateLimiterOptions> = {}) {
  const runtime = createManualRuntime();
  const { engine, seen } = watched(openMemory({ runtime }));
  return { runtime, engine, seen, limiter: createRateLimiter(engine, "test", { limit: 4, per: "1s", ...options }) };
}

test("a take is one commit, whatever the algorithm", async () => {
  for (const algorithm of ["token-bucket", "fixed-window", "sliding-window", "sliding-log"] as const) {
    const { seen, limiter } = create({ algorithm });
    for (let i = 1; i <= 4; i++) {
      assert.equal((await limiter.take("a")).allowed, true);
      assert.equal(seen.commits, i, algorithm);
    }
  }
});

test("a refusal is repeated without the engine until something frees up, but not longer than asked", async () => {
  const { runtime, seen, limiter } = create();
  await limiter.take("a", { cost: 4 });
  assert.equal((await limiter.take("a", { cost: 2 })).retryAfterMs, 500);
  await runtime.advance(100);
  assert.equal((await limiter.take("a", { cost: 3 })).retryAfterMs, 400);
  assert.equal(seen.commits, 2);
  // A smaller one may be possible earlier, another key at once.
  assert.equal((await limiter.take("a")).retryAfterMs, 150);
  assert.equal((await limiter.take("b")).allowed, true);
  assert.equal(seen.commits, 4);
  await runtime.advance(400);
  assert.equal((await limiter.take("a", { cost: 2 })).allowed, true);
  await limiter.block("a", "1h");
  await limiter.take("a");
  const before = seen.commits;
  await runtime.advance(999);
  await limiter.take("a");
  assert.equal(seen.commits, before);
  await runtime.advance(1);
  await limiter.take("a");
  assert.equal(seen.commits, before + 1);
  await limiter.reset("a");
  assert.equal((await limiter.take("a")).allowed, true);
});

test("when the engine does not answer: an error, a refusal, a yes, or what a local limit says", async () => {
  const runtime = createManualRuntime();
  for (const error of [new UnavailableError("away"), new OutcomeUnknownError("lost")]) {
    const thrown = create();
    thrown.seen.fail = error;
    await assert.rejects(thrown.limiter.take("a"), error);
    const refused = create({ onUnavailable: "refuse" });
    refused.seen.fail = error;
    const no = await refused.limiter.take("a");
    assert.deepEqual([no.allowed, no.unavailable, no.retryAfterMs], [false, true, 1_000]);
    const allowed = create({ onUnavailable: "allow" });
    allowed.seen.fail = error;
    const yes = await allowed.limiter.take("a");
    assert.deepEqual([yes.allowed, yes.unavailable], [true, true]);
    const local = create({ onUnavailable: createLocalRateLimiter({ limit: 1, per: "1s", runtime }) });
    local.seen.fail = error;
    assert.equal((await local.limiter.take("a")).allowed, true);
    assert.equal((await local.limiter.take("a")).allowed, false);
    local.seen.fail = undefined;
    assert.equal((await local.limiter.take("a")).unavailable, undefined);
    assert.equal((await takeAll([{ limiter: refused.limiter, key: "a" }])).allowed, false);
  }
  const wrong = create({ onUnavailable: "allow" });
  wrong.seen.fail = new TypeError("a mistake");
  await assert.rejects(wrong.limiter.take("a"), TypeError);
});

test("an abort rejects with its reason, and so does one before the take", async () => {
  const { limiter, seen } = create({ onUnavailable: "allow" });
  const gone = new AbortController();
  gone.abort(new Error("gone"));
  await assert.rejects(limiter.take("a", { signal: gone.signal }), { message: "gone" });
  await assert.rejects(takeAll([{ limiter, key: "a" }], { signal: gone.signal }), { message: "gone" });
  assert.equal(seen.commits, 0);
});

test("chunks grow under demand, and most takes ask nobody", async () => {
  const { runtime, seen, limiter } = create({ limit: 10_000, per: "1s", mode: "leased" });
  for (let i = 0; i < 8_000; i++) assert.equal((await limiter.take("a")).allowed, true);
  assert.ok(seen.commits < 40, String(seen.commits));
  // A rest: what was leased expires, and smaller chunks are enough.
  for (let i = 0; i < 20; i++) {
    await runtime.advance(2_000);
    await limiter.take("a");
  }
  const { remaining, limit } = await limiter.peek("a");
  assert.ok(limit - remaining < 10, `${remaining} of ${limit}`);
});

test("with too many keys for leases, further ones are counted exactly", async () => {
  const { limiter, seen } = create({ limit: 1_000, per: "1s", mode: "leased", lease: { maxKeys: 2 } });
  for (let i = 0; i < 8; i++) for (const key of ["a", "b"]) await limiter.take(key);
  const before = seen.commits;
  for (let i = 0; i < 10; i++) await limiter.take("c");
  assert.equal(seen.commits - before, 10);
});

test("a leased take that is refused says for how long, and a block stops what is held", async () => {
  const { runtime, limiter } = create({ limit: 100, per: "1s", mode: "leased", lease: { life: 100, maxChunk: 20 } });
  let allowed = 0;
  for (let i = 0; i < 200; i++) if ((await limiter.take("a")).allowed) allowed++;
  assert.equal(allowed, 90);
  const { retryAfterMs } = await limiter.take("a");
  assert.ok(retryAfterMs !== undefined && retryAfterMs > 0 && retryAfterMs <= 10, String(retryAfterMs));
  await runtime.advance(1_000);
  await limiter.take("a");
  await limiter.block("a", "10s");
  assert.equal((await limiter.take("a")).allowed, false);
  await runtime.advance(10_100);
  assert.equal((await limiter.take("a")).allowed, true);
});

test("refusals are announced", async () => {
  const heard: unknown[] = [];
  const listen = (message: unknown): void => void heard.push(message);
  diagnostics.subscribe("ashlar:ratelimit:refused", listen);
  const { limiter } = create({ limit: 1 });
  await limiter.take("a");
  await limiter.take("a");
  diagnostics.unsubscribe("ashlar:ratelimit:refused", listen);
  assert.deepEqual(heard, [{ limiter: "test", key: "a", cost: 1, retryAfterMs: 1_000, remaining: 0 }]);
});

test("options that make no sense are refused", () => {
  const engine = openMemory();
  const wrong: object[] = [
    { limit: 1, per: "1s", mode: "lease" },
    { limit: 1, per: "1s", lease: {} },
    { limit: 100, per: "1s", mode: "leased", algorithm: "fixed-window" },
    { limit: 100, per: "1s", mode: "leased", lease: { life: "2s" } },
    { limit: 100, per: "1s", mode: "leased", lease: { maxChunk: 1_000 } },
    { limit: 1, per: "1s", mode: "leased" },
    { limit: 1, per: "1s", onUnavailable: "open" },
    { limit: 1, per: "1s", onUnavailabel: "allow" },
  ];
  for (const options of wrong)
    assert.throws(() => createRateLimiter(engine, "x", options as RateLimiterOptions), { code: "INVALID_ARGUMENT" });
  assert.throws(() => createRateLimiter(engine, "", { limit: 1, per: "1s" }), { code: "INVALID_ARGUMENT" });
});

test("takeAll refuses what cannot be one commit", async () => {
  const { limiter } = create();
  const elsewhere = create().limiter;
  await assert.rejects(
    takeAll([
      { limiter, key: "a" },
      { limiter, key: "a" },
    ]),
    { code: "INVALID_ARGUMENT" },
  );
  await assert.rejects(
    takeAll([
      { limiter, key: "a" },
      { limiter: elsewhere, key: "a" },
    ]),
    { code: "INVALID_ARGUMENT" },
  );
  assert.equal((await takeAll([])).allowed, true);
});
