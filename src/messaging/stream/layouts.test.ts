import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError, sleep, systemRuntime } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createStream, type Stream, type StreamRecord } from "./index.ts";
import type { Layout } from "./layout.ts";
import { earlierThan, partitionOfKey, partitionsOf } from "./layouts.ts";

test("what comes before a partition is exactly where its keys may have been", () => {
  const counts = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 4 });
  void fc.assert(
    fc.property(counts, fc.array(fc.string(), { maxLength: 300 }), (sizes, texts) => {
      let next = 0;
      const layouts = sizes.map((count): Layout => {
        next += count;
        return [next - count, count];
      });
      for (const key of texts) {
        const places = layouts.map((layout) => partitionOfKey(layout, key));
        for (const [i, place] of places.entries())
          for (const before of places.slice(0, i)) assert.ok(earlierThan(layouts, place).includes(before));
      }
      // Nothing is waited for in vain when a number is a multiple of the one before.
      const doubled: Layout[] = [
        [0, sizes[0] as number],
        [sizes[0] as number, 2 * (sizes[0] as number)],
      ];
      for (const partition of partitionsOf(doubled[1] as Layout))
        assert.equal(earlierThan(doubled, partition).length, 1);
    }),
  );
});

for (const kind of storeKinds) describe(`layouts of streams on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = systemRuntime.clock.monotonic() + 20_000; !(await holds()); ) {
    assert.ok(systemRuntime.clock.monotonic() < end, "waited for 20 s");
    await sleep(systemRuntime, 2);
  }
}

const consumed = (stream: Stream<number>, group: string) =>
  until(async () => {
    const info = await stream.groups.info(group);
    return info !== undefined && info.lag === 0 && info.partitions.every(({ position }) => position !== undefined);
  });

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => ({ value: from + i, key: `k${(from + i) % 7}` }));

function noting(seen: Map<string, number[]>) {
  return (records: readonly StreamRecord<number>[]) => {
    for (const { key = "", value } of records) seen.set(key, [...(seen.get(key) ?? []), value]);
  };
}

const inOrder = (to: number) =>
  new Map(
    Array.from({ length: 7 }, (_, k) => [
      `k${k}`,
      numbered(0, to).flatMap(({ value }) => (value % 7 === k ? [value] : [])),
    ]),
  );

const sorted = (seen: Map<string, number[]>) => new Map([...seen].sort(([a], [b]) => (a < b ? -1 : 1)));

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "laid out anew while producers, a group and a live reader go on, the records of a key keep their order",
    on(async (a, b) => {
      const here = createStream<number>(a, "s", { partitions: 2 });
      const there = createStream<number>(b, "s", { partitions: 2 });
      await here.appendMany(numbered(0, 100));
      const seen = new Map<string, number[]>();
      const read = new Map<string, number[]>();
      let count = 0;
      await using _one = here.consume("g", noting(seen), { batch: 3 });
      const reading = (async () => {
        for await (const record of there.read({ live: true })) {
          noting(read)([record]);
          if (++count === 500) return;
        }
      })();
      await there.appendMany(numbered(100, 200));
      await here.repartition(6);
      // This process does not know yet.
      await there.appendMany(numbered(200, 300));
      await using _two = there.consume("g", noting(seen), { batch: 3 });
      await there.repartition(3);
      await here.append(300, { key: "k6" });
      await a.transact(async (tx) => void (await here.append(301, { key: "k0", tx })));
      await here.appendMany(numbered(302, 500));
      await consumed(here, "g");
      await reading;
      assert.deepEqual(sorted(seen), inOrder(500));
      assert.deepEqual(sorted(read), inOrder(500));
      const partitions = await here.partitions();
      assert.deepEqual(
        partitions.map(({ sealed }) => sealed),
        [...Array(8).fill(true), false, false, false],
      );
      const again = new Map<string, number[]>();
      for await (const record of here.read()) noting(again)([record]);
      assert.deepEqual(sorted(again), inOrder(500));
    }),
  );

  test(
    "a transaction that appends while the stream is laid out anew is done again",
    on(async (a, b) => {
      const here = createStream<number>(a, "s", { partitions: 1 });
      await here.append(0);
      let runs = 0;
      const appended = await a.transact(async (tx) => {
        const place = await here.append(1, { tx });
        if (++runs === 1) await createStream(b, "s").repartition(2);
        return place;
      });
      assert.equal(runs, 2);
      assert.ok(appended.partition > 0);
      assert.equal((await here.partitions())[0]?.next, 1);
    }),
  );

  test(
    "a group that begins at the end misses nothing of what is laid out later; one that is new then begins where it says",
    on(async (a) => {
      const stream = createStream<number>(a, "s", { partitions: 2 });
      await stream.appendMany(numbered(0, 20));
      const seen: number[] = [];
      const note = (records: readonly StreamRecord<number>[]) => void seen.push(...records.map(({ value }) => value));
      const consumer = stream.consume("late", note, { from: "end" });
      await consumed(stream, "late");
      await consumer.close();
      await stream.repartition(4);
      await stream.appendMany(numbered(20, 40));
      await using _later = stream.consume("late", note, { from: "end" });
      await consumed(stream, "late");
      assert.deepEqual(
        seen.toSorted((x, y) => x - y),
        numbered(20, 40).map(({ value }) => value),
      );
      const none: number[] = [];
      await using _new = stream.consume("new", (records) => void none.push(records.length), { from: "end" });
      await consumed(stream, "new");
      assert.deepEqual(none, []);
    }),
  );

  test(
    "what is set back is consumed again in its order; what was parked goes where its key belongs now",
    on(async (a) => {
      const stream = createStream<number>(a, "s", { partitions: 2 });
      await stream.appendMany(numbered(0, 50));
      await stream.repartition(5);
      await stream.appendMany(numbered(50, 100));
      const seen = new Map<string, number[]>();
      let broken = true;
      await using _consumer = stream.consume(
        "g",
        (records) => {
          if (broken && records.some(({ value }) => value === 10)) throw new Error("broken");
          noting(seen)(records);
        },
        { retry: { attempts: 1 }, onFailure: "park", batch: 1 },
      );
      await consumed(stream, "g");
      broken = false;
      assert.equal(await stream.groups.redrive("g"), 1);
      await until(() => seen.get("k3")?.at(-1) === 10);
      seen.clear();
      await stream.groups.seek("g", "start");
      await consumed(stream, "g");
      const expected = inOrder(100);
      expected.get("k3")?.push(10);
      assert.deepEqual(sorted(seen), expected);
    }),
  );

  test(
    "a layout of which nothing is left goes, and with it what groups knew of it",
    on(async (a) => {
      const stream = createStream<number>(a, "s", { partitions: 2, retention: { records: 10 } });
      await stream.appendMany(numbered(0, 50));
      await using consumer = stream.consume("g", () => {});
      await consumed(stream, "g");
      await stream.repartition(3);
      await stream.repartition(3);
      await stream.appendMany(numbered(50, 60));
      const timed = createStream<number>(a, "s", { retention: 0 });
      await sleep(systemRuntime, 5);
      await timed.trim();
      assert.deepEqual(
        (await stream.partitions()).map(({ partition }) => partition),
        [2, 3, 4],
      );
      await consumed(stream, "g");
      await until(() => consumer.owned.size === 3);
      assert.deepEqual([...consumer.owned].toSorted(), [2, 3, 4]);
      await stream.append(60, { key: "k" });
      await consumed(stream, "g");
      const positions = await Array.fromAsync(a.scope("stream", "s").kv.list({ prefix: ["position", "g"] }));
      assert.deepEqual(
        positions.map(({ key }) => key[2]),
        [2, 3, 4],
      );
    }),
  );

  test(
    "so many layouts and no more",
    on(async (a) => {
      const stream = createStream<number>(a, "s", { partitions: 1 });
      await a.scope("stream", "s").kv.set(
        ["partitions"],
        Array.from({ length: 100 }, (_, i) => [i, 1]),
      );
      await assert.rejects(stream.repartition(2), (error) => isAshlarError(error, "LIMIT"));
    }),
  );
}
