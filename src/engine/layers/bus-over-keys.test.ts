import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeUtf8, encodeUtf8, type Key, systemRuntime, UnavailableError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { Batch, Change, Kv } from "../contract.ts";
import { MemoryStore, openMemory } from "../memory/index.ts";
import { busOverKeys } from "./bus-over-keys.ts";

function inbox() {
  const texts: string[] = [];
  return {
    texts,
    deliver: (subject: Uint8Array, payload: Uint8Array) =>
      void texts.push(`${decodeUtf8(subject)}=${decodeUtf8(payload)}`),
  };
}

test("messages reach those subscribed before, of every client, once, and leave nothing for ever", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const engines = [openMemory({ store, runtime }), openMemory({ store, runtime })] as const;
  const [here, there] = [busOverKeys(engines[0].kv, runtime), busOverKeys(engines[1].kv, runtime)];
  await here.publish(encodeUtf8("s"), encodeUtf8("before"));
  const [one, other] = [inbox(), inbox()];
  const subscriptions = [await here.subscribe(one.deliver), await there.subscribe(other.deliver)];
  for (let i = 0; i < 3; i++) await (i % 2 ? here : there).publish(encodeUtf8("s"), encodeUtf8(String(i)));
  await runtime.advance(0);
  assert.deepEqual(
    [one.texts, other.texts],
    [
      ["s=0", "s=1", "s=2"],
      ["s=0", "s=1", "s=2"],
    ],
  );

  await subscriptions[0]?.close();
  await there.publish(encodeUtf8("s"), encodeUtf8("after"));
  await runtime.advance(11_000);
  assert.equal(one.texts.length, 3);
  assert.equal(other.texts.at(-1), "s=after");
  assert.deepEqual(await Array.fromAsync(engines[0].kv.list({})), []);
  await subscriptions[1]?.close();
  for (const engine of engines) await engine.close();
});

test("messages published without a pause share commits, in their order, and within every engine's limits", async () => {
  const batches: Batch[] = [];
  const kv = { commit: async (batch: Batch) => void batches.push(batch) } as unknown as Kv;
  const bus = busOverKeys(kv, systemRuntime);
  const messages = Array.from({ length: 120 }, (_, i) => encodeUtf8(String(i)));
  await Promise.all(messages.map((message) => bus.publish(encodeUtf8("s"), message)));
  assert.deepEqual(
    batches.map(({ mutations }) => mutations?.length),
    [50, 50, 20],
  );
  const sets = batches.flatMap(({ mutations = [] }) => mutations as { set: Key; value: Uint8Array[] }[]);
  assert.deepEqual(
    sets.map(({ value }) => value[1]),
    messages,
  );
  const ids = sets.map(({ set }) => set[0] as string);
  assert.deepEqual(ids, [...new Set(ids)].sort());

  batches.length = 0;
  await Promise.all(Array.from({ length: 3 }, () => bus.publish(encodeUtf8("s"), new Uint8Array(300_000))));
  assert.equal(batches.length, 3);
});

test("a watch that breaks is begun again", async () => {
  const runtime = createManualRuntime();
  const engine = openMemory({ runtime });
  let breakIt = (_: Error): void => {};
  let watches = 0;
  const kv = {
    commit: engine.kv.commit.bind(engine.kv),
    watch: () => {
      if (++watches === 2) throw new UnavailableError("still away");
      const inner = engine.kv.watch<[Uint8Array, Uint8Array]>({});
      const broken = new Promise<never>((_, reject) => {
        breakIt = reject;
      });
      broken.catch(() => {});
      return {
        next: () => Promise.race([inner.next(), broken]),
        return: () => inner.return?.(),
        [Symbol.asyncIterator]() {
          return this;
        },
      } as AsyncIterableIterator<Change<[Uint8Array, Uint8Array]>[]>;
    },
  } as unknown as Kv;
  const bus = busOverKeys(kv, runtime);
  const { texts, deliver } = inbox();
  const subscription = await bus.subscribe(deliver);
  breakIt(new UnavailableError("away"));
  for (let i = 0; i < 100 && watches < 3; i++) await runtime.advance(100);
  await bus.publish(encodeUtf8("s"), encodeUtf8("again"));
  await runtime.advance(0);
  assert.deepEqual([watches, texts], [3, ["s=again"]]);
  await subscription.close();
  await engine.close();
});
