import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { storeKinds, type TestStore } from "../../test/stores.ts";
import type { Engine } from "../engine/index.ts";
import { createLeakyBucket, createRateLimiter, takeAll } from "./index.ts";

const algorithms = ["token-bucket", "fixed-window", "sliding-window", "sliding-log"] as const;
/** So long that no window ends during a test, but for once in a hundred years of running it. */
const per = "1d";

for (const kind of storeKinds) {
  describe(`rate limits on ${kind.name}`, { skip: kind.skip }, () => {
    let store: TestStore;
    let engine: Engine;
    let other: Engine;
    before(async () => {
      store = await kind.create();
      engine = await store.open();
      other = await store.open();
    });
    after(() => store[Symbol.asyncDispose]());

    for (const algorithm of algorithms) facts(algorithm);

    function facts(algorithm: (typeof algorithms)[number]): void {
      test(`${algorithm}: two processes that take at once get exactly the limit`, async () => {
        const limiters = [engine, other].map((each) =>
          createRateLimiter(each, `exact ${algorithm}`, { limit: 10, per, algorithm, rememberRefusals: 0 }),
        );
        const verdicts = await Promise.all(
          Array.from({ length: 24 }, (_, i) => (limiters[i % 2] as (typeof limiters)[0]).take("a")),
        );
        const allowed = verdicts.filter((verdict) => verdict.allowed);
        assert.equal(allowed.length, 10);
        assert.deepEqual(
          allowed.map(({ remaining }) => remaining).sort((a, b) => a - b),
          [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        );
        for (const { allowed, limit, remaining, resetAfterMs, retryAfterMs } of verdicts) {
          assert.equal(limit, 10);
          assert.ok(resetAfterMs > 0 && resetAfterMs <= 2 * 86_400_000);
          if (allowed) assert.equal(retryAfterMs, undefined);
          else assert.ok(remaining === 0 && (retryAfterMs as number) > 0 && (retryAfterMs as number) <= resetAfterMs);
        }
        assert.equal((await limiters[0]?.take("b"))?.allowed, true);
      });

      test(`${algorithm}: cost, peek, refund, penalty, block and reset`, async () => {
        await using limiter = createRateLimiter(engine, `verbs ${algorithm}`, { limit: 10, per, algorithm });
        assert.equal((await limiter.peek("a")).remaining, 10);
        assert.equal((await limiter.take("a", { cost: 7 })).remaining, 3);
        assert.equal((await limiter.take("a", { cost: 4 })).allowed, false);
        assert.equal((await limiter.take("a", { cost: 0 })).allowed, true);
        assert.equal((await limiter.peek("a", { cost: 4 })).allowed, false);
        assert.equal((await limiter.peek("a")).remaining, 3);
        await limiter.refund("a", { cost: 2 });
        assert.equal((await limiter.take("a", { cost: 4 })).remaining, 1);
        await limiter.penalty("a", { cost: 5 });
        await assert.rejects(limiter.takeOrThrow("a"), { code: "RATE_LIMITED" });
        await limiter.refund("a", { cost: 10 });
        await limiter.refund("a", { cost: 10 });
        assert.equal((await limiter.peek("a")).remaining, 10);
        await limiter.block("a", "1h");
        await limiter.block("a", "1s");
        const blocked = await limiter.take("a");
        assert.equal(blocked.allowed, false);
        assert.ok((blocked.retryAfterMs as number) > 3_590_000, String(blocked.retryAfterMs));
        assert.equal((await limiter.peek("a")).allowed, false);
        await limiter.reset("a");
        assert.equal((await limiter.take("a", { cost: 10 })).remaining, 0);
      });

      test(`${algorithm}: a block ends`, async () => {
        await using limiter = createRateLimiter(engine, `block ${algorithm}`, { limit: 10, per, algorithm });
        const from = await engine.now();
        await limiter.block("a", 30);
        let verdict = await limiter.take("a");
        while (!verdict.allowed) {
          verdict = await limiter.take("a");
          assert.ok((await engine.now()) < from + 10_000, "it never ends");
        }
        assert.ok((await engine.now()) >= from + 29);
      });

      test(`${algorithm}: takeAll takes from all or from none`, async () => {
        const name = `all ${algorithm}`;
        const minute = createRateLimiter(engine, `${name} minute`, { limit: 10, per, algorithm });
        const day = createRateLimiter(engine, `${name} day`, { limit: 3, per: "10d", algorithm: "token-bucket" });
        const takes = [
          { limiter: minute, key: "a", cost: 2 },
          { limiter: minute, key: "b" },
          { limiter: day, key: "a" },
        ];
        for (let i = 1; i <= 3; i++) {
          const all = await takeAll(takes);
          assert.equal(all.allowed, true);
          assert.deepEqual(
            all.verdicts.map(({ remaining }) => remaining),
            [10 - 2 * i, 10 - i, 3 - i],
          );
        }
        const refused = await takeAll(takes);
        assert.deepEqual(refused.refusedBy, { index: 2, limiter: `${name} day`, key: "a" });
        assert.ok((refused.retryAfterMs as number) > 2 * 86_400_000);
        assert.deepEqual(
          refused.verdicts.map(({ remaining }) => remaining),
          [4, 7, 0],
        );
        assert.equal((await minute.peek("a")).remaining, 4);
      });
    }

    test("a token bucket refills on the engine's clock", async () => {
      await using limiter = createRateLimiter(engine, "refill", {
        limit: 50,
        per: "1s",
        burst: 3,
        rememberRefusals: 0,
      });
      const start = await engine.now();
      let allowed = 0;
      while (allowed < 12) if ((await limiter.take("a")).allowed) allowed++;
      const elapsed = (await engine.now()) - start;
      assert.ok(allowed <= 3 + (elapsed * 50) / 1000 + 1e-6, `${allowed} in ${elapsed} ms`);
    });

    test("idle keys leave nothing behind", async () => {
      for (const algorithm of algorithms) {
        await using limiter = createRateLimiter(engine, `idle ${algorithm}`, { limit: 5, per: 20, algorithm });
        await limiter.take("a");
        await limiter.penalty("a");
        await limiter.refund("a");
        const entries = await Array.fromAsync(engine.kv.list({ prefix: ["ratelimit", `idle ${algorithm}`] }));
        assert.ok(entries.length > 0);
        for (const { key, ttl } of entries) assert.ok(ttl !== undefined && ttl < 5_000, `${key.join("/")}: ${ttl}`);
      }
    });

    test("leased: two processes together never get more than the limit, and most of it", async () => {
      const limiters = [engine, other].map((each) =>
        createRateLimiter(each, "leased", { limit: 1_000, per, mode: "leased", lease: { life: "1h" } }),
      );
      let allowed = 0;
      for (let i = 0; i < 2_000; i++) if ((await limiters[i % 2]?.take("a"))?.allowed) allowed++;
      assert.ok(allowed <= 1_000 && allowed >= 950, String(allowed));
      await Promise.all(limiters.map((limiter) => limiter.close()));
      await assert.rejects((limiters[0] as (typeof limiters)[0]).take("a"), { code: "CLOSED" });
    });

    test("leased: what is not spent goes back at the close", async () => {
      const options = { limit: 1_000, per, mode: "leased", lease: { life: "1h" } } as const;
      const first = createRateLimiter(engine, "given back", options);
      for (let i = 0; i < 200; i++) await first.take("a");
      await first.close();
      await using second = createRateLimiter(other, "given back", options);
      // A moment has passed, for which a unit may be kept back from each lease.
      const { remaining, limit } = await second.peek("a");
      assert.ok(remaining >= limit - 200 - 3 && remaining <= limit - 200 + 1, `${remaining} of ${limit}`);
    });

    test("a leaky bucket gives turns to two processes one after another", async () => {
      const buckets = [engine, other].map((each) => createLeakyBucket(each, "turns", { limit: 100, per: "1s" }));
      const start = await engine.now();
      await Promise.all(Array.from({ length: 10 }, (_, i) => (buckets[i % 2] as (typeof buckets)[0]).take("a")));
      assert.ok((await engine.now()) - start >= 88, `${(await engine.now()) - start} ms`);
      await Promise.all(buckets.map((bucket) => bucket.close()));
    });
  });
}
