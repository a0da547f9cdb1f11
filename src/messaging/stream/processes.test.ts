import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { storeKinds } from "../../../test/stores.ts";
import type { Engine } from "../../engine/index.ts";
import { createStream, type Stream } from "./index.ts";

/** How long members are killed: a few seconds, or as long as one likes. */
const seconds = Number(process.env["ASHLAR_CHAOS_SECONDS"] ?? 5);
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
    const killers = Array.from({ length: members }, () => killAgainAndAgain(t, store.url as string, end));
    const appended = await produce(source, end);
    const kills = (await Promise.all(killers)).reduce((sum, times) => sum + times, 0);
    start(t, store.url as string);
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

async function killAgainAndAgain(t: TestContext, url: string, end: number): Promise<number> {
  let kills = 0;
  while (performance.now() < end) {
    const child = start(t, url);
    const life = 1200 + Math.random() * 1800;
    await new Promise((resolve) => setTimeout(resolve, Math.min(life, end - performance.now() + 100)));
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await ended;
    kills++;
  }
  return kills;
}

function start(t: TestContext, url: string): ChildProcess {
  const path = fileURLToPath(new URL("./testing/member-process.ts", import.meta.url));
  const child = spawn(process.execPath, [path, url], { stdio: ["ignore", "ignore", "inherit"] });
  t.after(() => {
    child.kill("SIGKILL");
  });
  return child;
}
