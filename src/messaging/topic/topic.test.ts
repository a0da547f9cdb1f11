import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError, type StandardSchema, sleep, systemRuntime } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { park } from "../queue/index.ts";
import { createTopic, type Subscription, type TopicEvent } from "./index.ts";

for (const kind of storeKinds) describe(`topics on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));

const retry = { attempts: 3, backoff: { base: 1, cap: 2 } };
const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

function collector<T>(count: number): { readonly items: T[]; readonly all: Promise<T[]>; add(item: T): void } {
  const { promise, resolve } = Promise.withResolvers<T[]>();
  const items: T[] = [];
  const add = (item: T): void => {
    items.push(item);
    if (items.length === count) resolve(items);
  };
  return { items, all: promise, add };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = systemRuntime.clock.monotonic() + 20_000; !(await holds()); ) {
    assert.ok(systemRuntime.clock.monotonic() < end, "waited for 20 s");
    await sleep(systemRuntime, 2);
  }
}

async function untilDone(subscription: Subscription<never>): Promise<void> {
  let empty = 0;
  await until(async () => {
    const { waiting, delayed, blocked, active } = await subscription.counts();
    empty = waiting + delayed + blocked + active === 0 ? empty + 1 : 0;
    return empty === 4;
  });
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "each subscription gets every event, and those who share one share its events",
    on(async (a, b) => {
      const [here, there] = [createTopic<number>(a, "orders.placed"), createTopic<number>(b, "orders.placed")];
      const billing = collector<number>(40);
      const shipping = collector<number>(40);
      await using one = here.subscribe("billing", ({ data }) => billing.add(data));
      await using two = there.subscribe("billing", ({ data }) => billing.add(data));
      await using three = there.subscribe("shipping", ({ data }) => shipping.add(data), { concurrency: 1 });
      await Promise.all([one.ready, two.ready, three.ready]);
      await Promise.all(Array.from({ length: 20 }, (_, i) => here.publish(i)));
      await there.publishMany(Array.from({ length: 20 }, (_, i) => 20 + i));
      await Promise.all([billing.all, shipping.all]);
      await untilDone(here.subscription("billing") as Subscription<never>);
      const all = Array.from({ length: 40 }, (_, i) => i);
      assert.deepEqual(
        billing.items.toSorted((x, y) => x - y),
        all,
      );
      assert.deepEqual(
        shipping.items.toSorted((x, y) => x - y),
        all,
      );
      const names = (await Array.fromAsync(here.subscriptions())).map(({ name, lag }) => [name, lag]);
      assert.deepEqual(names, [
        ["billing", 0],
        ["shipping", 0],
      ]);
    }),
  );

  test(
    "an event is what was published, with its place and time, and joins the transaction of its publisher",
    on(async (a) => {
      const topic = createTopic<string>(a, "t");
      const events = collector<TopicEvent<string>>(3);
      await using subscriber = topic.subscribe("s", (event, { tx, attempt }) => {
        assert.equal(attempt, 1);
        tx.add(["handled", event.id], 1);
        events.add(event);
      });
      await subscriber.ready;
      const failing = a.transact(async (tx) => {
        await topic.publish("never", { tx });
        throw new Error("no");
      });
      await assert.rejects(failing, /no/);
      const first = await a.transact(async (tx) => {
        tx.set(["order"], 1);
        return await topic.publish("one", {
          tx,
          key: "k",
          type: "order.placed",
          subject: "o-1",
          headers: { tenant: "x" },
        });
      });
      const [second, third] = await topic.publishMany(["two", "three"]);
      await events.all;
      const { time, ...event } = events.items[0] as TopicEvent<string>;
      assert.deepEqual(event, {
        id: first.id,
        topic: "t",
        type: "order.placed",
        subject: "o-1",
        data: "one",
        key: "k",
        headers: { tenant: "x" },
        offset: 0,
        version: 1,
      });
      assert.ok(Math.abs(time - (await a.now())) < 60_000);
      assert.deepEqual([first.offset.value, second?.offset.value, third?.offset.value], [0, 1, 2]);
      await untilDone(topic.subscription("s") as Subscription<never>);
      for (const { id } of [first, second, third] as { id: string }[])
        assert.equal((await a.kv.get(["handled", id]))?.value, 1);
    }),
  );

  test(
    "a subscription chooses by patterns of types and by filters",
    on(async (a) => {
      const topic = createTopic<{ total: number }>(a, "orders");
      const got: Record<string, number[]> = { placed: [], large: [], all: [] };
      const note =
        (name: string) =>
        ({ data }: TopicEvent<{ total: number }>) =>
          got[name]?.push(data.total);
      await using all = topic.subscribe("all", note("all"), { concurrency: 1 });
      await using placed = topic.subscribe("placed", note("placed"), { types: "order.placed.*", concurrency: 1 });
      const filter = { all: [{ exact: { tenant: "t1" } }, { not: { exact: { "data.total": 3 } } }] };
      await using large = topic.subscribe("large", note("large"), { filter, types: ["order.>"], concurrency: 1 });
      await Promise.all([all.ready, placed.ready, large.ready]);
      for (let total = 1; total <= 6; total++) {
        const type = total % 2 ? "order.placed.web" : "order.cancelled";
        await topic.publish({ total }, { type, headers: { tenant: total < 5 ? "t1" : "t2" } });
      }
      for (const name of ["all", "placed", "large"]) await untilDone(topic.subscription(name) as Subscription<never>);
      assert.deepEqual(got, { all: [1, 2, 3, 4, 5, 6], placed: [1, 3, 5], large: [1, 2, 4] });
      const read = await Array.fromAsync(topic.read({ types: "order.cancelled" }));
      assert.deepEqual(
        read.map(({ data }) => data.total),
        [2, 4, 6],
      );
    }),
  );

  test(
    "events of a key are handled in the order of their publishing, though some fail, and others go on",
    on(async (a, b) => {
      const topic = createTopic<number>(a, "t");
      await using _first = topic.subscribe("s", () => {}, { order: "key" });
      await _first.ready;
      await _first.close();
      for (let i = 0; i < 30; i++) await topic.publish(i, { key: `k${i % 3}` });
      const order: Record<string, number[]> = { k0: [], k1: [], k2: [] };
      const handler = (event: TopicEvent<number>, { attempt }: { attempt: number }) => {
        if (event.data % 7 === 0 && attempt === 1) throw new Error("once");
        order[event.key ?? ""]?.push(event.data);
      };
      await using _one = topic.subscribe("s", handler, { order: "key", retry });
      await using _two = createTopic<number>(b, "t").subscribe("s", handler, { order: "key", retry });
      await untilDone(topic.subscription("s") as Subscription<never>);
      for (const [i, key] of ["k0", "k1", "k2"].entries())
        assert.deepEqual(
          order[key],
          Array.from({ length: 10 }, (_, n) => i + 3 * n),
        );
    }),
  );

  test(
    "what fails for good is a dead letter of its subscription alone, and is redriven there",
    on(async (a) => {
      const topic = createTopic<string>(a, "t");
      let broken = true;
      const fine: string[] = [];
      const mended: string[] = [];
      await using one = topic.subscribe("fine", ({ data }) => fine.push(data));
      await using two = topic.subscribe(
        "broken",
        ({ data }) => {
          if (broken) throw data === "parked" ? park("by hand") : new Error("broken");
          mended.push(data);
        },
        { retry },
      );
      await Promise.all([one.ready, two.ready]);
      await topic.publishMany(["x", "parked"]);
      const subscription = topic.subscription("broken");
      await until(async () => (await subscription.counts()).dead === 2);
      const dead = await Array.fromAsync(subscription.deadLetters.list());
      assert.deepEqual(
        dead.map(({ event, reason, history }) => [event.data, reason, history.length]),
        [
          ["x", "attempts", 3],
          ["parked", "parked", 1],
        ],
      );
      broken = false;
      assert.equal(await subscription.deadLetters.redrive(), 2);
      await untilDone(subscription as Subscription<never>);
      assert.deepEqual(mended.toSorted(), ["parked", "x"]);
      assert.deepEqual(fine.toSorted(), ["parked", "x"]);
    }),
  );

  test(
    "a subscription begins where it says, and is replayed from an offset or a time",
    on(async (a) => {
      const topic = createTopic<number>(a, "t");
      await topic.publishMany([0, 1, 2]);
      await until(async () => {
        await sleep(systemRuntime, 5);
        return true;
      });
      const time = await a.now();
      await sleep(systemRuntime, 5);
      await topic.publishMany([3, 4]);
      const begins = { start: [0, 1, 2, 3, 4], end: [], offset: [2, 3, 4], time: [3, 4] };
      const from = { start: "start", end: "end", offset: { offset: 2 }, time: { time } } as const;
      for (const [name, expected] of Object.entries(begins)) {
        const got: number[] = [];
        const options = { from: from[name as keyof typeof from], concurrency: 1 };
        await using subscriber = topic.subscribe(name, ({ data }) => got.push(data), options);
        await subscriber.ready;
        await untilDone(topic.subscription(name) as Subscription<never>);
        assert.deepEqual(got, expected, name);
        await topic.subscription(name).seek({ offset: 4 });
        await untilDone(topic.subscription(name) as Subscription<never>);
        await until(async () => got.length === expected.length + 1);
        assert.deepEqual(got, [...expected, 4], name);
      }
      await assert.rejects(topic.subscription("none").seek("start"), code("INVALID_ARGUMENT"));
      assert.equal(await topic.subscription("none").info(), undefined);
    }),
  );

  test(
    "events are read as they are, and live without a subscription",
    on(async (a, b) => {
      const topic = createTopic<number>(a, "t");
      await topic.publishMany(Array.from({ length: 1500 }, (_, i) => i));
      const all = await Array.fromAsync(topic.read());
      assert.deepEqual(
        all.map(({ data }) => data),
        Array.from({ length: 1500 }, (_, i) => i),
      );
      const controller = new AbortController();
      const seen: number[] = [];
      const reading = (async () => {
        for await (const { data } of createTopic<number>(b, "t").read({ from: { offset: 1498 }, live: true })) {
          seen.push(data);
          if (data === 1501) break;
        }
      })();
      await topic.publish(1500);
      await topic.publish(1501);
      await reading;
      controller.abort();
      assert.deepEqual(seen, [1498, 1499, 1500, 1501]);
      assert.equal((await Array.fromAsync(a.kv.list({ prefix: ["topic", "t"] }))).length, 0);
    }),
  );

  test(
    "older versions of data are upgraded, and all satisfy the schema",
    on(async (a) => {
      const schema: StandardSchema<{ name: string }> = {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value) => {
            const { name } = value as { name?: unknown };
            return typeof name === "string" ? { value: { name } } : { issues: [{ message: "a name" }] };
          },
        },
      };
      const old = createTopic<string>(a, "t");
      const upgrade = (data: unknown, version: number) => (version === 1 ? { name: data } : data);
      const topic = createTopic<{ name: string }>(a, "t", { schema, version: 2, upgrade });
      const got: unknown[] = [];
      await using subscriber = topic.subscribe("s", ({ data, version }) => got.push([data.name, version]), {
        concurrency: 1,
      });
      await subscriber.ready;
      await old.publish("ann");
      await topic.publish({ name: "bob" });
      await createTopic<number>(a, "t").publish(7);
      await untilDone(topic.subscription("s") as Subscription<never>);
      assert.deepEqual(got, [
        ["ann", 1],
        ["bob", 2],
      ]);
      assert.equal((await topic.subscription("s").counts()).dead, 1);
      await assert.rejects(topic.publish({} as { name: string }), code("INVALID_ARGUMENT"));
    }),
  );

  test(
    "events are kept for their retention, and for as long as a subscription has not taken them",
    on(async (a) => {
      const topic = createTopic<number>(a, "t", { retention: 0 });
      await using subscriber = topic.subscribe("slow", () => {});
      await subscriber.ready;
      await topic.subscription("slow").pause();
      await topic.publishMany([1, 2, 3]);
      await sleep(systemRuntime, 5);
      assert.equal(await topic.trim(), 0);
      await topic.subscription("slow").resume();
      await untilDone(topic.subscription("slow") as Subscription<never>);
      await until(async () => (await topic.trim()) === 3);
      assert.deepEqual(await topic.bounds(), { first: 3, next: 3 });
      await subscriber.close();
      await topic.subscription("slow").delete();
      assert.deepEqual(await Array.fromAsync(topic.subscriptions()), []);
      assert.deepEqual(await Array.fromAsync(a.kv.list({ prefix: ["topic"] })), []);
    }),
  );

  test(
    "wrong arguments are named",
    on(async (a) => {
      const invalid = (name: string) => (error: unknown) =>
        isAshlarError(error, "INVALID_ARGUMENT") && error.message.includes(name);
      assert.throws(() => createTopic(a, "t", { retain: 1 } as object), invalid("options.retain"));
      assert.throws(() => createTopic(a, "t", { version: 0 }), invalid("version"));
      const topic = createTopic<unknown>(a, "t");
      await assert.rejects(
        topic.publish(() => {}),
        invalid("data"),
      );
      await assert.rejects(topic.publish(1, { type: "a.*" }), invalid("type"));
      await assert.rejects(topic.publish(1, { key: "" }), invalid("key"));
      await assert.rejects(topic.publishMany([1], { id: "x" }), invalid("id"));
      assert.throws(() => topic.subscribe("", () => {}), invalid("name"));
      assert.throws(() => topic.subscribe("s", () => {}, { from: "middle" as "end" }), invalid("from"));
      assert.throws(() => topic.subscribe("s", () => {}, { types: "a..b" }), invalid("pattern"));
      assert.throws(() => topic.subscribe("s", () => {}, { ordered: true } as object), invalid("options.ordered"));
    }),
  );
}
