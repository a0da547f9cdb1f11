import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createBarrier } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`barriers on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

/** Resolves when so many parties wait at the barrier "b". */
async function gathered(engine: Engine, parties: number): Promise<void> {
  const barrier = createBarrier(engine, "b", { parties: 1 });
  for await (const _ of engine.scope("barrier").kv.watch({ prefix: ["b"] }))
    if ((await barrier.waiting()).length === parties) return;
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "parties pass together, again and again, and each has an index of its own",
    on(async (a, b) => {
      const at = (engine: Engine, party: string) => createBarrier(engine, "b", { parties: 3, party });
      const parties = [at(a, "x"), at(a, "y"), at(b, "z")];
      let before = 0;
      for (let round = 0; round < 3; round++) {
        const passages = await Promise.all(parties.map((party) => party.arrive()));
        assert.deepEqual(passages.map(({ index }) => index).sort(), [0, 1, 2]);
        const { generation, parties: names } = passages[0] as (typeof passages)[0];
        assert.deepEqual(names.toSorted(), ["x", "y", "z"]);
        for (const passage of passages) assert.deepEqual([passage.generation, passage.parties], [generation, names]);
        for (const [i, { index }] of passages.entries()) assert.equal(names[index], "xyz"[i]);
        assert.ok(generation > before);
        before = generation;
      }
      assert.deepEqual(await (parties[0] as (typeof parties)[0]).waiting(), []);
    }),
  );

  test(
    "nobody passes before the last has come",
    on(async (a, b) => {
      let passed = 0;
      const barrier = createBarrier(a, "b", { parties: 3 });
      const early = [barrier.arrive(), createBarrier(b, "b", { parties: 3 }).arrive()].map((arrival) =>
        arrival.then(() => passed++),
      );
      await gathered(a, 2);
      assert.equal(passed, 0);
      await barrier.arrive();
      await Promise.all(early);
    }),
  );

  test(
    "more than must come: the first pass, the others wait for the next time",
    on(async (a, b) => {
      const arrivals = Array.from({ length: 6 }, (_, i) => createBarrier(i % 2 ? a : b, "b", { parties: 3 }).arrive());
      const passages = await Promise.all(arrivals);
      const generations = new Map<number, number>();
      for (const { generation } of passages) generations.set(generation, (generations.get(generation) ?? 0) + 1);
      assert.deepEqual([...generations.values()], [3, 3]);
    }),
  );

  test(
    "who gives up is not counted, and the others go on waiting",
    on(async (a, b) => {
      const barrier = createBarrier(a, "b", { parties: 2 });
      const controller = new AbortController();
      const impatient = barrier.arrive({ signal: controller.signal });
      await gathered(a, 1);
      controller.abort(new Error("enough"));
      await assert.rejects(impatient, /enough/);
      assert.deepEqual(await barrier.waiting(), []);
      await assert.rejects(barrier.arrive({ timeout: 30 }), code("TIMEOUT"));
      const passages = await Promise.all([barrier.arrive(), createBarrier(b, "b", { parties: 2 }).arrive()]);
      assert.equal(passages[0]?.generation, passages[1]?.generation);
    }),
  );

  test(
    "who dies while it waits does not count, and a new one takes its place; under the same name at once",
    on(async (a, b) => {
      const dying = createBarrier(b, "b", { parties: 2, party: "worker" }).arrive({ timeout: "1h" });
      dying.catch(() => {});
      await gathered(a, 1);
      const restarted = createBarrier(a, "b", { parties: 2, party: "worker" }).arrive();
      await gathered(a, 1);
      await b.close();
      await assert.rejects(dying);
      const other = await createBarrier(a, "b", { parties: 2, party: "other" }).arrive();
      assert.deepEqual(other.parties.toSorted(), ["other", "worker"]);
      assert.equal((await restarted).generation, other.generation);
    }),
  );

  test(
    "nobody passes together with the dead",
    on(async (a, b) => {
      const dying = createBarrier(b, "b", { parties: 2 }).arrive({ timeout: "1h" });
      dying.catch(() => {});
      await gathered(a, 1);
      await b.close();
      const barrier = createBarrier(a, "b", { parties: 2 });
      await assert.rejects(barrier.arrive({ timeout: 100 }), code("TIMEOUT"));
      await Promise.all([barrier.arrive(), barrier.arrive()]);
    }),
  );

  test(
    "whose lease ends while it lives comes again under another",
    on(async (a, b) => {
      const lease = async () => {
        for await (const { value } of a.scope("barrier").kv.list<{ lease: string }>({ prefix: ["b", "arrived"] }))
          return value.lease;
        return undefined;
      };
      const waiting = createBarrier(a, "b", { parties: 2, ttl: 300 }).arrive();
      await gathered(a, 1);
      const first = (await lease()) as string;
      await b.kv.delete(["lease", first]);
      for await (const _ of a.scope("barrier").kv.watch({ prefix: ["b", "arrived"] }))
        if ((await lease()) !== first) break;
      const other = await createBarrier(b, "b", { parties: 2 }).arrive();
      assert.equal((await waiting).generation, other.generation);
    }),
  );

  test(
    "a barrier of one lets everybody pass, and different numbers of parties are found out",
    on(async (a, b) => {
      assert.equal((await createBarrier(a, "one", { parties: 1 }).arrive()).index, 0);
      await assert.rejects(createBarrier(b, "one", { parties: 2 }).arrive(), code("INVALID_STATE"));
    }),
  );
}

test("a hundred parties pass, and nothing of them stays behind but the state and who passed", async () => {
  await using engine = openMemory();
  const passages = await Promise.all(
    Array.from({ length: 100 }, () => createBarrier(engine, "b", { parties: 100 }).arrive()),
  );
  assert.equal(new Set(passages.map(({ index }) => index)).size, 100);
  await new Promise(setImmediate);
  const keys: unknown[] = [];
  for await (const { key } of engine.scope("barrier").kv.list({ prefix: [] })) keys.push(key[1]);
  assert.deepEqual(keys, ["passed", "state"]);
});

test("comings, passings and withdrawals are announced", async () => {
  await using engine = openMemory();
  const events: string[] = [];
  const listeners = ["arrived", "passed", "withdrawn"].map((event) => {
    const listen = (message: unknown) => void events.push(`${event} ${(message as { party: string }).party}`);
    subscribe(`ashlar:barrier:${event}`, listen);
    return () => unsubscribe(`ashlar:barrier:${event}`, listen);
  });
  const at = (party: string) => createBarrier(engine, "b", { parties: 2, party });
  await assert.rejects(at("c").arrive({ timeout: 5 }));
  await Promise.all([at("a").arrive(), at("b").arrive()]);
  for (const stop of listeners) stop();
  assert.deepEqual(events.toSorted(), ["arrived a", "arrived b", "arrived c", "passed a", "passed b", "withdrawn c"]);
});

test("an abort before the coming leaves no trace", async () => {
  await using engine = openMemory();
  await assert.rejects(
    createBarrier(engine, "b", { parties: 2 }).arrive({ signal: AbortSignal.abort(new Error("never")) }),
    /never/,
  );
  for await (const { key } of engine.scope("barrier").kv.list({ prefix: [] })) assert.fail(`${key}`);
});

test("bad options are refused", async () => {
  await using engine = openMemory();
  assert.throws(() => createBarrier(engine, "", { parties: 1 }), /name/);
  for (const parties of [0, 1.5, 1001]) assert.throws(() => createBarrier(engine, "b", { parties }), /parties/);
  assert.throws(() => createBarrier(engine, "b", { parties: 1, party: "" }), /party/);
  assert.throws(() => createBarrier(engine, "b", { parties: 1, ttl: 10 }), /ttl/);
  await assert.rejects(createBarrier(engine, "b", { parties: 1 }).arrive({ timeout: -1 }), /timeout/);
});
