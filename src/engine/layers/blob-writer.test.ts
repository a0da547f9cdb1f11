import assert from "node:assert/strict";
import { test } from "node:test";
import { OutcomeUnknownError, UnavailableError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { Batch } from "../contract.ts";
import { MemoryStore } from "../memory/index.ts";
import {
  assertSame,
  bytesOf,
  hour,
  type Meddling,
  minute,
  once,
  openBlobs,
  read,
  settle,
  touches,
} from "./testing/blob-client.ts";

test("a large put has four chunks under way and no more, and reads its source no further ahead", async () => {
  const { blobs, meddling, close } = openBlobs();
  const gates: (() => void)[] = [];
  let [begun, done, given, most] = [0, 0, 0, 0];
  meddling.before = async (batch) => {
    if (!touches("chunk")(batch)) return;
    most = Math.max(most, ++begun - done);
    await new Promise<void>((resolve) => void gates.push(resolve));
    done++;
  };
  const source = async function* () {
    while (given < 30) yield bytesOf(128 * 1024, ++given);
  };
  const putting = blobs.put(["b"], source());
  while (done < 30) {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(begun - done <= 4 && given - done <= 6, `${begun} begun, ${given} given, ${done} done`);
    gates.shift()?.();
  }
  assert.equal((await putting).size, 30 * 128 * 1024);
  assert.equal(most, 4);
  await close();
});

test("a source that fails, hangs or gives nonsense leaves the old object, and is told that nobody reads on", async () => {
  const { blobs, store, count, close } = openBlobs();
  const old = await blobs.put(["b"], bytesOf(100));
  const broken = new Error("the source broke");
  let told: unknown[] = [];
  const stream = (pull: (controller: ReadableStreamDefaultController<Uint8Array>) => Promise<void> | void) =>
    new ReadableStream<Uint8Array>({ pull, cancel: (reason) => void told.push(reason) }, { highWaterMark: 0 });
  const iterable = async function* (last: () => Promise<unknown>): AsyncGenerator<Uint8Array> {
    try {
      yield bytesOf(500_000);
      yield (await last()) as Uint8Array;
    } finally {
      told.push("left");
    }
  };
  const never = () => new Promise<never>(() => {});
  const fails = async () => {
    throw broken;
  };

  await assert.rejects(blobs.put(["b"], iterable(fails)), broken);
  await assert.rejects(blobs.put(["b"], stream(fails)), broken);
  told = [];
  await assert.rejects(
    blobs.put(
      ["b"],
      iterable(async () => "text"),
    ),
    { code: "INVALID_ARGUMENT", message: /^data/ },
  );
  await assert.rejects(
    blobs.put(
      ["b"],
      stream((controller) => controller.enqueue("text" as unknown as Uint8Array)),
    ),
    { code: "INVALID_ARGUMENT", message: /^data/ },
  );
  assert.equal(told.length, 2);
  assert.equal(told[0], "left");

  for (const source of [iterable(never), stream(never)]) {
    const controller = new AbortController();
    const putting = blobs.put(["b"], source, { signal: controller.signal });
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    controller.abort(broken);
    await assert.rejects(putting, broken);
  }
  assert.equal(told.at(-1), broken, "a stream that hangs is cancelled with the reason");
  const read = stream(never);
  read.getReader();
  await assert.rejects(blobs.put(["b"], read), { code: "INVALID_ARGUMENT", message: /nobody else reads/ });

  assert.deepEqual(await blobs.head(["b"]), old);
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  await store.collect();
  assert.deepEqual([await count("upload"), await count("chunk"), await count("garbage")], [0, 0, 0]);
  await close();
});

test("an upload that was collected cannot be published, nor write more chunks", async () => {
  for (const [size, hasLeapt] of [
    [0, false],
    [300_000, false],
    // Only the engine's clock shows that an hour has passed, so the writer suspects nothing.
    [300_000, true],
  ] as const) {
    const runtime = createManualRuntime();
    const { blobs, store, count, close } = openBlobs(new MemoryStore(runtime), runtime);
    let resume: (() => void) | undefined;
    const stalled = async function* () {
      yield bytesOf(300_000);
      await new Promise<void>((resolve) => {
        resume = resolve;
      });
      yield bytesOf(size);
    };
    const putting = blobs.put(["b"], stalled());
    putting.catch(() => {});
    for (let i = 0; i < 100 && !resume; i++) await runtime.advance(1);
    if (hasLeapt) runtime.setWallClock(runtime.clock.now() + hour + minute);
    else await runtime.advance(hour + minute);
    assert.ok((await store.collect()) > 0);
    resume?.();
    await assert.rejects(settle(runtime, putting), { code: "TIMEOUT", message: /for an hour/ });
    await runtime.advance(1);
    assert.equal(await blobs.head(["b"]), undefined);
    await store.collect();
    assert.deepEqual([await count("upload"), await count("chunk"), await count("garbage")], [0, 0, 0]);
    await close();
  }
});

test("commits that fail for a moment, or whose answers are lost, do not fail a put", async () => {
  const lost = () => {
    throw new OutcomeUnknownError("lost");
  };
  const away = () => {
    throw new UnavailableError("away");
  };
  const isLaterChunk = (batch: Batch) => touches("chunk")(batch) && !touches("upload")(batch);
  const troubles: Meddling[] = [
    { before: once(isLaterChunk, away) },
    { after: once(isLaterChunk, lost) },
    { before: once(touches("object"), away) },
    { before: once(touches("object"), lost) },
    { after: once(touches("object"), lost) },
  ];
  for (const trouble of troubles) {
    for (const size of [100, 700_000]) {
      if (size === 100 && [0, 1].includes(troubles.indexOf(trouble))) continue;
      const { blobs, meddling, count, store, close } = openBlobs();
      const old = await blobs.put(["b"], bytesOf(5));
      Object.assign(meddling, trouble);
      const info = await blobs.put(["b"], bytesOf(size), { ifMatch: old.etag });
      assert.deepEqual(await blobs.head(["b"]), info);
      assertSame(await read(blobs, ["b"]), bytesOf(size));
      await store.collect();
      assert.deepEqual([await count("upload"), await count("garbage")], [0, 0]);
      await close();
    }
  }
});

test("a put whose lost commit was applied and then overtaken has happened, as far as anyone can tell", async () => {
  const { blobs, meddling, close } = openBlobs();
  const other = async () => {
    meddling.after = () => {};
    await blobs.put(["b"], bytesOf(7));
    throw new OutcomeUnknownError("lost");
  };
  meddling.after = once(touches("object"), other);
  const { size } = await blobs.put(["b"], bytesOf(700_000));
  assert.equal(size, 700_000);
  assertSame(await read(blobs, ["b"]), bytesOf(7));

  const old = await blobs.head(["b"]);
  meddling.after = once(touches("object"), other);
  await assert.rejects(blobs.put(["b"], bytesOf(20), { ifMatch: old?.etag as string }), { code: "OUTCOME_UNKNOWN" });
  await close();
});

test("an engine that stays away fails a put with its error, and a conflict is no reason to try again", async () => {
  const { blobs, meddling, close } = openBlobs();
  let tries = 0;
  meddling.before = (batch) => {
    if (!touches("object")(batch)) return;
    tries++;
    throw new UnavailableError("away");
  };
  const runtime = createManualRuntime();
  const failing = openBlobs(new MemoryStore(runtime), runtime);
  Object.assign(failing.meddling, meddling);
  await assert.rejects(settle(runtime, failing.blobs.put(["b"], bytesOf(10))), { code: "UNAVAILABLE" });
  assert.equal(tries, 8);
  meddling.before = () => assert.fail("a put whose etag does not match writes nothing");
  await assert.rejects(blobs.put(["b"], bytesOf(10), { ifMatch: "another" }), {
    code: "CONFLICT",
    message: /there is no such object/,
  });
  await assert.rejects(blobs.put(["b"], bytesOf(1_000_000), { ifMatch: "another" }), { code: "CONFLICT" });
  await Promise.all([close(), failing.close()]);
});

test("an abort while the object is published leaves its chunks alone", async () => {
  const { blobs, meddling, store, close } = openBlobs();
  const controller = new AbortController();
  const reason = new Error("too late");
  meddling.before = (batch) => {
    if (touches("object")(batch)) queueMicrotask(() => controller.abort(reason));
  };
  const outcome = await blobs.put(["b"], bytesOf(700_000), { signal: controller.signal }).catch((error) => error);
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  await store.collect();
  const found = await read(blobs, ["b"]);
  if (found) assertSame(found, bytesOf(700_000));
  else assert.equal(outcome, reason);
  await close();
});
