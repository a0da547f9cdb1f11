import assert from "node:assert/strict";
import { it } from "node:test";
import { fullJitter } from "./backoff.ts";
import { createManualRuntime } from "./testing/manual-runtime.ts";

const chance = (next: number) => ({ random: { next: () => next, bytes: (n: number) => new Uint8Array(n) } });

it("the bound doubles with each attempt up to the cap", () => {
  const bounds = { base: 10, cap: 100 };
  const highest = [0, 1, 2, 3, 4, 5000].map((attempt) => fullJitter(chance(1), attempt, bounds));
  assert.deepEqual(highest, [10, 20, 40, 80, 100, 100]);
});

it("the wait is spread over the whole range from 0", () => {
  const runtime = createManualRuntime();
  const waits = Array.from({ length: 1000 }, () => fullJitter(runtime, 2, { base: 25, cap: 1000 }));
  assert.ok(Math.min(...waits) < 5 && Math.max(...waits) > 95 && Math.max(...waits) < 100);
  const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length;
  assert.ok(Math.abs(mean - 50) < 5);
});
