import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createLatch } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`latches on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "opens when it was counted down often enough, for all, and stays open",
    on(async (a, b) => {
      const [one, two] = [createLatch(a, "start", { count: 3 }), createLatch(b, "start", { count: 3 })];
      const waiting = [one.wait(), two.wait()];
      assert.equal(await one.remaining(), 3);
      await Promise.all([one.countDown(), two.countDown()]);
      assert.equal(await two.remaining(), 1);
      await assert.rejects(two.wait({ timeout: 20 }), code("TIMEOUT"));
      await one.countDown();
      await Promise.all(waiting);
      await two.countDown();
      assert.equal(await one.remaining(), 0);
      await one.wait();
    }),
  );

  test(
    "who has counted counts once, from whichever process",
    on(async (a, b) => {
      const [one, two] = [createLatch(a, "l", { count: 2 }), createLatch(b, "l", { count: 2 })];
      await Promise.all([one.countDown({ by: "w1" }), two.countDown({ by: "w1" }), one.countDown({ by: "w1" })]);
      assert.equal(await two.remaining(), 1);
      await two.countDown({ by: "w2" });
      await one.wait();
    }),
  );

  test(
    "counts with a transaction or not at all",
    on(async (a) => {
      const latch = createLatch(a, "l", { count: 1 });
      await assert.rejects(
        a.transact(async (tx) => {
          await latch.countDownIn(tx);
          throw new Error("no");
        }),
        /no/,
      );
      assert.equal(await latch.remaining(), 1);
      await a.transact((tx) => latch.countDownIn(tx, { by: "w1" }));
      await latch.wait();
    }),
  );

  test(
    "different counts of one latch are found out",
    on(async (a, b) => {
      await createLatch(a, "l", { count: 2 }).countDown();
      await assert.rejects(createLatch(b, "l", { count: 3 }).countDown(), code("INVALID_STATE"));
    }),
  );
}

test("a wait ends by its signal", async () => {
  await using engine = openMemory();
  const latch = createLatch(engine, "l", { count: 1 });
  const controller = new AbortController();
  const waiting = latch.wait({ signal: controller.signal, timeout: Number.POSITIVE_INFINITY });
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(latch.wait({ signal: controller.signal }), /enough/);
});

test("bad options are refused", async () => {
  await using engine = openMemory();
  assert.throws(() => createLatch(engine, "", { count: 1 }), /name/);
  for (const count of [0, 1.5, 1e10]) assert.throws(() => createLatch(engine, "l", { count }), /count/);
  assert.throws(() => createLatch(engine, "l", { count: 1, retention: "1s" }), /retention/);
  await assert.rejects(createLatch(engine, "l", { count: 1 }).countDown({ by: "" }), /by/);
  await assert.rejects(createLatch(engine, "l", { count: 1 }).wait({ timeout: -1 }), /timeout/);
});
