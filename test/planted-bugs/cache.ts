import type { CheckResult, History } from "../../src/check/index.ts";
import { isAshlarError } from "../../src/core/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { request, serve } from "./request.ts";

interface CachePractice {
  /** Milliseconds for which a value may be served again. */
  readonly valueMs: number;
  /** Milliseconds for which the absence of a value may be served again. */
  readonly absenceMs: number;
}

interface Cached {
  readonly value: number | null;
  readonly until: number;
}

const port = 1;
const freshMs = 400;
/** A clock may be 1 % too slow. */
const bound = 1.02 * freshMs;

/**
 * Read-through caches, told of changes by messages that may be lost. What they serve was true at most `bound` milliseconds ago. Each client writes keys of its own
 * with growing numbers, so a reader can tell the age of what it gets.
 */
function caches(practice: CachePractice): Scenario {
  return {
    name: "read-through cache",
    faults: ["network", "engine", "process", "clock"],
    nodes: { cache: { count: 2, start: (node) => startCache(node, practice) } },
    workload: { clients: 3, operations: 25, think: 80, operation: readOrWrite },
    checks: [{ name: "bounded staleness", check: fresh }],
  };
}

function startCache(node: SimulatedNode, { valueMs, absenceMs }: CachePractice): void {
  const { engine, runtime } = node;
  const cached = new Map<string, Cached>();
  void listen(node, (key) => cached.delete(key));
  serve(node, port, async (body) => {
    const key = body as string;
    const now = runtime.clock.monotonic();
    const found = cached.get(key);
    if (found && now < found.until) return found.value;
    // The value is from after this instant.
    const value = (await engine.kv.get<number>([key]))?.value ?? null;
    cached.set(key, { value, until: now + (value === null ? absenceMs : valueMs) });
    return value;
  });
}

async function listen({ engine }: SimulatedNode, changed: (key: string) => void): Promise<void> {
  for (;;) {
    try {
      await using changes = await engine.bus.subscribe<string>("changed");
      for await (const { payload } of changes) changed(payload);
    } catch (error) {
      if (!isAshlarError(error)) throw error;
    }
  }
}

async function readOrWrite(client: SimulatedClient): Promise<void> {
  const { engine, runtime, index, operation } = client;
  const which = Math.floor(runtime.random.next() * 2);
  if (runtime.random.next() < 0.3) {
    const key = `key-${index}-${which}`;
    await client.record({ name: "set", key, input: operation }, async () => {
      await engine.transact((tx) => tx.set([key], operation));
    });
    await engine.bus.publish("changed", key);
  } else {
    const key = `key-${Math.floor(runtime.random.next() * 3)}-${which}`;
    const cache = `cache-${Math.floor(runtime.random.next() * 2)}`;
    await client.record({ name: "get", key }, () => request<number | null>(client, cache, port, key));
  }
}

function fresh(history: History): CheckResult {
  const stale = history.filter((read) => {
    if (read.name !== "get" || read.outcome !== "ok") return false;
    const oldEnough = (read.time?.[0] ?? 0) - bound;
    const value = typeof read.output === "number" ? read.output : -1;
    return history.some(
      (write) =>
        write.name === "set" &&
        write.outcome === "ok" &&
        write.key === read.key &&
        (write.time?.[1] ?? Number.POSITIVE_INFINITY) < oldEnough &&
        (write.input as number) > value,
    );
  });
  const ok = stale.length === 0;
  return {
    check: "bounded staleness",
    verdict: ok ? "ok" : "violated",
    summary: ok ? `nothing read is older than ${bound} ms` : `${stale.length} reads are older than ${bound} ms`,
    explanation: stale.map(({ key, output, time }) => `${key} was read as ${output} at ${time?.[0]}`),
    operations: stale,
  };
}

const correct = caches({ valueMs: freshMs, absenceMs: freshMs });

export const cachedForever: PlantedBug = {
  name: "lost-invalidation",
  what: "a cache serves a value until it is told of a change, and the message is lost",
  within: 40,
  correct,
  planted: caches({ valueMs: Number.POSITIVE_INFINITY, absenceMs: freshMs }),
};

export const negativeCaching: PlantedBug = {
  name: "negative-caching",
  what: "that a key is absent is remembered without an end, as if it could never come into being unnoticed",
  within: 50,
  correct,
  planted: caches({ valueMs: freshMs, absenceMs: Number.POSITIVE_INFINITY }),
};
