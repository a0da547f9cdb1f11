import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createIds } from "./ids.ts";
import { systemRuntime } from "./runtime.ts";
import { createManualRuntime } from "./testing/manual-runtime.ts";

describe("ids", () => {
  it("are 26 characters of Crockford's base 32 that begin with the time", () => {
    const runtime = createManualRuntime(1_469_918_176_385);
    // The timestamp and its encoding stand in the ULID specification.
    assert.match(createIds(runtime).next(), /^01ARYZ6S41[0-9A-HJKMNP-TV-Z]{16}$/);
  });

  it("ascend within a millisecond, over time, and while the wall clock is set back", async () => {
    const runtime = createManualRuntime();
    const ids = createIds(runtime);
    const made: string[] = [];
    for (let i = 0; i < 300; i++) {
      made.push(ids.next());
      if (i % 10 === 0) await runtime.advance(1);
      if (i === 150) runtime.setWallClock(1_600_000_000_000);
    }
    assert.deepEqual(made, [...new Set(made)].sort());
  });

  it("ascend when the random bits of a millisecond are used up", () => {
    const runtime = createManualRuntime(1000);
    const ids = createIds({
      clock: runtime.clock,
      random: { next: () => 0, bytes: (n) => new Uint8Array(n).fill(0xff) },
    });
    const [first, second, third] = [ids.next(), ids.next(), ids.next()];
    assert.ok(first.endsWith("Z".repeat(16)));
    assert.ok(first < second && second < third);
  });

  it("of two sources differ", () => {
    const [a, b] = [createIds(systemRuntime), createIds(systemRuntime)];
    assert.equal(new Set(Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? a : b).next())).size, 1000);
  });
});
