import assert from "node:assert/strict";
import { sleep } from "../../core/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../simulation/index.ts";
import { createRateLimiter, type RateLimiter } from "../index.ts";
import { assertBounded, bookOf, noted, openBook } from "./admissions.ts";

const per = 1_000;
const limit = 40;
const burst = 30;
const life = 150;

/**
 * Processes lease chunks of one bucket and spend them, while they crash, stop, and lose answers. What is spent in any span of true time is at most what the limit
 * allows in it; what was leased and lost comes back by itself.
 */
export const leased: Scenario = {
  name: "rate limits, leased",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { taker: { count: 3, start: (node) => void takeOn(node) } },
  workload: { clients: 2, operations: 25, think: 60, setup: openBook, operation: takeOne },
  eventually: {
    "nobody got more than the limit": bounded,
    "everything is to be had again": refilled,
  },
};

function limiterOf({ engine }: { readonly engine: World["engine"] }): RateLimiter {
  return createRateLimiter(engine, "leased", { limit, per, burst, mode: "leased", lease: { life, maxChunk: 20 } });
}

async function takeOn(node: SimulatedNode): Promise<void> {
  let limiter = limiterOf(node);
  const { runtime } = node;
  // A rush now and then, so that chunks grow, and rests, so that they expire.
  while (bookOf(node).overSince === undefined) {
    const rush = 1 + Math.floor(runtime.random.next() * 12);
    for (let i = 0; i < rush; i++) await take(node, limiter).catch(() => undefined);
    await sleep(runtime, runtime.random.next() * (runtime.random.next() < 0.2 ? 900 : 60));
    if (runtime.random.next() < 0.05) {
      void limiter.close().catch(() => undefined);
      limiter = limiterOf(node);
    }
  }
}

async function takeOne(client: SimulatedClient): Promise<void> {
  const limiter = (client.state.get(client.name) as RateLimiter | undefined) ?? limiterOf(client);
  client.state.set(client.name, limiter);
  await Promise.allSettled(Array.from({ length: 4 }, () => take(client, limiter)));
  await take(client, limiter);
}

function take(node: SimulatedNode | SimulatedClient, limiter: RateLimiter): Promise<void> {
  const cost = node.runtime.random.next() < 0.8 ? 1 : 3;
  return noted(node, "leased", cost, () => limiter.take("key", { cost }));
}

function bounded(world: World): boolean {
  // A take is spent in the instant in which it returns, however long it waited.
  const spent = (bookOf(world).admissions.get("leased") ?? []).map(({ to, cost }) => ({ from: to, to, cost }));
  assertBounded("leased", spent, (length) => burst + (length * limit) / per);
  return true;
}

async function refilled(world: World): Promise<boolean> {
  const book = bookOf(world);
  book.overSince ??= world.now;
  const { remaining, limit: most } = await limiterOf(world).peek("key");
  assert.ok(remaining === most || world.now - book.overSince < 20_000, `only ${remaining} of ${most} after 20 s`);
  return remaining === most;
}
