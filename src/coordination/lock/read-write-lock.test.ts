import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createReadWriteLock } from "./index.ts";
import { claimsIn, waiting } from "./testing/queue.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`read–write locks on ${kind.name}`, { skip: kind.skip, timeout: 60_000 }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "readers share, a writer excludes all",
    on(async (a, b) => {
      const [ours, theirs] = [createReadWriteLock(a, "book"), createReadWriteLock(b, "book")];
      const readers = [await ours.read(), await theirs.read(), await theirs.tryRead()];
      assert.ok(readers.every((reader) => reader?.held));
      assert.equal(await ours.tryWrite(), undefined);
      await Promise.all(readers.map((reader) => reader?.release()));
      const writer = await theirs.tryWrite();
      assert.ok(writer);
      assert.ok(readers.every((reader) => reader && reader.token < writer.token));
      assert.equal(await ours.tryRead(), undefined);
      assert.equal(await ours.tryWrite(), undefined);
      await writer.release();
      assert.ok(await ours.tryRead());
    }),
  );

  test(
    "a writer waits for the readers before it, and readers behind it wait for it",
    on(async (a, b) => {
      const [ours, theirs] = [createReadWriteLock(a, "book"), createReadWriteLock(b, "book")];
      const order: string[] = [];
      const reader = await ours.read();
      const writes = theirs.withWrite(() => void order.push("writer"));
      await waiting(a, "book", 1, "read-write");
      assert.equal(await ours.tryRead(), undefined);
      const reads = [1, 2].map(() => theirs.withRead(() => void order.push("reader")));
      await waiting(a, "book", 3, "read-write");
      assert.deepEqual(order, []);
      await reader.release();
      await Promise.all([writes, ...reads]);
      assert.deepEqual(order, ["writer", "reader", "reader"]);
      assert.deepEqual(await claimsIn(a), []);
    }),
  );

  test(
    "readers that waited behind a writer are inside at the same time",
    on(async (a, b) => {
      const writer = await createReadWriteLock(a, "book").write();
      const reads = [1, 2, 3].map((i) => createReadWriteLock(i === 2 ? a : b, "book").read());
      await waiting(a, "book", 3, "read-write");
      await writer.release();
      assert.ok((await Promise.all(reads)).every(({ held }) => held));
    }),
  );

  test(
    "a stream of readers does not starve a writer",
    on(async (a, b) => {
      const [ours, theirs] = [createReadWriteLock(a, "book"), createReadWriteLock(b, "book")];
      let written = false;
      const streams = Promise.withResolvers<void>();
      const stream = async (): Promise<void> => {
        let last = await ours.read();
        for (let round = 0; !written; round++) {
          // Each comes before the one before it leaves, so that the book is never free of readers by itself.
          const next = ours.read();
          if (round < 3) await next;
          else streams.resolve();
          await last.release();
          last = await next;
        }
        await last.release();
      };
      const streaming = stream();
      await streams.promise;
      await theirs.withWrite(() => {
        written = true;
      });
      await streaming;
    }),
  );

  test(
    "a writer whose lease has ended writes nothing, and readers come in",
    on(async (a, b) => {
      const lost = await createReadWriteLock(a, "book").write();
      const { signal } = lost;
      const reads = createReadWriteLock(b, "book").read();
      await waiting(b, "book", 1, "read-write");
      await b.kv.delete(["lease", lost.lease]);
      const reader = await reads;
      await assert.rejects(
        a.transact((tx) => tx.set(["k"], 1), { fence: lost }),
        code("LEASE_LOST"),
      );
      assert.deepEqual([lost.held, signal.aborted], [false, true]);
      await b.transact(async (tx) => tx.get(["k"]), { fence: reader });
      await lost.release();
      assert.deepEqual(
        (await createReadWriteLock(b, "book").inspect()).holders.map(({ weight }) => weight),
        [1],
      );
    }),
  );
}

test("withRead and withWrite pass on results and errors, and release", async () => {
  await using engine = openMemory();
  const book = createReadWriteLock(engine, "book", { owner: "me" });
  assert.equal(await book.withRead(() => 1), 1);
  assert.equal(await book.withWrite(async () => 2), 2);
  const error = new Error("no");
  await assert.rejects(
    book.withWrite(() => Promise.reject(error)),
    error,
  );
  await book.withRead(async () => {
    const { holders, waiting: queue } = await book.inspect();
    assert.deepEqual([holders.map(({ owner, weight }) => [owner, weight]), queue], [[["me", 1]], []]);
  });
  assert.ok(await book.tryWrite());
});

test("two readers that both want to write time out and hold nothing more", async () => {
  await using engine = openMemory();
  const book = createReadWriteLock(engine, "book");
  const readers = [await book.read(), await book.read()];
  await Promise.all(readers.map(() => assert.rejects(book.write({ timeout: 50 }), code("TIMEOUT"))));
  await waiting(engine, "book", 0, "read-write");
  await Promise.all(readers.map((reader) => reader.release()));
  assert.ok(await book.write());
});
