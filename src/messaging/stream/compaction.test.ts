import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { sleep, systemRuntime } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createStream, type Stream, type StreamRecord } from "./index.ts";

for (const kind of storeKinds)
  describe(`compaction of streams on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));

const at = { compaction: { after: 0, tombstones: 0 } } as const;
const keepTombstones = { compaction: { after: 0, tombstones: "1h" } } as const;

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = systemRuntime.clock.monotonic() + 20_000; !(await holds()); ) {
    assert.ok(systemRuntime.clock.monotonic() < end, "waited for 20 s");
    await sleep(systemRuntime, 2);
  }
}

const versions = (from: number, to: number, keys = 5) =>
  Array.from({ length: to - from }, (_, i) => ({ value: from + i, key: `k${(from + i) % keys}` }));

const shown = (records: readonly StreamRecord<unknown>[]) =>
  records.map(({ key, value }) => `${key}=${value}`).toSorted();

const read = (stream: Stream<number | null>) => Array.fromAsync(stream.read());

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "the latest record of each key is kept with its place, what is older goes, and what is young enough stays",
    on(async (a, b) => {
      const stream = createStream<number | null>(a, "s", { partitions: 2, ...at });
      const young = createStream<number | null>(b, "s", { compaction: { after: "1h" } });
      await stream.appendMany(versions(0, 1000));
      await young.trim();
      assert.equal((await read(stream)).length, 1000);
      const before = await read(stream);
      await sleep(systemRuntime, 5);
      await Promise.all([stream.trim(), createStream(b, "s", at).trim()]);
      const kept = await read(stream);
      assert.deepEqual(shown(kept), ["k0=995", "k1=996", "k2=997", "k3=998", "k4=999"]);
      for (const record of kept)
        assert.deepEqual(
          record,
          before.find(({ value }) => value === record.value),
        );
      await stream.appendMany(versions(1000, 1003));
      assert.deepEqual(shown(await read(stream)).length, 8);
      await sleep(systemRuntime, 5);
      await stream.trim();
      assert.deepEqual(shown(await read(stream)), ["k0=1000", "k1=1001", "k2=1002", "k3=998", "k4=999"]);
      const entries = await Array.fromAsync(a.scope("stream", "s").kv.list({ prefix: ["kept"] }));
      assert.equal(entries.length, 5);
    }),
  );

  test(
    "a group that begins, or goes on, in what was compacted gets the latest of each key, and goes on with what comes",
    on(async (a) => {
      const stream = createStream<number | null>(a, "s", { partitions: 1, ...at });
      const table = new Map<string, number | null>();
      const counts = new Map<string, number>();
      const note = (records: readonly StreamRecord<number | null>[]) => {
        for (const { key = "", value } of records) {
          table.set(key, value);
          counts.set(key, (counts.get(key) ?? 0) + 1);
        }
      };
      await stream.appendMany(versions(0, 10));
      const consumer = stream.consume("g", note, { batch: 2 });
      await until(async () => (await stream.groups.info("g"))?.partitions[0]?.position === 10);
      await consumer.close();
      counts.clear();
      await stream.appendMany(versions(10, 400, 200));
      await sleep(systemRuntime, 5);
      await stream.trim();
      const lag = (await stream.groups.info("g"))?.lag ?? 0;
      assert.ok(lag >= 200 && lag <= 205, `a lag of ${lag}`);
      await using _consumer = stream.consume("g", note, { batch: 50 });
      await stream.append(-1, { key: "k7" });
      await until(async () => (await stream.groups.info("g"))?.lag === 0);
      assert.equal(counts.get("k7"), 2);
      assert.equal(counts.get("k100"), 1);
      assert.deepEqual([table.get("k7"), table.get("k100"), table.get("k199")], [-1, 300, 399]);
      const from = await Array.fromAsync(stream.read({ from: { offset: 395 } }));
      assert.deepEqual(
        from.map(({ value }) => value),
        [395, 396, 397, 398, 399, -1],
      );
    }),
  );

  test(
    "null lets a key be forgotten, after a time in which those that are behind learn of it",
    on(async (a) => {
      const stream = createStream<number | null>(a, "s", { partitions: 1, ...keepTombstones });
      await stream.appendMany(versions(0, 10));
      await stream.append(null, { key: "k3" });
      await sleep(systemRuntime, 5);
      await stream.trim();
      assert.deepEqual(shown(await read(stream)), ["k0=5", "k1=6", "k2=7", "k3=null", "k4=9"]);
      const hasty = createStream<number | null>(a, "s", at);
      await hasty.trim();
      assert.deepEqual(shown(await read(stream)), ["k0=5", "k1=6", "k2=7", "k4=9"]);
      await stream.append(3, { key: "k3" });
      await stream.append(null, { key: "k0" });
      await stream.append(0, { key: "k0" });
      await sleep(systemRuntime, 5);
      await hasty.trim();
      assert.deepEqual(shown(await read(stream)), ["k0=0", "k1=6", "k2=7", "k3=3", "k4=9"]);
      const scope = a.scope("stream", "s");
      assert.deepEqual(await Array.fromAsync(scope.kv.list({ prefix: ["forgotten"] })), []);
      assert.equal((await scope.kv.get(["keeping", 0]))?.value, 5);
    }),
  );

  test(
    "laid out anew, a key is kept once; its earlier partitions go when nothing is left in them",
    on(async (a) => {
      const stream = createStream<number | null>(a, "s", { partitions: 2, ...at });
      await stream.appendMany(versions(0, 50));
      await stream.repartition(3);
      await stream.appendMany(versions(50, 53));
      await sleep(systemRuntime, 5);
      await stream.trim();
      assert.deepEqual(shown(await read(stream)), ["k0=50", "k1=51", "k2=52", "k3=48", "k4=49"]);
      assert.equal((await stream.partitions()).length, 5);
      await stream.appendMany(versions(53, 55));
      await sleep(systemRuntime, 5);
      await stream.trim();
      assert.deepEqual(shown(await read(stream)), ["k0=50", "k1=51", "k2=52", "k3=53", "k4=54"]);
      assert.deepEqual(
        (await stream.partitions()).map(({ partition }) => partition),
        [2, 3, 4],
      );
      const left = await Array.fromAsync(a.scope("stream", "s").kv.list({ prefix: ["keeping"] }));
      assert.equal(
        left.reduce((sum, { value }) => sum + Number(value), 0),
        5,
      );
    }),
  );

  test(
    "a live reader that falls behind, and a time to begin at, find what was kept",
    on(async (a) => {
      const stream = createStream<number | null>(a, "s", { partitions: 1, ...at });
      await stream.appendMany(versions(0, 3));
      const reader = stream.read({ live: true });
      assert.equal((await reader.next()).value?.value, 0);
      await stream.appendMany(versions(3, 3000));
      await sleep(systemRuntime, 5);
      const then = await a.now();
      await sleep(systemRuntime, 5);
      await stream.appendMany(versions(3000, 3003));
      await sleep(systemRuntime, 5);
      await stream.trim();
      const seen: (number | null)[] = [];
      for await (const { value } of reader) {
        seen.push(value);
        if (value === 3002) break;
      }
      assert.ok(seen.includes(2998) && seen.includes(2999), JSON.stringify(seen.slice(-5)));
      const later = await Array.fromAsync(stream.read({ from: { time: then } }));
      assert.deepEqual(
        later.map(({ value }) => value),
        [3000, 3001, 3002],
      );
    }),
  );
}
