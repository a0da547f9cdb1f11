import assert from "node:assert/strict";
import type { Engine, LogRecord, Topic } from "../contract.ts";
import { during } from "./during.ts";
import { getValue, numbers } from "./entries.ts";
import { abortedSignal, failsBy } from "./expecting.ts";
import { type CaseContext, facts } from "./fact.ts";

/** Reads the topic to its end, page after page. */
async function readAll<V = unknown>(engine: Engine, topic: Topic, limit?: number): Promise<LogRecord<V>[]> {
  const records: LogRecord<V>[] = [];
  for (let from = 0; ; ) {
    const page = await engine.log.read<V>(topic, { from, ...(limit !== undefined && { limit }) });
    const last = page.at(-1);
    if (!last) return records;
    records.push(...page);
    from = last.offset + 1;
  }
}

/** Tails the topic until so many records have come, and gives them. */
async function tailTo<V = unknown>(
  { soon }: CaseContext,
  tail: AsyncIterator<LogRecord<V>[]>,
  count: number,
): Promise<LogRecord<V>[]> {
  const records: LogRecord<V>[] = [];
  while (records.length < count) {
    const next = await soon(`record ${records.length} of ${count}`, tail.next());
    assert.ok(next.done !== true && next.value.length > 0, "a tail neither ends by itself nor gives empty arrays");
    records.push(...next.value);
  }
  assert.equal(records.length, count);
  return records;
}

const values = (records: readonly LogRecord[]): unknown[] => records.map(({ value }) => value);
const offsets = (records: readonly LogRecord[]): number[] => records.map(({ offset }) => offset);

const reading = facts("log", {
  "offsets are dense from 0, and records come back in their order": async ({ engine, other, topic }) => {
    assert.equal(await engine.log.append(topic("t"), ["a"]), 0);
    assert.equal(await other.log.append("t", ["b", { c: [1] }, null]), 1);
    assert.equal(await engine.log.append("t", ["e"]), 4);
    const records = await other.log.read("t");
    assert.deepEqual(offsets(records), [0, 1, 2, 3, 4]);
    assert.deepEqual(values(records), ["a", "b", { c: [1] }, null, "e"]);
  },

  "an unknown topic is empty and begins at 0": async ({ engine }) => {
    assert.deepEqual(await engine.log.read("never"), []);
    assert.deepEqual(await engine.log.bounds("never"), { first: 0, next: 0 });
    await engine.log.trim("never", 5);
    assert.deepEqual(await engine.log.bounds("never"), { first: 0, next: 0 });
  },

  "a read begins anywhere and ends at its limit": async ({ engine, topic }) => {
    await engine.log.append(topic("t"), numbers(10));
    const read = async (options: Parameters<Engine["log"]["read"]>[1]) => values(await engine.log.read("t", options));
    assert.deepEqual(await read({}), numbers(10));
    assert.deepEqual(await read({ from: 7 }), [7, 8, 9]);
    assert.deepEqual(await read({ from: 2, limit: 3 }), [2, 3, 4]);
    assert.deepEqual(await read({ limit: 1 }), [0]);
    assert.deepEqual(await read({ from: 9, limit: 100 }), [9]);
    assert.deepEqual(await read({ from: 10 }), []);
    assert.deepEqual(await read({ from: 1000 }), []);
  },

  "a read gives 1000 records at most unless asked for more": async ({ engine, topic }) => {
    const count = 1100;
    for (let from = 0; from < count; from += 100)
      await engine.log.append(
        topic("t"),
        numbers(100).map((i) => from + i),
      );
    assert.equal((await engine.log.read("t")).length, 1000);
    assert.deepEqual(values(await readAll(engine, "t")), numbers(count));
    assert.deepEqual(values(await readAll(engine, "t", 37)), numbers(count));
    assert.ok((await engine.log.read("t", { limit: 1050 })).length <= 1050);
  },

  "a read ends at about its bytes, but gives one record at least": async ({ engine, topic }) => {
    const record = "x".repeat(1000);
    await engine.log.append(
      topic("t"),
      numbers(20).map(() => record),
    );
    const { length } = await engine.log.read("t", { bytes: 5000 });
    assert.ok(length >= 1 && length <= 8, `${length} records of 1000 bytes for a bound of 5000`);
    assert.equal((await engine.log.read("t", { bytes: 1 })).length, 1);
    assert.equal((await engine.log.read("t", { from: 19, bytes: 1 })).length, 1);
    const large = "y".repeat(200_000);
    for (const _ of numbers(8)) await engine.log.append("t", [large]);
    const found = await engine.log.read("t", { from: 20 });
    assert.ok(found.length >= 1 && found.length <= 7, `${found.length} records of 200000 bytes by default`);
    assert.deepEqual(offsets(await readAll(engine, "t")), numbers(28));
  },

  "records are as large as the limit allows": async ({ engine, topic }) => {
    const record = new Uint8Array(Math.min(engine.limits.valueBytes, engine.limits.commitBytes / 2) - 100).fill(0xc1);
    await engine.log.append(topic("t"), ["small", record]);
    assert.deepEqual(await engine.log.read("t", { from: 1 }), [
      { ...(await engine.log.read("t", { from: 1 }))[0], offset: 1, value: record },
    ]);
  },

  "the time of a record is the engine's clock at the append, and never decreases": {
    guarantee: "clock",
    run: async ({ engine, other, topic }) => {
      const before = await engine.now();
      for (const i of numbers(20)) await (i % 2 ? engine : other).log.append(topic("t"), [i, i]);
      const after = await engine.now();
      const times = (await engine.log.read("t")).map(({ time }) => time);
      for (const [i, time] of times.entries()) {
        assert.ok(
          time >= Math.floor(before) && time <= Math.ceil(after),
          `${time} is not within ${before} and ${after}`,
        );
        assert.ok(i === 0 || time >= (times[i - 1] as number));
      }
    },
  },

  "topics are many and apart, and a string is the tuple of it alone": async ({ engine, topic }) => {
    const topics: Topic[] = [
      "t",
      "t2",
      ["t", 1],
      ["t", "1"],
      ["t", 1, 2],
      ["t", true],
      [1],
      "",
      "a b/c\u0000",
      [new Uint8Array([0, 255])],
    ];
    for (const [i, name] of topics.entries()) assert.equal(await engine.log.append(topic(name), [i]), 0);
    for (const [i, name] of topics.entries()) assert.deepEqual(values(await engine.log.read(name)), [i]);
    assert.equal(await engine.log.append(["t"], ["more"]), 1);
    assert.deepEqual(values(await engine.log.read("t")), [0, "more"]);
    const many = numbers(100).map((i) => ["many", i]);
    await engine.kv.commit({
      mutations: many.slice(0, 50).map((name) => ({ append: topic(name), records: [name[1]] })),
    });
    await Promise.all(many.slice(50).map((name) => engine.log.append(topic(name), [name[1]])));
    for (const name of many) assert.deepEqual(values(await engine.log.read(name)), [name[1]]);
  },
});

const joining = facts("log", {
  "an append joins its commit": async ({ engine, topic }) => {
    await engine.log.append(topic("t"), ["before"]);
    const done = await engine.kv.commit({
      mutations: [
        { append: "t", records: ["x", "y"] },
        { set: ["k"], value: 1 },
        { append: topic("u"), records: ["z"] },
      ],
    });
    assert.deepEqual(done.offsets, [1, 0]);
    assert.equal(await getValue(engine, ["k"]), 1);
    assert.deepEqual(values(await engine.log.read("t")), ["before", "x", "y"]);
  },

  "a refused commit appends nothing and leaves no gap": async ({ engine, topic }) => {
    await engine.kv.set(["k"], 1);
    for (const i of numbers(10)) {
      const refused = await engine.kv.tryCommit({
        checks: [{ key: ["k"], version: undefined }],
        mutations: [{ append: topic("t"), records: ["never", "never"] }],
      });
      assert.equal(refused.ok, false);
      const sum = await engine.kv.tryCommit({
        mutations: [
          { append: "t", records: ["never"] },
          { add: ["k"], delta: 1, ceiling: 0 },
        ],
      });
      assert.equal(sum.ok, false);
      assert.equal(await engine.log.append("t", [i]), i);
    }
    assert.deepEqual(values(await engine.log.read("t")), numbers(10));
  },

  "readers see a record no later than the keys of its commit": async ({ engine, other, topic }) => {
    for (const n of numbers(30)) {
      await engine.kv.commit({
        mutations: [
          { set: ["n"], value: n },
          { append: topic("t"), records: [n] },
        ],
      });
      const seen = (await getValue(other, ["n"])) as number;
      assert.equal((await other.log.bounds("t")).next, seen + 1);
      assert.equal((await other.log.read("t", { from: seen }))[0]?.value, seen);
    }
  },
});

const trimming = facts("log", {
  "trimming forgets what lies below, and reads begin at what is kept": async ({ engine, other, topic }) => {
    await engine.log.append(topic("t"), numbers(10));
    await engine.log.trim("t", 4);
    assert.deepEqual(await other.log.bounds("t"), { first: 4, next: 10 });
    for (const from of [undefined, 0, 3, 4]) {
      const records = await other.log.read("t", { ...(from !== undefined && { from }), limit: 2 });
      assert.deepEqual(offsets(records), [4, 5]);
      assert.deepEqual(values(records), [4, 5]);
    }
    await engine.log.trim("t", 2);
    assert.deepEqual(await engine.log.bounds("t"), { first: 4, next: 10 });
    assert.deepEqual(values(await readAll(engine, "t", 3)), [4, 5, 6, 7, 8, 9]);
  },

  "offsets go on after everything was trimmed": async ({ engine, topic }) => {
    await engine.log.append(topic("t"), numbers(5));
    await engine.log.trim("t", 5);
    assert.deepEqual(await engine.log.bounds("t"), { first: 5, next: 5 });
    assert.deepEqual(await engine.log.read("t"), []);
    assert.equal(await engine.log.append("t", ["next"]), 5);
    assert.deepEqual(offsets(await engine.log.read("t")), [5]);
    await engine.log.trim("t", 1000);
    assert.deepEqual(await engine.log.bounds("t"), { first: 6, next: 6 });
    assert.equal(await engine.log.append("t", ["last"]), 6);
  },

  "trimming piece by piece keeps the rest whole": async ({ engine, topic }) => {
    for (const i of numbers(12))
      await engine.log.append(
        topic("t"),
        numbers((i % 4) + 1).map((j) => [i, j]),
      );
    const all = await readAll(engine, "t");
    for (let before = 0; before <= all.length; before += 3) {
      await engine.log.trim("t", before);
      assert.deepEqual(await readAll(engine, "t"), all.slice(before));
      assert.equal((await engine.log.bounds("t")).first, before);
    }
  },
});

const tailing = facts("log", {
  "a tail gives what is there and what comes, once and in order": async (context) => {
    const { engine, other, topic, defer } = context;
    await engine.log.append(topic("t"), [0, 1, 2]);
    const tail = other.log.tail("t");
    defer(() => tail.return?.());
    assert.deepEqual(values(await tailTo(context, tail, 3)), [0, 1, 2]);
    await engine.log.append("t", [3, 4]);
    await other.log.append("t", [5]);
    const records = await tailTo(context, tail, 3);
    assert.deepEqual(values(records), [3, 4, 5]);
    assert.deepEqual(offsets(records), [3, 4, 5]);
  },

  "a tail begins where it is told: in the middle, in the future, at the end": async (context) => {
    const { engine, topic, defer, soon, eventually } = context;
    await engine.log.append(topic("t"), numbers(5));
    const tails = ([3, 7, "end"] as const).map((from) => engine.log.tail("t", { from }));
    for (const tail of tails) defer(() => tail.return?.());
    const [middle, future, end] = tails as [(typeof tails)[0], (typeof tails)[0], (typeof tails)[0]];
    assert.deepEqual(offsets(await tailTo(context, middle, 2)), [3, 4]);
    const coming = soon("the first record to come", end.next());
    // "end" is where the topic ends when the tail begins, which is not before it was asked: records are written until one is seen.
    let [seen, n] = [false, 5];
    const notice = (): void => {
      seen = true;
    };
    void coming.then(notice, notice);
    await eventually("a record that the tail sees", async () => {
      await engine.log.append("t", [n++]);
      return seen && n >= 9;
    });
    const first = (await coming).value as LogRecord[];
    assert.ok((first[0]?.offset ?? 0) >= 5);
    assert.deepEqual(values(first), offsets(first));
    assert.equal(((await soon("the future", future.next())).value as LogRecord[])[0]?.offset, 7);
  },

  "a tail of a topic that was never written waits for its first record": async (context) => {
    const { engine, other, topic, defer } = context;
    const tail = engine.log.tail(topic("t"));
    defer(() => tail.return?.());
    const first = tailTo(context, tail, 1);
    await other.log.append("t", ["first"]);
    assert.deepEqual(values(await first), ["first"]);
  },

  "a tail from a trimmed offset begins at what is kept": async (context) => {
    const { engine, topic, defer } = context;
    await engine.log.append(topic("t"), numbers(6));
    await engine.log.trim("t", 4);
    const tail = engine.log.tail("t", { from: 1 });
    defer(() => tail.return?.());
    assert.deepEqual(offsets(await tailTo(context, tail, 2)), [4, 5]);
  },

  "the arrays of a tail are within its limit": async ({ engine, topic, defer, soon }) => {
    await engine.log.append(topic("t"), numbers(10));
    const tail = engine.log.tail("t", { limit: 4 });
    defer(() => tail.return?.());
    const sizes: number[] = [];
    for (let seen = 0; seen < 10; seen += sizes.at(-1) as number) {
      sizes.push(((await soon("an array", tail.next())).value as LogRecord[]).length);
    }
    assert.ok(
      sizes.every((size) => size >= 1 && size <= 4),
      String(sizes),
    );
  },

  "records of several clients become visible in order: a tail never skips one": {
    guarantee: "commits",
    run: async (context) => {
      const { engine, other, topic, defer } = context;
      const tails = [engine, other].map((client) => client.log.tail<[number, number]>(topic("t")));
      for (const tail of tails) defer(() => tail.return?.());
      const [writers, each] = [8, 25];
      const total = writers * each * 2;
      const write = async (writer: number): Promise<void> => {
        for (const n of numbers(each))
          await (writer % 2 ? engine : other).log.append("t", [
            [writer, 2 * n],
            [writer, 2 * n + 1],
          ]);
      };
      const writing = Promise.all(numbers(writers).map(write));
      for (const records of await Promise.all(tails.map((tail) => tailTo(context, tail, total)))) {
        assert.deepEqual(offsets(records), numbers(total));
        for (const writer of numbers(writers)) {
          const own = values(records).filter((value) => (value as number[])[0] === writer);
          assert.deepEqual(
            own.map((value) => (value as number[])[1]),
            numbers(each * 2),
          );
        }
        // The two records of one append stand next to each other.
        for (let i = 0; i < total; i += 2) assert.equal(records[i]?.value[0], records[i + 1]?.value[0]);
      }
      await writing;
    },
  },

  "a reader that polls at the end never skips a record": async ({ engine, other, topic, runtime }) => {
    const total = 200;
    const writing = Promise.all(
      numbers(8).map(async (writer) => {
        for (const n of numbers(total / 8)) await (writer % 2 ? engine : other).log.append(topic("t"), [[writer, n]]);
      }),
    );
    const seen: number[] = [];
    const read = async () => seen.push(...offsets(await other.log.read("t", { from: seen.length })));
    await during(runtime, writing, read);
    await read();
    assert.deepEqual(seen, numbers(total));
  },

  "return and abort end a tail, also while it waits": async ({ engine, topic, soon }) => {
    await engine.log.append(topic("t"), [1]);
    const returned = engine.log.tail("t");
    await soon("the first record", returned.next());
    const waiting = returned.next();
    await returned.return?.();
    assert.equal((await soon("the end", waiting)).done, true);
    const controller = new AbortController();
    const reason = new Error("read enough");
    const aborted = engine.log.tail("t", { signal: controller.signal });
    await soon("the first record", aborted.next());
    const rejected = aborted.next();
    controller.abort(reason);
    await failsBy(reason, () => soon("the abort", rejected));
    assert.equal((await soon("the end", aborted.next())).done, true);
  },

  "a read whose signal is aborted fails with the reason": async ({ engine }) => {
    const { signal, reason } = abortedSignal();
    await failsBy(reason, () => engine.log.read("t", { signal }));
    await failsBy(reason, () => engine.log.bounds("t", { signal }));
    await failsBy(reason, () => engine.log.tail("t", { signal }).next());
  },
});

export const logFacts = [...reading, ...joining, ...trimming, ...tailing];
