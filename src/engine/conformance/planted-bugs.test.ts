import assert from "node:assert/strict";
import { test } from "node:test";
import { createEngine } from "../engine.ts";
import { createMemoryDriver, MemoryStore } from "../memory/index.ts";
import { conformance } from "./suite.ts";
import { plantedBugs } from "./testing/planted-bugs.ts";

for (const { what, plant, contract, noticedBy } of plantedBugs) {
  test(`the suite notices that ${what}`, async () => {
    const store = new MemoryStore();
    const open = async () => {
      const driver = createMemoryDriver(store);
      return createEngine({ ...driver, ...plant(driver) });
    };
    await using suite = conformance({ open, patienceMs: 500 });
    const found = suite.cases.find((each) => each.contract === contract && each.name === noticedBy);
    assert.ok(found, `there is no case "${contract}: ${noticedBy}"`);
    await assert.rejects(found.run(), (error) => !(error instanceof TypeError));
  });
}
