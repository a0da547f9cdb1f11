import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError, sleep, systemRuntime } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createStream, type Stream, type StreamRecord } from "./index.ts";

for (const kind of storeKinds) describe(`streams on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
const quick = { retry: { attempts: 3, base: 1, cap: 2 } } as const;

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = systemRuntime.clock.monotonic() + 20_000; !(await holds()); ) {
    assert.ok(systemRuntime.clock.monotonic() < end, "waited for 20 s");
    await sleep(systemRuntime, 2);
  }
}

const consumed = (stream: Stream<never>, group: string) =>
  until(async () => {
    const info = await stream.groups.info(group);
    return info !== undefined && info.lag === 0 && info.partitions.every(({ position }) => position !== undefined);
  });

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "records of a key are in one partition, in the order of their appending, and a group consumes each once",
    on(async (a, b) => {
      const [here, there] = [
        createStream<number>(a, "s", { partitions: 4 }),
        createStream<number>(b, "s", { partitions: 4 }),
      ];
      await Promise.all(Array.from({ length: 100 }, (_, i) => here.append(i, { key: `k${i % 10}` })));
      await there.appendMany(Array.from({ length: 100 }, (_, i) => ({ value: 100 + i, key: `k${i % 10}` })));
      const handler = (
        records: readonly StreamRecord<number>[],
        { tx, partition }: { tx: Parameters<Parameters<Engine["transact"]>[0]>[0]; partition: number },
      ) => {
        for (const { key = "", value } of records) tx.append(["seen", key], [value]);
        assert.ok(records.every((record) => record.partition === partition));
      };
      await using _one = here.consume("g", handler, { batch: 7 });
      await using _two = there.consume("g", handler, { batch: 7 });
      await consumed(here as Stream<never>, "g");
      for (let k = 0; k < 10; k++) {
        const seen = (await a.log.read<number>(["seen", `k${k}`])).map(({ value }) => value);
        assert.deepEqual(
          seen,
          Array.from({ length: 20 }, (_, i) => 10 * i + k),
        );
      }
    }),
  );

  test(
    "copied into another stream, everything is there once and in order",
    on(async (a, b) => {
      const source = createStream<number>(a, "from", { partitions: 2 });
      const target = createStream<number>(a, "to", { partitions: 2 });
      const targetElsewhere = createStream<number>(b, "to", { partitions: 2 });
      await source.appendMany(Array.from({ length: 400 }, (_, i) => ({ value: i, key: `k${i % 3}` })));
      let crashed = false;
      const copy =
        (into: Stream<number>) =>
        async (records: readonly StreamRecord<number>[], { tx }: { tx: never }) => {
          await into.appendMany(
            records.map(({ value, key }) => ({ value: value * 2, ...(key && { key }) })),
            { tx },
          );
          if (!crashed && records.some(({ value }) => value > 200)) {
            crashed = true;
            throw new Error("after its writes");
          }
        };
      await using _one = source.consume("copy", copy(target) as never, { ...quick, batch: 10 });
      await using _two = createStream<number>(b, "from", { partitions: 2 }).consume(
        "copy",
        copy(targetElsewhere) as never,
        { ...quick, batch: 10 },
      );
      await consumed(source as Stream<never>, "copy");
      const all = await Array.fromAsync(target.read());
      for (let k = 0; k < 3; k++) {
        const values = all.filter(({ key }) => key === `k${k}`).map(({ value }) => value);
        const expected = Array.from({ length: 400 }, (_, i) => i).filter((i) => i % 3 === k);
        assert.deepEqual(
          values,
          expected.map((i) => 2 * i),
        );
      }
    }),
  );

  test(
    "appended within a transaction, records are there if it commits, and their places are known then",
    on(async (a) => {
      const stream = createStream<string>(a, "s", { partitions: 1 });
      await assert.rejects(
        a.transact(async (tx) => {
          await stream.append("never", { tx });
          throw new Error("no");
        }),
        /no/,
      );
      const appended = await a.transact(async (tx) => {
        const one = await stream.append("one", { tx, headers: { tenant: "t" } });
        const more = await stream.appendMany([{ value: "two" }, { value: "three" }], { tx });
        return [one, ...more];
      });
      assert.deepEqual(
        appended.map(({ offset }) => offset.value),
        [0, 1, 2],
      );
      const fourth = await stream.append("four");
      assert.deepEqual([fourth.partition, fourth.offset.value], [0, 3]);
      const read = await Array.fromAsync(stream.read());
      assert.deepEqual(
        read.map(({ value, headers, key }) => [value, headers, key]),
        [
          ["one", { tenant: "t" }, undefined],
          ["two", {}, undefined],
          ["three", {}, undefined],
          ["four", {}, undefined],
        ],
      );
    }),
  );

  test(
    "a batch that fails is tried again in place; for good, it stops the consumer visibly",
    on(async (a) => {
      const stream = createStream<number>(a, "s", { partitions: 1 });
      await stream.appendMany([1, 2, 3].map((value) => ({ value })));
      const attempts: number[] = [];
      const consumer = stream.consume(
        "g",
        (records, { attempt, tx }) => {
          attempts.push(attempt);
          tx.add(["effects"], records.length);
          throw new Error("broken");
        },
        quick,
      );
      await assert.rejects(consumer.done, /gave up at offset 0 of partition 0 after 3 attempts/);
      assert.deepEqual(attempts, [1, 2, 3]);
      assert.equal(await a.kv.get(["effects"]), undefined);
      assert.equal((await stream.groups.info("g"))?.lag, 3);
      await consumer.close();
      await using _mended = stream.consume("g", (records, { tx }) => void tx.add(["effects"], records.length));
      await consumed(stream as Stream<never>, "g");
      assert.equal((await a.kv.get(["effects"]))?.value, 3);
    }),
  );

  test(
    "records that fail for good are parked by themselves, and redriven",
    on(async (a) => {
      const stream = createStream<number>(a, "s", { partitions: 2 });
      await stream.appendMany(Array.from({ length: 20 }, (_, i) => ({ value: i, key: "k" })));
      let broken = true;
      const handled: number[] = [];
      await using _consumer = stream.consume(
        "g",
        (records, { tx }) => {
          if (broken && records.some(({ value }) => value % 7 === 3)) throw new Error("a bad number");
          for (const { value } of records) {
            tx.add(["times", value], 1);
            handled.push(value);
          }
        },
        { ...quick, onFailure: "park" },
      );
      await consumed(stream as Stream<never>, "g");
      const parked = await Array.fromAsync(stream.groups.parked("g"));
      assert.deepEqual(
        parked.map(({ value, error }) => [value, error.message]),
        [3, 10, 17].map((value) => [value, "a bad number"]),
      );
      broken = false;
      assert.equal(await stream.groups.redrive("g"), 3);
      await until(async () => (await Array.fromAsync(a.kv.list({ prefix: ["times"] }))).length === 20);
      for await (const { value } of a.kv.list<number>({ prefix: ["times"] })) assert.equal(value, 1);
      assert.deepEqual(await Array.fromAsync(stream.groups.parked("g")), []);
    }),
  );

  test(
    "groups begin where they say, know their lag, and are set to another place, also while they consume",
    on(async (a) => {
      const stream = createStream<number>(a, "s", { partitions: 1 });
      await stream.appendMany(Array.from({ length: 10 }, (_, i) => ({ value: i })));
      const seen: number[] = [];
      await using consumer = stream.consume("late", (records) => void seen.push(...records.map(({ value }) => value)), {
        from: { offset: 7 },
      });
      await consumed(stream as Stream<never>, "late");
      assert.deepEqual(seen, [7, 8, 9]);
      await stream.groups.seek("late", { offset: 8 });
      await until(() => seen.length === 5);
      assert.deepEqual(seen, [7, 8, 9, 8, 9]);
      await consumer.close();
      await stream.append(10);
      const info = await stream.groups.info("late");
      assert.deepEqual([info?.lag, info?.partitions], [1, [{ partition: 0, position: 10, lag: 1 }]]);
      assert.deepEqual(await Array.fromAsync(stream.groups.list()), ["late"]);
      await stream.groups.delete("late");
      assert.equal(await stream.groups.info("late"), undefined);
      await assert.rejects(stream.groups.seek("late", "start"), code("INVALID_ARGUMENT"));
    }),
  );

  test(
    "what is beyond the retention goes: by count, by size, by time",
    on(async (a) => {
      const records = Array.from({ length: 100 }, (_, i) => ({ value: "x".repeat(100) + i }));
      const counted = createStream<string>(a, "counted", { partitions: 1, retention: { records: 30 } });
      const sized = createStream<string>(a, "sized", { partitions: 1, retention: { bytes: 3000 } });
      const timed = createStream<string>(a, "timed", { partitions: 1, retention: 0 });
      for (const stream of [counted, sized, timed]) {
        await stream.appendMany(records);
        await sleep(systemRuntime, 5);
        await stream.trim();
        await stream.trim();
      }
      assert.deepEqual(await counted.partitions(), [{ partition: 0, first: 70, next: 100, sealed: false }]);
      const [size] = await sized.partitions();
      assert.ok(size && size.first > 60 && size.first < 80, JSON.stringify(size));
      assert.deepEqual(await timed.partitions(), [{ partition: 0, first: 100, next: 100, sealed: false }]);
      await sized.appendMany(records);
      await sized.trim();
      const [again] = await sized.partitions();
      assert.equal(again?.first, (size?.first ?? 0) + 100);
    }),
  );

  test(
    "what is appended within transactions is trimmed as well, by who consumes it",
    on(async (a) => {
      const stream = createStream<number>(a, "s", { partitions: 1, retention: { records: 30 } });
      await a.transact(async (tx) => {
        await stream.appendMany(
          Array.from({ length: 80 }, (_, value) => ({ value })),
          { tx },
        );
      });
      assert.deepEqual(await stream.partitions(), [{ partition: 0, first: 0, next: 80, sealed: false }]);
      await using _consumer = stream.consume("g", () => {});
      await until(async () => (await stream.partitions())[0]?.first === 50);
    }),
  );

  test(
    "redrives at once, or one that died before it forgot, append nothing twice",
    on(async (a, b) => {
      const stream = createStream<number>(a, "s", { partitions: 2 });
      await stream.appendMany(Array.from({ length: 120 }, (_, value) => ({ value, key: `k${value % 5}` })));
      await using consumer = stream.consume(
        "g",
        () => {
          throw new Error("broken");
        },
        { retry: { attempts: 1 }, onFailure: "park" },
      );
      await consumed(stream as Stream<never>, "g");
      await consumer.close();
      const there = createStream<number>(b, "s", { partitions: 2 });
      const counts = await Promise.all([stream.groups.redrive("g"), there.groups.redrive("g")]);
      assert.equal(counts[0] + counts[1], 120);
      const values = (await Array.fromAsync(stream.read())).map(({ value }) => value);
      assert.deepEqual(
        values.toSorted((x, y) => x - y),
        Array.from({ length: 240 }, (_, i) => Math.floor(i / 2)),
      );
      // As if the process had died between the commit and the trim: what was redriven is still in the topic, before the mark.
      await using parking = stream.consume(
        "g",
        () => {
          throw new Error("broken");
        },
        { retry: { attempts: 1 }, onFailure: "park" },
      );
      await consumed(stream as Stream<never>, "g");
      await parking.close();
      const scope = a.scope("stream", "s");
      const { next } = await scope.log.bounds(["parked", "g"]);
      await scope.kv.set(["redriven", "g"], next);
      assert.deepEqual(await Array.fromAsync(stream.groups.parked("g")), []);
      assert.equal(await stream.groups.redrive("g"), 0);
      assert.equal(
        (await stream.partitions()).reduce((sum, bounds) => sum + bounds.next, 0),
        240,
      );
    }),
  );

  test(
    "the number of partitions is the store's, and a live reader sees what comes, of one partition or of all",
    on(async (a, b) => {
      const stream = createStream<number>(a, "s", { partitions: 3 });
      await stream.append(1, { key: "k" });
      const other = createStream<number>(b, "s", { partitions: 4 });
      const { partition } = await other.append(2, { key: "k" });
      assert.equal((await other.partitions()).length, 3);
      const seen: number[] = [];
      const reading = (async () => {
        for await (const { value } of createStream<number>(b, "s", { partitions: 3 }).read({ partition, live: true })) {
          seen.push(value);
          if (value === 4) break;
        }
      })();
      const everywhere: number[] = [];
      const readingAll = (async () => {
        for await (const { value } of other.read({ live: true })) {
          everywhere.push(value);
          if (everywhere.length === 6) break;
        }
      })();
      await stream.append(3, { key: "k" });
      await stream.append(5, { key: "other" });
      await stream.append(6, { key: "another" });
      await stream.append(4, { key: "k" });
      await reading;
      await readingAll;
      assert.deepEqual(seen, [1, 2, 3, 4]);
      assert.deepEqual(
        everywhere.filter((value) => value < 5),
        [1, 2, 3, 4],
      );
    }),
  );

  test(
    "wrong arguments are named",
    on(async (a) => {
      const invalid = (name: string) => (error: unknown) =>
        isAshlarError(error, "INVALID_ARGUMENT") && error.message.includes(name);
      assert.throws(() => createStream(a, "s", { partitions: 0 }), invalid("partitions"));
      assert.throws(() => createStream(a, "s", { shards: 3 } as object), invalid("options.shards"));
      assert.throws(() => createStream(a, "s", { retention: { records: -1 } }), invalid("retention.records"));
      const stream = createStream<unknown>(a, "s");
      await assert.rejects(
        stream.append(() => {}),
        invalid("value"),
      );
      await assert.rejects(stream.append(1, { key: "" }), invalid("key"));
      await assert.rejects(stream.appendMany([{ value: 1, keys: "k" } as never]), invalid("records[0].keys"));
      assert.throws(() => stream.consume("g", () => {}, { batch: 0 }), invalid("batch"));
      assert.throws(() => stream.consume("", () => {}), invalid("group"));
      await assert.rejects(Array.fromAsync(stream.read({ partition: 8 })), invalid("partition"));
      await assert.rejects(stream.repartition(0), invalid("partitions"));
      assert.throws(() => createStream(a, "s", { compaction: { every: 1 } as object }), invalid("compaction.every"));
      assert.throws(() => createStream(a, "s", { compaction: true, retention: "1d" }), invalid("retention"));
      await assert.rejects(createStream<unknown>(a, "c", { compaction: true }).append(1), invalid("key"));
    }),
  );
}
