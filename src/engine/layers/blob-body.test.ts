import assert from "node:assert/strict";
import { test } from "node:test";
import { CorruptionError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import { MemoryStore } from "../memory/index.ts";
import { assertSame, bytesOf, minute, openBlobs, read, settle, sha256 } from "./testing/blob-client.ts";

test("a body is read as it is consumed, a few chunks ahead", async () => {
  const { blobs, meddling, close } = openBlobs();
  await blobs.put(["b"], bytesOf(40 * 128 * 1024));
  let fetched = 0;
  meddling.read = (keys) => {
    fetched += keys.length;
  };
  const stored = await blobs.get(["b"]);
  const reader = stored?.body.getReader();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(fetched, 0, "nothing is read before it is asked for");
  for (let i = 1; i <= 10; i++) {
    assert.equal((await reader?.read())?.value?.length, 128 * 1024);
    assert.ok(fetched <= i + 8, `${fetched} chunks fetched for ${i}`);
  }
  await reader?.cancel();
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(fetched <= 18);
  await close();
});

test("bytes are read once: a second time is refused", async () => {
  const { blobs, close } = openBlobs();
  await blobs.put(["b"], bytesOf(300_000));
  const [twice, mixed, locked] = [await blobs.get(["b"]), await blobs.get(["b"]), await blobs.get(["b"])];
  await twice?.bytes();
  await assert.rejects(async () => twice?.bytes(), { code: "INVALID_STATE" });
  await assert.rejects(async () => twice?.body.getReader().read(), { code: "INVALID_STATE" });
  await mixed?.body.getReader().read();
  await assert.rejects(async () => mixed?.bytes(), { code: "INVALID_STATE" });
  locked?.body.getReader();
  await assert.rejects(async () => locked?.bytes(), { code: "INVALID_STATE" });
  await close();
});

test("flipped, cut, swapped and missing chunks are corruption, of the whole and of the parts that touch them", async () => {
  const { kv, blobs, close } = openBlobs();
  const size = 128 * 1024;
  const data = bytesOf(3 * size + 100);
  const damages: ((chunk: Uint8Array, other: Uint8Array) => unknown)[] = [
    (chunk) => chunk.with(chunk.length - 1, (chunk.at(-1) as number) ^ 1),
    (chunk) => chunk.with(0, (chunk[0] as number) ^ 1),
    (chunk) => chunk.slice(0, -1),
    (_, other) => other,
    () => new Uint8Array(2),
    () => "text",
    () => undefined,
  ];
  for (const damage of damages) {
    const { etag } = await blobs.put(["b"], data);
    const chunkOf = async (index: number) => (await kv.get<Uint8Array>(["chunk", etag, index]))?.value as Uint8Array;
    const damaged = damage(await chunkOf(1), await chunkOf(2));
    if (damaged === undefined) await kv.delete(["chunk", etag, 1]);
    else await kv.set(["chunk", etag, 1], damaged);
    await assert.rejects(
      read(blobs, ["b"]),
      (error) => error instanceof CorruptionError && /object \["b"\].*chunk 1/.test(error.message),
    );
    await assert.rejects(read(blobs, ["b"], { start: size - 1, end: size + 1 }), { code: "CORRUPTION" });
    assertSame(await read(blobs, ["b"], { start: 0, end: size }), data.slice(0, size));
    assertSame(await read(blobs, ["b"], { start: 2 * size }), data.slice(2 * size));
    const parts: Uint8Array[] = [];
    await assert.rejects(
      async () => {
        for await (const part of (await blobs.get(["b"]))?.body ?? []) parts.push(part);
      },
      { code: "CORRUPTION" },
    );
    assertSame(Buffer.concat(parts), data.slice(0, size));
  }
  await close();
});

test("bytes that do not match their SHA-256 are corruption, and the last of them are held back", async () => {
  const { kv, blobs, close } = openBlobs();
  for (const size of [100, 300_000]) {
    await blobs.put(["b"], bytesOf(size));
    const record = (await kv.get<object>(["object", "b"]))?.value;
    await kv.set(["object", "b"], { ...record, sha256: sha256(bytesOf(size, 2)) });
    let received = 0;
    await assert.rejects(
      async () => {
        for await (const part of (await blobs.get(["b"]))?.body ?? []) received += part.length;
      },
      { code: "CORRUPTION", message: /SHA-256/ },
    );
    assert.ok(received < size);
  }
  for (const nonsense of [5, null, {}, { etag: "x" }, { etag: "x", size: 5, sha256: "", chunkBytes: 0 }]) {
    await kv.set(["object", "b"], nonsense);
    await assert.rejects(blobs.head(["b"]), { code: "CORRUPTION", message: /\["b"\]/ });
  }
  await close();
});

test("a reader of an object that is replaced or deleted meanwhile has a minute, then hears why it cannot go on", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const { blobs, store: objects, count, close } = openBlobs(store, runtime);
  const data = bytesOf(1_500_000);
  for (const [what, end] of [
    ["replaced", () => blobs.put(["b"], bytesOf(10))],
    ["deleted", () => blobs.delete(["b"])],
  ] as const) {
    await settle(runtime, blobs.put(["b"], data));
    const [slow, late] = [await blobs.get(["b"]), await blobs.get(["b"])];
    await settle<unknown>(runtime, end());
    await runtime.advance(minute - 5000);
    await objects.collect();
    assertSame(await settle(runtime, (slow as NonNullable<typeof slow>).bytes()), data);
    await runtime.advance(10_000);
    await objects.collect();
    assert.deepEqual([await count("chunk"), await count("garbage")], [0, 0]);
    await assert.rejects(settle(runtime, (late as NonNullable<typeof late>).bytes()), {
      code: "CONFLICT",
      message: new RegExp(what),
    });
  }
  await close();
});
