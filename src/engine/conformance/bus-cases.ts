import assert from "node:assert/strict";
import type { Bus, BusMessage, BusSubscription, Engine } from "../contract.ts";
import { numbers } from "./entries.ts";
import { abortedSignal, failsBy, failsWith } from "./expecting.ts";
import { type CaseContext, facts } from "./fact.ts";

/** A subscription that ends with the case. */
async function subscribe<V = unknown>(
  { defer }: CaseContext,
  engine: Engine,
  ...args: Parameters<Bus["subscribe"]>
): Promise<BusSubscription<V>> {
  const subscription = await engine.bus.subscribe<V>(...args);
  defer(() => subscription.close());
  return subscription;
}

/** Takes messages until the one with this payload has come. Messages of one publisher may be lost, so the last is sent until it is seen. */
async function takeTo({ soon }: CaseContext, subscription: BusSubscription, last: unknown): Promise<BusMessage[]> {
  const messages: BusMessage[] = [];
  const iterator = subscription[Symbol.asyncIterator]();
  for (;;) {
    const next = await soon(`the message ${last}`, iterator.next());
    assert.ok(next.done !== true, "a subscription does not end by itself");
    messages.push(next.value);
    if (next.value.payload === last) break;
  }
  await iterator.return?.();
  return messages;
}

const matching = [
  { pattern: "a.b", matches: ["a.b"], others: ["a", "a.b.c", "a.c", "ab", "A.b"] },
  { pattern: "*", matches: ["a", "b"], others: ["a.b"] },
  { pattern: "a.*", matches: ["a.b", "a.c"], others: ["a", "a.b.c", "b.a"] },
  { pattern: "*.b", matches: ["a.b", "x.b"], others: ["b", "a.b.c", "a.c"] },
  { pattern: "a.*.c", matches: ["a.b.c", "a.x.c"], others: ["a.c", "a.b.b.c", "a.b.d"] },
  { pattern: "a.>", matches: ["a.b", "a.b.c.d"], others: ["a", "b.a", "ab"] },
  { pattern: ">", matches: ["a", "a.b", "a.b.c"], others: [] },
  { pattern: "*.>", matches: ["a.b", "a.b.c"], others: ["a"] },
];

const delivery = facts("bus", {
  "a message reaches those who subscribed before, of every client, the sender included": async (context) => {
    const { engine, other } = context;
    const subscriptions = [
      await subscribe(context, engine, "news"),
      await subscribe(context, other, "news"),
      await subscribe(context, other, ">"),
    ];
    for (const [i, publisher] of [engine, other].entries()) {
      const payload = { n: i, when: new Date(0), bytes: new Uint8Array([1]), list: [null, undefined, 1n] };
      await publisher.bus.publish("news", payload);
      await publisher.bus.publish("news", `end ${i}`);
      for (const subscription of subscriptions) {
        const messages = await takeTo(context, subscription, `end ${i}`);
        assert.deepEqual(messages, [
          { subject: "news", payload },
          { subject: "news", payload: `end ${i}` },
        ]);
      }
    }
  },

  "patterns match by tokens: * stands for one, a last > for one or more": async (context) => {
    const { engine, other } = context;
    for (const { pattern, matches, others } of matching) {
      const subscription = await subscribe(context, other, pattern);
      for (const subject of [...others, ...matches]) await engine.bus.publish(subject, subject);
      const messages = await takeTo(context, subscription, matches.at(-1));
      assert.deepEqual(
        messages.map(({ subject }) => subject),
        matches,
        pattern,
      );
      await subscription.close();
    }
  },

  "there is no history: who subscribes later gets what comes later": async (context) => {
    const { engine, other } = context;
    for (const client of [engine, other]) {
      const witness = await subscribe(context, client, "news");
      await engine.bus.publish("news", "before");
      // What has arrived at one subscription of a client is not on its way to another any more.
      await takeTo(context, witness, "before");
      const late = await subscribe(context, client, "news");
      await engine.bus.publish("news", "after");
      assert.deepEqual(
        (await takeTo(context, late, "after")).map(({ payload }) => payload),
        ["after"],
      );
    }
  },

  "many messages to many subscribers arrive": async (context) => {
    const { engine, other } = context;
    const subscriptions = await Promise.all(
      numbers(10).map((i) => subscribe<number>(context, i % 2 ? engine : other, "n.*")),
    );
    await Promise.all(numbers(100).map((n) => (n % 2 ? engine : other).bus.publish(`n.${n % 3}`, n)));
    await engine.bus.publish("n.end", "end");
    const all = numbers(100);
    for (const subscription of subscriptions) {
      const messages: unknown[] = [];
      const iterator = subscription[Symbol.asyncIterator]();
      while (messages.length < 101) {
        const { value } = await context.soon(`message ${messages.length} of 101`, iterator.next());
        messages.push((value as BusMessage).payload);
      }
      assert.deepEqual(
        messages.filter((payload) => payload !== "end").sort((a, b) => Number(a) - Number(b)),
        all,
      );
      assert.equal(subscription.dropped, 0);
    }
  },

  "a slow consumer loses the oldest messages, and can count them": async (context) => {
    const { engine, eventually } = context;
    const small = await subscribe(context, engine, "news", { capacity: 3 });
    for (const n of numbers(10)) await engine.bus.publish("news", n);
    await eventually("the drops", () => small.dropped === 7);
    assert.deepEqual(
      (await takeTo(context, small, 9)).map(({ payload }) => payload),
      [7, 8, 9],
    );
    await engine.bus.publish("news", "room again");
    assert.equal((await takeTo(context, small, "room again")).length, 1);
    assert.equal(small.dropped, 7);
  },

  "a subscription keeps 1024 messages unless told otherwise": async (context) => {
    const { engine, eventually } = context;
    const usual = await subscribe(context, engine, "news");
    await Promise.all(numbers(1030).map((n) => engine.bus.publish("news", n)));
    await eventually("the drops", () => usual.dropped === 6);
    await engine.bus.publish("news", "end");
    await eventually("the last drop", () => usual.dropped === 7);
    assert.equal((await takeTo(context, usual, "end")).length, 1024);
  },
});

const endings = facts("bus", {
  "a closed subscription gets no more messages, and the others do": async (context) => {
    const { engine, soon } = context;
    const closed = await subscribe(context, engine, "news");
    const open = await subscribe(context, engine, "news");
    const waiting = closed[Symbol.asyncIterator]()
      .next()
      .then(
        ({ done }) => done === true,
        () => true,
      );
    await closed.close();
    await closed.close();
    assert.ok(await soon("the end of a consumer that waits", waiting));
    await engine.bus.publish("news", 1);
    assert.equal((await takeTo(context, open, 1)).length, 1);
    await open[Symbol.asyncDispose]();
    const after = await subscribe(context, engine, "news");
    await engine.bus.publish("news", 2);
    assert.deepEqual(
      (await takeTo(context, after, 2)).map(({ payload }) => payload),
      [2],
    );
  },

  "an abort ends the consumption with its reason": async (context) => {
    const { engine, soon } = context;
    const controller = new AbortController();
    const reason = new Error("heard enough");
    const subscription = await subscribe(context, engine, "news", { signal: controller.signal });
    const waiting = subscription[Symbol.asyncIterator]().next();
    controller.abort(reason);
    await failsBy(reason, () => soon("the abort", waiting));
  },

  "calls whose signal is aborted fail with the reason": async ({ engine }) => {
    const { signal, reason } = abortedSignal();
    await failsBy(reason, () => engine.bus.publish("news", 1, { signal }));
    await failsBy(reason, () => engine.bus.subscribe("news", { signal }));
  },

  "a subject has tokens and no wildcards, a pattern wildcards that are whole tokens": async ({ engine }) => {
    const bad = ["", ".", "a.", ".a", "a..b", undefined, null, 5, ["a"]];
    for (const subject of [...bad, "*", "a.*", ">", "a.>"]) {
      await failsWith("INVALID_ARGUMENT", () => engine.bus.publish(subject as string, 1), "subject");
    }
    for (const pattern of [...bad, ">.a", "a.>.b"]) {
      await failsWith("INVALID_ARGUMENT", () => engine.bus.subscribe(pattern as string), "pattern");
    }
    for (const capacity of [0, -1, 1.5, Number.NaN, "3"]) {
      await failsWith(
        "INVALID_ARGUMENT",
        () => engine.bus.subscribe("a", { capacity: capacity as number }),
        "capacity",
      );
    }
  },
});

export const busFacts = [...delivery, ...endings];
