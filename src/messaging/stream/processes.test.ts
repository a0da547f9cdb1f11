import assert from "node:assert/strict";
import { test } from "node:test";
import { chaosSeconds, Mortals } from "../../../test/mortals.ts";
import { storeKinds } from "../../../test/stores.ts";
import type { Engine } from "../../engine/index.ts";
import { createStream, type Stream } from "./index.ts";

const seconds = chaosSeconds(5);
const members = 2;
const keys = 7;

for (const kind of storeKinds) {
  if (kind.name === "memory") continue;
  test(`though members are killed at random on ${kind.name}, a stream is copied exactly, in order`, {
    skip: kind.skip,
    timeout: (seconds + 60) * 1000,
  }, async (t) => {
    await using store = await kind.create();
    const engine = await store.open();
    const source = createStream<number>(engine, "source", { partitions: 4 });
    const copy = createStream<number>(engine, "copy", { partitions: 2 });
    const end = performance.now() + seconds * 1000;
    const mortals = new Mortals(t, new URL("./testing/member-process.ts", import.meta.url), store.url);
    const killers = Array.from({ length: members }, () => mortals.killAgainAndAgain(end, [1200, 3000]));
    const appended = await produce(source, end);
    const kills = (await Promise.all(killers)).reduce((sum, times) => sum + times, 0);
    mortals.start();
    const from = performance.now();
    for (;;) {
      const info = await source.groups.info("copiers");
      if (info?.lag === 0) break;
      assert.ok(performance.now() - from < 45_000, `${info?.lag} records are left`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const copied = await Array.fromAsync(copy.read());
    for (let k = 0; k < keys; k++) {
      const values = copied.filter(({ key }) => key === `k${k}`).map(({ value }) => value);
      assert.deepEqual(
        values,
        appended.filter((value) => value % keys === k),
      );
    }
    const effects = await Promise.all([0, 1, 2, 3].map((partition) => lengthOf(engine, ["effects", partition])));
    assert.equal(
      effects.reduce((sum, count) => sum + count, 0),
      appended.length,
    );
    assert.ok(kills >= members, `only ${kills} kills`);
    t.diagnostic(`${appended.length} records, ${kills} kills: copied exactly`);
  });
}

async function lengthOf(engine: Engine, topic: readonly (string | number)[]): Promise<number> {
  return (await engine.log.bounds([...topic])).next;
}

/** Never more than a few thousand records ahead of the members. */
async function produce(source: Stream<number>, end: number): Promise<number[]> {
  const appended: number[] = [];
  while (performance.now() < end) {
    const values = Array.from({ length: 50 }, (_, i) => appended.length + i);
    await source.appendMany(values.map((value) => ({ value, key: `k${value % keys}` })));
    appended.push(...values);
    while (performance.now() < end && ((await source.groups.info("copiers"))?.lag ?? 0) > 3000)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return appended;
}
