import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { RateLimitedError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createRelay, type DeliverContext, drop, park, type RelayMessage, type RelayOptions, stop } from "./index.ts";
import { until } from "./testing/until.ts";

interface Order {
  readonly n: number;
}

const quick = { attempts: 5, backoff: { base: 5, cap: 20 } };

for (const kind of storeKinds) {
  describe(`relays on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

/** What was delivered, in order. */
function recorder(behave: (n: number, context: DeliverContext) => void | Promise<void> = () => {}) {
  const seen: { n: number; id: string; attempt: number }[] = [];
  const deliver = async ({ n }: Order, context: DeliverContext) => {
    seen.push({ n, id: context.id, attempt: context.attempt });
    await behave(n, context);
  };
  return { seen, deliver };
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };
  const idle = (relay: ReturnType<typeof createRelay<Order>>) => async () => {
    const { waiting, delayed, blocked, active } = await relay.queue.counts();
    return waiting + delayed + blocked + active === 0;
  };

  test(
    "a message is delivered under the id that its sender was told",
    on(async (a, b) => {
      const { seen, deliver } = recorder((_, context) => {
        assert.deepEqual(context.headers, { tenant: "t1" });
        assert.ok(context.sent > 1e12);
      });
      const sent = await createRelay<Order>(a, "orders", { deliver }).send({ n: 1 }, { headers: { tenant: "t1" } });
      const relay = createRelay<Order>(b, "orders", { deliver });
      await using _running = relay.run();
      await until(idle(relay));
      assert.deepEqual(seen, [{ n: 1, id: sent.id, attempt: 1 }]);
      assert.equal(sent.id, sent.job);
    }),
  );

  test(
    "a message sent in a transaction is delivered if that commits, and only then",
    on(async (a) => {
      const { seen, deliver } = recorder();
      const relay = createRelay<Order>(a, "orders", { deliver });
      const undone = a.transact(async (tx) => {
        await relay.send({ n: 1 }, { tx });
        throw new Error("undone");
      });
      await assert.rejects(undone, /undone/);
      await a.transact(async (tx) => {
        tx.set(["order", 2], "paid");
        await relay.send({ n: 2 }, { tx });
      });
      await using _running = relay.run();
      await until(() => seen.length > 0);
      await until(idle(relay));
      assert.deepEqual(
        seen.map(({ n }) => n),
        [2],
      );
    }),
  );

  test(
    "a delivery that fails is tried again under the same id, and what it writes commits with the acknowledgement",
    on(async (a) => {
      const { seen, deliver } = recorder((_, { tx, attempt, id }) => {
        tx.add(["delivered", id], 1);
        if (attempt < 3) throw new Error("not now");
      });
      const relay = createRelay<Order>(a, "orders", { deliver, retry: quick });
      const { id } = await relay.send({ n: 1 }, { id: "order-1" });
      assert.equal(id, "order-1");
      await using _running = relay.run();
      await until(async () => (await a.kv.get(["delivered", "order-1"])) !== undefined);
      await until(idle(relay));
      assert.deepEqual(
        seen.map((each) => [each.id, each.attempt]),
        [1, 2, 3].map((attempt) => ["order-1", attempt]),
      );
      assert.equal((await a.kv.get(["delivered", "order-1"]))?.value, 1);
    }),
  );

  test(
    "an id that is under way is not sent again; afterwards, or after the time to remember it, it is",
    on(async (a, b) => {
      const { seen, deliver } = recorder();
      const [one, two] = [createRelay<Order>(a, "orders", { deliver }), createRelay<Order>(b, "orders", { deliver })];
      const first = await one.send({ n: 1 }, { id: "x" });
      assert.deepEqual(await two.send({ n: 1 }, { id: "x" }), { ...first, duplicate: true });
      await using running = one.run();
      await until(() => seen.length === 1);
      await until(idle(one));
      assert.equal((await two.send({ n: 2 }, { id: "x" })).duplicate, undefined);
      await until(() => seen.length === 2);
      await until(idle(one));
      await running.close();
      const long = createRelay<Order>(a, "orders", { deliver, remember: "1h" });
      await using _again = long.run();
      assert.equal((await long.send({ n: 3 }, { id: "y" })).duplicate, undefined);
      await until(() => seen.length === 3);
      await until(idle(long));
      assert.equal((await long.send({ n: 3 }, { id: "y" })).duplicate, true);
    }),
  );

  test(
    "messages of a key are delivered in order, those of others meanwhile",
    on(async (a) => {
      const { seen, deliver } = recorder((n, { attempt }) => {
        if (n === 1 && attempt < 3) throw new Error("not now");
      });
      const relay = createRelay<Order>(a, "orders", { deliver, retry: quick });
      for (const n of [1, 2, 3]) await relay.send({ n }, { key: "k" });
      await relay.send({ n: 10 }, { key: "other" });
      await using _running = relay.run();
      await until(() => seen.length >= 6);
      await until(idle(relay));
      const ofKey = seen.map(({ n }) => n).filter((n) => n < 10);
      assert.deepEqual(ofKey, [1, 1, 1, 2, 3]);
    }),
  );

  test(
    "a parked message is a dead letter with its reason, and delivered under the same id when it is redriven; a dropped one is gone",
    on(async (a) => {
      let broken = true;
      const { seen, deliver } = recorder((n) => {
        if (n === 2) throw drop("nobody wants it");
        if (broken) throw park("no such customer");
      });
      const relay = createRelay<Order>(a, "orders", { deliver });
      await relay.send({ n: 1 }, { id: "one" });
      await relay.send({ n: 2 });
      await using _running = relay.run();
      await until(() => seen.length === 2);
      await until(idle(relay));
      const dead = await Array.fromAsync(relay.queue.deadLetters.list());
      assert.deepEqual(
        dead.map(({ data, reason, history }) => [data, reason, history?.[0]?.message]),
        [[{ message: { n: 1 }, id: "one" }, "parked", "no such customer"]],
      );
      broken = false;
      assert.equal(await relay.queue.deadLetters.redrive(), 1);
      await until(() => seen.length === 3);
      assert.equal(seen[2]?.id, "one");
    }),
  );

  test(
    "a receiver that wants no more stops the relay; nothing is lost until it is resumed",
    on(async (a) => {
      let gone = true;
      const { seen, deliver } = recorder(() => {
        if (gone) throw stop("410");
      });
      const relay = createRelay<Order>(a, "orders", { deliver, retry: quick });
      await using _running = relay.run({ concurrency: 1 });
      await relay.send({ n: 1 });
      await until(async () => (await relay.queue.counts()).paused);
      const before = seen.length;
      await relay.send({ n: 2 });
      gone = false;
      await relay.queue.resume();
      await until(idle(relay));
      const after = seen.slice(before).map(({ n }) => n);
      assert.deepEqual(after.sort(), [1, 2]);
    }),
  );
}

test("a pause that the receiver asks for is heeded, but none shorter than the backoff", async () => {
  await using engine = openMemory();
  const dueAfter = async (retryAfterMs: number, retry: NonNullable<RelayOptions<Order>["retry"]>) => {
    const scope = engine.scope(`${retryAfterMs} ${JSON.stringify(retry)} ${typeof retry.backoff}`);
    const deliver = () => {
      throw new RateLimitedError("slow down", { details: { retryAfterMs } });
    };
    const relay = createRelay<Order>(scope, "orders", { deliver, retry });
    const { job } = await relay.send({ n: 1 });
    const began = await engine.now();
    await using _running = relay.run();
    await until(async () => (await relay.queue.get(job))?.state === "delayed");
    return ((await relay.queue.get(job))?.due ?? 0) - began;
  };
  const asked = await dueAfter(600_000, {});
  assert.ok(asked >= 600_000 && asked < 610_000, `${asked}`);
  const short = await dueAfter(1, { backoff: { base: "1m", cap: "1h" } });
  assert.ok(short >= 30_000 && short < 40_000, `${short}`);
  const own = await dueAfter(1, { backoff: () => "2m" });
  assert.ok(own >= 120_000 && own < 130_000, `${own}`);
});

test("a delivery that takes too long is told by its signal, and tried again", async () => {
  await using engine = openMemory();
  const reasons: unknown[] = [];
  const relay = createRelay<Order>(engine, "orders", {
    timeout: 30,
    retry: quick,
    deliver: async (_, { attempt, signal }) => {
      if (attempt > 1) return;
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      reasons.push(signal.reason);
    },
  });
  await relay.send({ n: 1 });
  await using _running = relay.run();
  await until(
    async () => (await relay.queue.counts()).active + (await relay.queue.counts()).delayed === 0 && reasons.length > 0,
  );
  assert.match(String(reasons[0]), /30 ms/);
});

test("listeners learn of deliveries, failures and stops", async () => {
  await using engine = openMemory();
  const heard: string[] = [];
  const listen = (message: unknown, name: string | symbol) => {
    const { relay, id, attempt, error } = message as RelayMessage;
    heard.push(`${String(name).split(":")[2]} ${relay} ${id} ${attempt} ${error ?? ""}`.trim());
  };
  const names = ["delivered", "failed", "stopped"].map((each) => `ashlar:relay:${each}`);
  for (const name of names) subscribe(name, listen);
  try {
    const deliver = (_: Order, { attempt }: DeliverContext) => {
      if (attempt === 1) throw stop("gone");
    };
    const relay = createRelay<Order>(engine, "orders", { deliver, retry: quick });
    await using _running = relay.run();
    await relay.send({ n: 1 }, { id: "x" });
    await until(() => heard.length === 2);
    await relay.queue.resume();
    await until(() => heard.length === 3);
  } finally {
    for (const name of names) unsubscribe(name, listen);
  }
  assert.deepEqual(heard, [
    "failed orders x 1 Stopped: gone",
    "stopped orders x 1 Stopped: gone",
    "delivered orders x 2",
  ]);
});

test("bad input is refused, by its name", async () => {
  await using engine = openMemory();
  const deliver = () => {};
  const make = (options: object, name = "x") => createRelay(engine, name, { deliver, ...options });
  const refused = (run: () => unknown, message: RegExp) =>
    assert.rejects(async () => await run(), { code: "INVALID_ARGUMENT", message });
  await refused(() => make({}, ""), /^name:/);
  await refused(() => make({}, "x".repeat(191)), /^name:/);
  await refused(() => make({ deliver: "http://x" }), /^deliver:/);
  await refused(() => make({ retries: 3 }), /^options\.retries:/);
  await refused(() => make({ retry: { attempts: 0 } }), /^retry\.attempts:/);
  await refused(() => make({ timeout: 0 }), /^timeout:/);
  await refused(() => make({ remember: 5 }), /^remember:/);
  await refused(() => make({}).run({ prefetch: 5 } as object), /^options\.prefetch:/);
  for (const id of ["", "a.b", "a b", "ü", "x".repeat(201)]) await refused(() => make({}).send(1, { id }), /^id:/);
  await refused(() => make({}).send(undefined), /^message:/);
  await refused(() => make({}).send(1, { dedupe: "x" } as object), /^options\.dedupe:/);
});
