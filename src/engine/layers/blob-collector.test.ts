import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import { MemoryStore } from "../memory/index.ts";
import { type BlobClient, bytesOf, minute, openBlobs, read, settle, touches } from "./testing/blob-client.ts";

test("what a process that died left behind is collected after an hour, and what is still growing is not", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const [dead, alive] = [openBlobs(store, runtime), openBlobs(store, runtime)];
  // Dies after the third chunk: nothing of it arrives any more.
  let chunks = 0;
  dead.meddling.before = (batch) =>
    (touches("chunk")(batch) && ++chunks > 3) || chunks > 3 ? new Promise(() => {}) : undefined;
  dead.blobs.put(["dead"], bytesOf(2_000_000)).catch(() => {});
  let next = (): void => {};
  const slow = async function* () {
    for (let i = 0; i < 12; i++) {
      yield bytesOf(128 * 1024, i + 1);
      await new Promise<void>((resolve) => {
        next = resolve;
      });
    }
  };
  const putting = alive.blobs.put(["slow"], slow());
  for (let i = 0; i < 12; i++) {
    await runtime.advance(11 * minute);
    await alive.store.collect();
    next();
    await runtime.advance(1);
  }
  const { size } = await settle(runtime, putting);
  assert.equal(size, 12 * 128 * 1024);
  assert.equal((await settle(runtime, read(alive.blobs, ["slow"])))?.length, size);
  await alive.store.collect();
  assert.deepEqual([await alive.count("upload"), await alive.count("chunk"), await alive.count("garbage")], [0, 12, 0]);
  await Promise.all([dead.close(), alive.close()]);
});

test("many writers of one object all succeed, and one of their objects stays, its chunks alone", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const clients = [openBlobs(store, runtime), openBlobs(store, runtime)];
  const puts = Array.from({ length: 12 }, (_, i) =>
    (clients[i % 2] as BlobClient).blobs.put(["b"], bytesOf(i % 3 ? 300_000 : 50, i)),
  );
  const infos = await settle(runtime, Promise.all(puts));
  const [client] = clients as [BlobClient];
  const present = await client.blobs.head(["b"]);
  assert.ok(infos.some(({ etag }) => etag === present?.etag));
  await runtime.advance(2 * minute);
  await client.store.collect();
  assert.equal(await client.count("chunk"), (present?.size ?? 0) > 1000 ? 3 : 0);
  assert.equal(await client.count("garbage"), 0);
  for (const each of clients) await each.close();
});

test("collecting works in portions, several clients at once, and comes to an end", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const clients = [openBlobs(store, runtime), openBlobs(store, runtime)] as const;
  const [{ blobs, count }] = clients;
  await settle(runtime, blobs.put(["large"], bytesOf(700 * 1000), {}));
  await blobs.delete(["large"]);
  const small = openBlobs(store, runtime, { valueBytes: 1064 });
  await settle(runtime, small.blobs.put(["many"], bytesOf(700 * 1000)));
  assert.equal(await count("chunk"), 6 + 700);
  await small.blobs.delete(["many"]);
  await runtime.advance(2 * minute);
  let removed = 0;
  for (let round = 0; round < 20 && (await count("garbage")) > 0; round++) {
    const portions = await Promise.all(clients.map((client) => client.store.collect()));
    for (const portion of portions) {
      assert.ok(portion <= 256 + 64);
      removed += portion;
    }
  }
  assert.equal(removed, 706);
  assert.deepEqual([await count("chunk"), await count("garbage")], [0, 0]);
  for (const client of [...clients, small]) await client.close();
});

test("putting and deleting collect by themselves", async () => {
  const runtime = createManualRuntime();
  const { blobs, count, close } = openBlobs(new MemoryStore(runtime), runtime);
  await settle(runtime, blobs.put(["large"], bytesOf(700_000)));
  await blobs.delete(["large"]);
  await runtime.advance(2 * minute);
  await blobs.put(["small"], bytesOf(1));
  await runtime.advance(1);
  assert.deepEqual([await count("chunk"), await count("garbage")], [0, 0]);
  await close();
});
