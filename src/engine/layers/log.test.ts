import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ClosedError,
  CorruptionError,
  encodeKey,
  encodeValue,
  toBinaryString,
  UnavailableError,
} from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import { type Batch, type Committed, type Log, portableLimits } from "../contract.ts";
import type { Driver, LogDriver, RawRecord } from "../driver.ts";
import type { TopicListener } from "../watch-hub.ts";
import { createLog } from "./log.ts";

/** A store of topics whose reads and wakes the test has in hand. */
class FakeRoot {
  readonly runtime: ManualRuntime = createManualRuntime();
  readonly topics = new Map<string, RawRecord[]>();
  readonly listeners = new Set<TopicListener>();
  /** Thrown by the next calls, one each. */
  readonly failures: Error[] = [];
  /** Runs within the next read, after it has looked. */
  duringRead: (() => void) | undefined;
  reads = 0;
  closed = false;
  readonly log: LogDriver = {
    read: async (topic, { from, limit }) => {
      this.reads++;
      const found = (this.topics.get(toBinaryString(topic)) ?? [])
        .filter(({ offset }) => offset >= from)
        .slice(0, limit);
      const during = this.duringRead;
      this.duringRead = undefined;
      during?.();
      this.#maybeFail();
      return found;
    },
    bounds: async (topic) => {
      const next = this.topics.get(toBinaryString(topic))?.length ?? 0;
      this.#maybeFail();
      return { first: 0, next };
    },
    trim: async () => {},
  };
  readonly driver = { log: this.log, limits: portableLimits } as Driver;
  readonly hub = {
    onTopic: async (_: Uint8Array, listener: TopicListener) => {
      this.#maybeFail();
      this.listeners.add(listener);
      return () => void this.listeners.delete(listener);
    },
  };

  assertOpen(): void {
    if (this.closed) throw new ClosedError("closed");
  }

  append(value: unknown, topic = "t"): number {
    const name = toBinaryString(encodeKey([topic]));
    const records = this.topics.get(name) ?? [];
    this.topics.set(name, [
      ...records,
      { offset: records.length, value: encodeValue(value), time: 1000 + records.length },
    ]);
    for (const listener of this.listeners) listener.wake();
    return records.length;
  }

  face(): Log {
    const kv = {
      commit: async ({ mutations }: Batch) => {
        const [mutation] = mutations as [{ append: string; records: unknown[] }];
        const offsets = mutation.records.map((record) => this.append(record, mutation.append));
        return { ok: true, offsets: offsets.slice(0, 1) } as unknown as Committed;
      },
    };
    return createLog({ root: this, space: { prefix: new Uint8Array(0), limits: portableLimits }, kv });
  }

  #maybeFail(): void {
    const failure = this.failures.shift();
    if (failure) throw failure;
  }
}

async function values(next: Promise<IteratorResult<{ value: unknown }[]>>): Promise<unknown[]> {
  return ((await next).value as { value: unknown }[]).map(({ value }) => value);
}

/** Lets everything run that is ready. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("an append is a commit, and a read gives what was appended", async () => {
  const root = new FakeRoot();
  const log = root.face();
  assert.equal(await log.append("t", [{ a: 1 }, [2]]), 0);
  assert.equal(await log.append("t", ["c"]), 2);
  assert.deepEqual(await log.read("t", { from: 1 }), [
    { offset: 1, value: [2], time: 1001 },
    { offset: 2, value: "c", time: 1002 },
  ]);
  assert.deepEqual(await log.bounds("t"), { first: 0, next: 3 });
});

test("a tail gives what is there, then what comes, in arrays within its limit", async () => {
  const root = new FakeRoot();
  for (let i = 0; i < 5; i++) root.append(i);
  const tail = root.face().tail("t", { from: 1, limit: 3 });
  assert.deepEqual(await values(tail.next()), [1, 2, 3]);
  assert.deepEqual(await values(tail.next()), [4]);
  const coming = values(tail.next());
  await turn();
  root.append(5);
  assert.deepEqual(await coming, [5]);
});

test("a record that comes between the last read and the subscription is not missed", async () => {
  const root = new FakeRoot();
  const tail = root.face().tail("t");
  // The first read finds nothing, and no listener is there yet to be woken.
  root.duringRead = () => root.append("in between");
  assert.deepEqual(await values(tail.next()), ["in between"]);
});

test("a wake during a read is not lost", async () => {
  const root = new FakeRoot();
  const tail = root.face().tail("t");
  const first = values(tail.next());
  await turn();
  root.duringRead = () => root.append("second");
  for (const listener of root.listeners) listener.wake();
  assert.deepEqual(await first, ["second"]);
});

test("a tail that sleeps does not read", async () => {
  const root = new FakeRoot();
  const tail = root.face().tail("t");
  const coming = tail.next();
  await turn();
  const { reads } = root;
  await turn();
  await root.runtime.advance(60_000);
  assert.equal(root.reads, reads);
  root.append(1);
  await coming;
});

test("the end is where the topic ends at the call, not at the first next", async () => {
  const root = new FakeRoot();
  root.append("old");
  const tail = root.face().tail("t", { from: "end" });
  root.append("new");
  assert.deepEqual(await values(tail.next()), ["new"]);
});

test("return ends a tail that waits, and gives the subscription back", async () => {
  const root = new FakeRoot();
  const tail = root.face().tail("t");
  const waiting = tail.next();
  await turn();
  assert.equal(root.listeners.size, 1);
  await tail.return?.();
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.equal(root.listeners.size, 0);
});

test("return while a tail subscribes gives the subscription back too", async () => {
  const root = new FakeRoot();
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const onTopic = root.hub.onTopic;
  root.hub.onTopic = async (topic, listener) => {
    await opened;
    return await onTopic(topic, listener);
  };
  const tail = root.face().tail("t");
  const waiting = tail.next();
  await turn();
  await tail.return?.();
  assert.equal((await waiting).done, true);
  open();
  await turn();
  assert.equal(root.listeners.size, 0);
});

test("an abort ends a tail with its reason", async () => {
  const root = new FakeRoot();
  const controller = new AbortController();
  const tail = root.face().tail("t", { signal: controller.signal });
  const waiting = tail.next();
  await turn();
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  assert.equal((await tail.next()).done, true);
  assert.equal(root.listeners.size, 0);
});

test("a store that is away for a moment, while it is read or listened to, does not end a tail", async () => {
  const root = new FakeRoot();
  root.append(0);
  const away = () => new UnavailableError("away");
  root.failures.push(away(), away(), away());
  const tail = root.face().tail("t", { from: "end" });
  const coming = values(tail.next());
  for (let i = 0; i < 50 && root.failures.length > 0; i++) await root.runtime.advance(500);
  await root.runtime.advance(5000);
  for (const listener of [...root.listeners]) listener.fail(away());
  await turn();
  assert.equal(root.listeners.size, 0);
  for (let i = 0; i < 50 && root.listeners.size === 0; i++) await root.runtime.advance(500);
  assert.equal(root.listeners.size, 1, "the tail listens again after the feed has failed");
  root.append("after all");
  assert.deepEqual(await coming, ["after all"]);
});

test("a store that stays away ends a tail with the error; so does one that is corrupt, at once", async () => {
  const root = new FakeRoot();
  root.failures.push(...Array.from({ length: 100 }, () => new UnavailableError("away")));
  const rejected = assert.rejects(root.face().tail("t").next(), { code: "UNAVAILABLE" });
  for (let i = 0; i < 100; i++) await root.runtime.advance(500);
  await rejected;
  const corrupt = new FakeRoot();
  corrupt.failures.push(new CorruptionError("damaged"));
  await assert.rejects(corrupt.face().tail("t").next(), { code: "CORRUPTION" });
});

test("closing the engine ends a tail with CLOSED, whether it waits or not", async () => {
  const root = new FakeRoot();
  root.append(1);
  const log = root.face();
  const [waiting, idle] = [log.tail("t", { from: "end" }), log.tail("t")];
  const next = waiting.next();
  await idle.next();
  await turn();
  root.closed = true;
  for (const listener of [...root.listeners]) listener.fail(new ClosedError("closed"));
  await assert.rejects(next, { code: "CLOSED" });
  await assert.rejects(idle.next(), { code: "CLOSED" });
  assert.throws(() => log.tail("t"), { code: "CLOSED" });
  for (const call of [log.read("t"), log.bounds("t"), log.trim("t", 0)]) await assert.rejects(call, { code: "CLOSED" });
});

test("wrong arguments are named", async () => {
  const log = new FakeRoot().face();
  const wrong: [() => unknown, RegExp][] = [
    [() => log.read("t", { from: -1 }), /^from: given -1/],
    [() => log.read("t", { from: 0.5 }), /^from/],
    [() => log.read("t", { limit: 0 }), /^limit/],
    [() => log.read("t", { limit: Number.POSITIVE_INFINITY }), /^limit/],
    [() => log.read("t", { bytes: 0 }), /^bytes/],
    [() => log.read([]), /topic/],
    [() => log.tail("t", { from: "start" as "end" }), /^from: given "start"; allowed: .*"end"/],
    [() => log.tail("t", { limit: Number.NaN }), /^limit/],
    [() => log.trim("t", Number.NaN), /^before/],
    [() => log.bounds(5 as never), /topic/],
  ];
  for (const [call, message] of wrong) {
    await assert.rejects(async () => await call(), { code: "INVALID_ARGUMENT", message });
  }
});

test("calls whose signal is aborted fail with the reason", async () => {
  const log = new FakeRoot().face();
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  await assert.rejects(log.read("t", { signal }), reason);
  await assert.rejects(log.bounds("t", { signal }), reason);
  await assert.rejects(log.tail("t", { signal }).next(), reason);
});
