import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Key } from "../../core/index.ts";
import type { Blobs } from "../contract.ts";
import { assertSame, bytesOf, openBlobs, pieces, read, sha256 } from "./testing/blob-client.ts";

test("objects of any size, in pieces of any size, come back whole and in part", async () => {
  const { blobs, close } = openBlobs(undefined, undefined, { valueBytes: 1000 });
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.nat(3000), fc.integer({ min: 16_000, max: 20_000 })),
      fc.integer({ min: 1, max: 5000 }),
      fc.nat(20_000),
      fc.nat(20_000),
      async (size, piece, a, b) => {
        const data = bytesOf(size, size + 1);
        const info = await blobs.put(["b"], pieces(data, piece));
        assert.deepEqual([info.size, info.sha256], [size, sha256(data)]);
        assertSame(await read(blobs, ["b"]), data);
        const [start, end] = a < b ? [a, b] : [b, a];
        if (start < size) assertSame(await read(blobs, ["b"], { start, end }), data.slice(start, end));
        const streamed: Uint8Array[] = await Array.fromAsync((await blobs.get(["b"]))?.body ?? []);
        assertSame(Buffer.concat(streamed), data);
      },
    ),
    { numRuns: 60 },
  );
  await close();
});

test("a small object is one commit, and leaves no garbage when it is replaced", async () => {
  const { blobs, meddling, count, close } = openBlobs();
  let commits = 0;
  meddling.before = () => void commits++;
  await blobs.put(["b"], bytesOf(16 * 1024));
  await blobs.put(["b"], bytesOf(5));
  assert.equal(commits, 2);
  assert.deepEqual(
    [await count("chunk"), await count("upload"), await count("garbage"), await count("object")],
    [0, 0, 0, 1],
  );
  await close();
});

test("lists go over pages, in both directions, and stop at their limit and at the namespace", async () => {
  const { store, close } = openBlobs();
  const all = store.under([]);
  const names = Array.from({ length: 150 }, (_, i) => i);
  await Promise.all(names.map((i) => store.under(["s"]).put(["k", i], bytesOf(i))));
  await all.put(["s"], bytesOf(1));
  await all.put(["t", 1], bytesOf(1));
  const keysOf = async (blobs: Blobs, ...args: Parameters<Blobs["list"]>) =>
    (await Array.fromAsync(blobs.list(...args))).map(({ key }) => key);
  const inner = names.map((i) => ["k", i]);
  assert.deepEqual(await keysOf(store.under(["s"]), {}), inner);
  assert.deepEqual(
    await keysOf(store.under(["s"]), {}, { reverse: true, limit: 140 }),
    inner.toReversed().slice(0, 140),
  );
  assert.deepEqual(await keysOf(store.under(["s"]), { after: ["k", 3], end: ["k", 140] }), inner.slice(4, 140));
  assert.deepEqual(
    await keysOf(store.under(["s"]), { start: ["k", 3], end: ["k", 140] }, { reverse: true }),
    inner.slice(3, 140).reverse(),
  );
  assert.deepEqual(await keysOf(store.under(["s"]), { start: [] }), inner);
  assert.deepEqual(await keysOf(store.under(["s"]), { key: [] }), []);
  assert.deepEqual(await keysOf(store.under(["s", "k"]), { key: [64] }), [[64]]);
  assert.deepEqual((await keysOf(all, {})).length, 152);
  assert.throws(() => all.list({ prefix: ["\ud800"] }), { code: "INVALID_ARGUMENT", message: /range\.prefix\[0\]/ });
  await close();
});

test("wrong arguments are named, and what is too large is refused before anything is written", async () => {
  const { blobs, store, meddling, close } = openBlobs();
  meddling.before = () => assert.fail("something was written");
  const data = bytesOf(1);
  const wrong: [() => unknown, RegExp][] = [
    [() => blobs.put([], data), /^key/],
    [() => blobs.put(["a", 1.5] as Key, data), /^key\[1\]/],
    [() => store.under(["n"]).head([null] as unknown as Key), /^key\[0\]/],
    [() => blobs.put(["b"], "text" as never), /^data/],
    [() => blobs.put(["b"], data, { ifMatch: "" }), /^ifMatch/],
    [() => blobs.delete(["b"], { ifMatch: 5 as never }), /^ifMatch/],
    [() => blobs.put(["b"], data, { metadata: { a: 1 } as never }), /^metadata\.a/],
    [() => blobs.put(["b"], data, { metadata: new Map() as never }), /^metadata/],
    [() => blobs.get(["b"], { range: { start: -1 } }), /^range\.start/],
    [() => blobs.get(["b"], { range: { start: 5, end: 4 } }), /^range\.end/],
    [() => blobs.list({}, { limit: -1 }), /^limit/],
  ];
  for (const [call, message] of wrong)
    await assert.rejects(async () => await call(), { code: "INVALID_ARGUMENT", message });
  await assert.rejects(blobs.put(["b"], data, { metadata: { a: "x".repeat(8192) } }), {
    code: "LIMIT",
    message: /^metadata/,
  });
  await assert.rejects(blobs.put(["x".repeat(1010)], data), { code: "LIMIT", message: /^key/ });
  await close();
});
