import { after, describe, test } from "node:test";
import { type Contract, conformance } from "../conformance/index.ts";
import { createEngine } from "../engine.ts";
import { MemoryStore } from "../memory/index.ts";
import { seededRuntime } from "../testing/seeded.ts";
import { createKeyedDriver } from "./testing/keyed-driver.ts";

/** The smallest limits of a driver without a log that still leave the portable ones. */
const limits = {
  operations: 200,
  valueBytes: 260 * 1024,
  commitBytes: 1_300_000,
  listEntries: 256,
  messageBytes: 4096,
};
const contracts = new Set<Contract>(["log", "blob", "bus", "concurrency"]);

describe("the layers over a slow driver with keys alone and narrow limits", { concurrency: 6 }, () => {
  const runtime = seededRuntime(7);
  const store = new MemoryStore();
  const suite = conformance({
    open: async () => createEngine(createKeyedDriver(store, { limits, turns: 2, runtime, inFlight: 3 }), { runtime }),
  });
  after(async () => await suite[Symbol.asyncDispose]());
  for (const each of suite.cases) {
    if (contracts.has(each.contract)) test(`${each.contract}: ${each.name}`, async () => await each.run());
  }
});
