import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeKey, UnavailableError } from "../../core/index.ts";
import { type Bus, type BusSubscription, portableLimits } from "../contract.ts";
import type { BusDriver } from "../driver.ts";
import { createBus } from "./bus.ts";
import { BusHub } from "./bus-hub.ts";

type Deliver = (subject: Uint8Array, payload: Uint8Array) => void;

/** A bus in memory that counts its subscriptions, and fails to make them as often as it is told. */
class FakeBus implements BusDriver {
  readonly listeners = new Set<Deliver>();
  subscribed = 0;
  failures = 0;

  async publish(subject: Uint8Array, payload: Uint8Array): Promise<void> {
    for (const listener of this.listeners) listener(subject, payload);
  }

  async subscribe(deliver: Deliver) {
    await Promise.resolve();
    if (this.failures-- > 0) throw new UnavailableError("away");
    this.subscribed++;
    this.listeners.add(deliver);
    return { close: async () => void this.listeners.delete(deliver) };
  }
}

function open(): { driver: FakeBus; hub: BusHub; bus: Bus; under: (...parts: string[]) => Bus } {
  const driver = new FakeBus();
  const hub = new BusHub(driver);
  const under = (...parts: string[]) =>
    createBus({ hub, prefix: encodeKey(parts), limits: portableLimits, assertOpen: () => {} });
  return { driver, hub, bus: under(), under };
}

async function take<V>(subscription: BusSubscription<V>, count: number): Promise<V[]> {
  const payloads: V[] = [];
  if (count === 0) return payloads;
  for await (const { payload } of subscription) if (payloads.push(payload) === count) break;
  return payloads;
}

test("all subscriptions share one of the driver, which ends with the last of them", async () => {
  const { driver, bus, under } = open();
  const subscriptions = await Promise.all([bus.subscribe("a"), bus.subscribe("a.>"), under("x").subscribe("*")]);
  assert.equal(driver.subscribed, 1);
  for (const subscription of subscriptions) {
    assert.equal(driver.listeners.size, 1);
    await subscription.close();
  }
  assert.equal(driver.listeners.size, 0);
  const later = await bus.subscribe<number>("a");
  await bus.publish("a", 1);
  assert.deepEqual([driver.subscribed, await take(later, 1)], [2, [1]]);
});

test("a namespace hears its own messages, not those of the ones above and below", async () => {
  const { under } = open();
  const spaces = [[], ["a"], ["a", "b"], ["a\u0000"], [""]];
  const subscriptions = await Promise.all(spaces.map((space) => under(...space).subscribe(">")));
  for (const [i, space] of spaces.entries()) await under(...space).publish("a.b", i);
  for (const [i, subscription] of subscriptions.entries()) {
    await under(...(spaces[i] as string[])).publish("a.b", "end");
    assert.deepEqual(await take(subscription, 2), [i, "end"]);
  }
});

test("payloads are values of one's own", async () => {
  const { bus } = open();
  const [one, other] = await Promise.all([
    bus.subscribe<{ list: number[] }>("a"),
    bus.subscribe<{ list: number[] }>("*"),
  ]);
  const payload = { list: [1, 2] };
  await bus.publish("a", payload);
  payload.list.push(3);
  const [first] = await take(one, 1);
  first?.list.push(4);
  assert.deepEqual(await take(other, 1), [{ list: [1, 2] }]);
});

test("what a slow consumer has no room for is dropped, oldest first, and counted", async () => {
  const { bus } = open();
  const subscription = await bus.subscribe("a", { capacity: 3 });
  for (let i = 0; i < 10; i++) await bus.publish("a", i);
  assert.equal(subscription.dropped, 7);
  assert.deepEqual(await take(subscription, 3), [7, 8, 9]);
});

test("closing ends the loops over a subscription; the engine's end breaks them after what waits", async () => {
  const { bus, hub, driver } = open();
  const [closed, broken] = await Promise.all([bus.subscribe("a"), bus.subscribe("a")]);
  const loop = take(closed, 5);
  await bus.publish("a", 1);
  await closed.close();
  await closed[Symbol.asyncDispose]();
  assert.deepEqual(await loop, [1]);
  assert.deepEqual(await take(closed, 5), []);

  const received: unknown[] = [];
  await bus.publish("a", 2);
  await hub.close();
  await assert.rejects(
    async () => {
      for await (const { payload } of broken) received.push(payload);
    },
    { code: "CLOSED" },
  );
  assert.deepEqual(received, [1, 2]);
  assert.equal(driver.listeners.size, 0);
  await broken.close();
  await assert.rejects(bus.subscribe("a"), { code: "CLOSED" });
});

test("an abort ends a subscription with its reason and gives the driver's back", async () => {
  const { bus, driver } = open();
  const controller = new AbortController();
  const reason = new Error("enough");
  const subscription = await bus.subscribe("a", { signal: controller.signal });
  const iterator = subscription[Symbol.asyncIterator]();
  await bus.publish("a", 1);
  assert.deepEqual(await iterator.next(), { done: false, value: { subject: "a", payload: 1 } });
  const waiting = iterator.next();
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(subscription[Symbol.asyncIterator]().next(), reason);
  assert.equal(driver.listeners.size, 0);
  await subscription.close();
});

test("an abort while a subscription begins leaves nothing behind", async () => {
  const { bus, driver } = open();
  const controller = new AbortController();
  const reason = new Error("enough");
  const beginning = bus.subscribe("a", { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(beginning, reason);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(driver.listeners.size, 0);
});

test("an iterator that was left while it waited takes no message with it", async () => {
  const { bus } = open();
  const subscription = await bus.subscribe("a");
  const left = subscription[Symbol.asyncIterator]();
  const waiting = left.next();
  await new Promise((resolve) => setImmediate(resolve));
  await left.return?.();
  assert.equal((await waiting).done, true);
  await bus.publish("a", 1);
  assert.deepEqual(await take(subscription, 1), [1]);
});

test("iterators of one subscription share its messages", async () => {
  const { bus } = open();
  const subscription = await bus.subscribe("a");
  const [one, two] = [subscription[Symbol.asyncIterator](), subscription[Symbol.asyncIterator]()];
  const waiting = [one.next(), two.next()];
  await bus.publish("a", 1);
  await bus.publish("a", 2);
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ value }) => value.payload),
    [1, 2],
  );
});

test("a subscription that the driver refuses fails, and the next one is tried anew", async () => {
  const { bus, driver } = open();
  driver.failures = 1;
  const other = assert.rejects(bus.subscribe("b"), { code: "UNAVAILABLE" });
  // Before the other one that failed has left.
  const subscription = await bus.subscribe("a").catch(() => bus.subscribe("a"));
  await other;
  await bus.publish("a", 1);
  assert.deepEqual(await take(subscription, 1), [1]);
});

test("what is no message of ours is passed over", async () => {
  const { bus, driver } = open();
  const subscription = await bus.subscribe(">");
  for (const deliver of driver.listeners) {
    deliver(Uint8Array.of(0xee, 1), new Uint8Array(0));
    deliver(encodeKey([5]), new Uint8Array(0));
    deliver(new Uint8Array(0), new Uint8Array(0));
  }
  await bus.publish("a", 1);
  assert.deepEqual(await take(subscription, 1), [1]);
});

test("a payload over the limit is refused before it is sent", async () => {
  const { bus } = open();
  await assert.rejects(bus.publish("a", new Uint8Array(portableLimits.messageBytes)), {
    code: "LIMIT",
    message: /payload/,
  });
  await assert.rejects(bus.publish("a", undefined), { code: "INVALID_ARGUMENT", message: /payload/ });
});
