import assert from "node:assert/strict";
import { sleep } from "../../core/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../simulation/index.ts";
import { createRateLimiter, type RateLimiter } from "../index.ts";
import { assertBounded, assertWindows, bookOf, noted, openBook } from "./admissions.ts";

const per = 500;
const limit = 6;
const burst = 4;
const algorithms = ["token-bucket", "fixed-window", "sliding-window", "sliding-log"] as const;
type ByAlgorithm = Record<(typeof algorithms)[number], RateLimiter>;

/**
 * Processes that crash, stop and have wrong clocks take from one key of each algorithm, over a bad connection. Nobody gets more than the limit in any span of true time, and when
 * all is well again takes are allowed within the time for the whole limit.
 */
export const exact: Scenario = {
  name: "rate limits, exact",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { taker: { count: 3, start: (node) => void takeOn(node) } },
  workload: { clients: 2, operations: 25, think: 60, setup: openBook, operation: takeOne },
  eventually: {
    "nobody got more than the limit": bounded,
    "takes are allowed again": allowedAgain,
  },
};

function limitersOf({ engine }: { readonly engine: World["engine"] }): ByAlgorithm {
  const create = (algorithm: (typeof algorithms)[number]) =>
    createRateLimiter(engine, algorithm, {
      limit,
      per,
      algorithm,
      ...(algorithm === "token-bucket" && { burst }),
    });
  return Object.fromEntries(algorithms.map((algorithm) => [algorithm, create(algorithm)])) as unknown as ByAlgorithm;
}

async function takeOn(node: SimulatedNode): Promise<void> {
  const limiters = limitersOf(node);
  while (bookOf(node).overSince === undefined) {
    await takeSome(node, limiters).catch(() => undefined);
    await sleep(node.runtime, node.runtime.random.next() * 40);
  }
}

async function takeOne(client: SimulatedClient): Promise<void> {
  const limiters = (client.state.get(client.name) as ByAlgorithm | undefined) ?? limitersOf(client);
  client.state.set(client.name, limiters);
  await takeSome(client, limiters);
}

async function takeSome(node: SimulatedNode | SimulatedClient, limiters: ByAlgorithm): Promise<void> {
  const { random } = node.runtime;
  const algorithm = algorithms[Math.floor(random.next() * algorithms.length)] as (typeof algorithms)[number];
  const cost = random.next() < 0.7 ? 1 : 2;
  const several = Array.from({ length: 1 + Math.floor(random.next() * 3) }, () =>
    noted(node, algorithm, cost, () => limiters[algorithm].take("key", { cost })),
  );
  const failed = (await Promise.allSettled(several)).find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function bounded(world: World): boolean {
  const book = bookOf(world);
  const of = (algorithm: string) => book.admissions.get(algorithm) ?? [];
  assertBounded("token-bucket", of("token-bucket"), (length) => burst + (length * limit) / per);
  assertBounded("sliding-log", of("sliding-log"), (length) => (length < per ? limit : Number.POSITIVE_INFINITY));
  assertBounded("sliding-window", of("sliding-window"), (length) =>
    length < per ? 2 * limit - 1 : Number.POSITIVE_INFINITY,
  );
  for (const algorithm of ["fixed-window", "sliding-window"]) assertWindows(algorithm, book, per, limit);
  return true;
}

async function allowedAgain(world: World): Promise<boolean> {
  const book = bookOf(world);
  book.overSince ??= world.now;
  const limiters = limitersOf(world);
  for (const algorithm of algorithms) {
    const { allowed, retryAfterMs = 0 } = await limiters[algorithm].peek("key", {
      cost: algorithm === "token-bucket" ? burst : limit,
    });
    if (allowed) continue;
    assert.ok(retryAfterMs <= 2 * per, `${algorithm}: nothing for ${retryAfterMs} ms`);
    // What was sent before the takers stopped may arrive up to some seconds later.
    assert.ok(world.now - book.overSince < 20_000, `${algorithm}: still refused after 20 s`);
    return false;
  }
  return true;
}
