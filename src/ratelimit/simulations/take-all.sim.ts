import assert from "node:assert/strict";
import { sleep } from "../../core/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../simulation/index.ts";
import { createRateLimiter, takeAll } from "../index.ts";
import { assertBounded, bookOf, noted, openBook } from "./admissions.ts";

/**
 * Several limits at once, always with the same cost. Two buckets that gain at the same rate then hold the same at all times, and two windows of the same length count the
 * same, whichever of the limits refuses; and what is allowed is within each of them.
 */
export const together: Scenario = {
  name: "rate limits, all or none",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { taker: { count: 2, start: (node) => void takeOn(node) } },
  workload: { clients: 2, operations: 25, think: 60, setup: openBook, operation: (client) => take(client) },
  invariants: { "all or none": allOrNone },
  eventually: {
    "nobody got more than the limits": (world) => {
      bookOf(world).overSince ??= world.now;
      const admissions = bookOf(world).admissions.get("together") ?? [];
      assertBounded("together", admissions, (length) => 5 + (length * 10) / 1_000);
      return true;
    },
  },
};

async function takeOn(node: SimulatedNode): Promise<void> {
  while (bookOf(node).overSince === undefined) {
    await take(node).catch(() => undefined);
    await sleep(node.runtime, node.runtime.random.next() * 80);
  }
}

async function take(node: SimulatedNode | SimulatedClient): Promise<void> {
  const { engine, runtime } = node;
  const small = createRateLimiter(engine, "small", { limit: 10, per: "1s", burst: 5 });
  const large = createRateLimiter(engine, "large", { limit: 10, per: "1s", burst: 8 });
  const tight = createRateLimiter(engine, "tight", { limit: 12, per: "2s", algorithm: "fixed-window" });
  const wide = createRateLimiter(engine, "wide", { limit: 100, per: "2s", algorithm: "sliding-window" });
  const log = createRateLimiter(engine, "log", { limit: 14, per: "2s", algorithm: "sliding-log" });
  const cost = 1 + Math.floor(runtime.random.next() * 2);
  const limiters = [small, large, tight, wide, log].sort(() => runtime.random.next() - 0.5);
  await noted(node, "together", cost, () => takeAll(limiters.map((limiter) => ({ limiter, key: "key", cost }))));
}

async function allOrNone({ engine }: World): Promise<void> {
  const at = async (name: string) => (await engine.kv.get<number>(["ratelimit", name, "bucket", "key"]))?.value;
  // An entry lives as long as its bucket is deep, so the shallow one may be gone first: then both are full.
  const [small, large] = [await at("small"), await at("large")];
  if (small !== undefined) assert.equal(small, large, "one bucket was taken from without the other");
  const counts = async (name: string) =>
    Array.fromAsync(engine.kv.list<number>({ prefix: ["ratelimit", name, "window", "key"] }), ({ key, value }) => [
      key.at(-1),
      value,
    ]);
  assert.deepEqual(await counts("tight"), await counts("wide"), "one window was counted in without the other");
}
