import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { AshlarError, InvalidArgumentError, isAshlarError, type StandardSchema } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createIdempotency, type IdempotencyMessage, idempotent, isReplayed, type RunContext } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`idempotency on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "the first call runs the function, all later ones get its result, in whichever process",
    on(async (a, b) => {
      const [one, two] = [createIdempotency(a, "payments"), createIdempotency(b, "payments")];
      const charge = async ({ attempt }: RunContext) => ({ id: "ch_1", attempt, at: new Date(0) });
      const value = { id: "ch_1", attempt: 1, at: new Date(0) };
      assert.deepEqual(await one.run("order-1", charge), { value, replayed: false, attempt: 1 });
      const fail = () => assert.fail("runs again");
      assert.deepEqual(await one.run("order-1", fail), { value, replayed: true, attempt: 1 });
      assert.deepEqual(await two.run("order-1", fail), { value, replayed: true, attempt: 1 });
      assert.deepEqual(await two.transact("order-1", fail), { value, replayed: true, attempt: 1 });
      assert.equal((await createIdempotency(b, "refunds").run("order-1", () => 7)).value, 7);
      assert.equal((await createIdempotency(b.scope("other"), "payments").run("order-1", () => 8)).value, 8);
    }),
  );

  test(
    "of many callers at once one runs the function, and all get its result",
    on(async (a, b) => {
      let runs = 0;
      const caller = async (engine: Engine) =>
        await createIdempotency(engine, "payments").run("order-1", async ({ token }) => {
          runs++;
          await engine.kv.set(["effect", token], runs);
          return runs;
        });
      const outcomes = await Promise.all(Array.from({ length: 20 }, (_, i) => caller(i % 2 ? a : b)));
      assert.equal(runs, 1);
      assert.deepEqual(new Set(outcomes.map(({ value }) => value)), new Set([1]));
      assert.equal(outcomes.filter(({ replayed }) => !replayed).length, 1);
    }),
  );

  test(
    "a key that is in progress is refused to who does not wait, with the time to come back",
    on(async (a, b) => {
      const [one, two] = [createIdempotency(a, "p"), createIdempotency(b, "p")];
      const ends = Promise.withResolvers<string>();
      const begun = Promise.withResolvers<void>();
      const first = one.run("k", () => {
        begun.resolve();
        return ends.promise;
      });
      await begun.promise;
      const refusal = (error: unknown) =>
        isAshlarError(error, "IN_PROGRESS") && Number(error.details["retryAfterMs"]) >= 100;
      await assert.rejects(
        two.run("k", () => "no", { onInProgress: "refuse" }),
        refusal,
      );
      await assert.rejects(
        two.run("k", () => "no", { wait: 30 }),
        refusal,
      );
      await assert.rejects(
        two.transact("k", () => "no", { wait: 0 }),
        refusal,
      );
      await assert.rejects(two.forget("k"), refusal);
      await assert.rejects(
        b.transact((tx) => two.runIn(tx, "k", () => "no")),
        refusal,
      );
      assert.equal((await two.status("k"))?.state, "in-progress");
      const waiting = [two.run("k", () => "no"), two.transact("k", () => "no")];
      ends.resolve("yes");
      assert.deepEqual(await first, { value: "yes", replayed: false, attempt: 1 });
      for (const each of waiting) assert.deepEqual(await each, { value: "yes", replayed: true, attempt: 1 });
    }),
  );

  test(
    "a key with another fingerprint is refused, in every state",
    on(async (a, b) => {
      const [one, two] = [createIdempotency(a, "p"), createIdempotency(b, "p")];
      await one.run("k", () => 1, { fingerprint: { amount: 5, to: "x" } });
      assert.equal((await two.run("k", () => 2, { fingerprint: { to: "x", amount: 5 } })).value, 1);
      assert.equal((await two.run("k", () => 2)).value, 1);
      const mismatch = code("FINGERPRINT_MISMATCH");
      await assert.rejects(
        two.run("k", () => 2, { fingerprint: { to: "x", amount: 6 } }),
        mismatch,
      );
      await assert.rejects(
        two.run("k", () => 2, { fingerprint: undefined }),
        mismatch,
      );
      await assert.rejects(
        two.transact("k", () => 2, { fingerprint: 1 }),
        mismatch,
      );
      await assert.rejects(
        two.run("failing", () => Promise.reject(new Error("down")), { fingerprint: 1 }),
        /down/,
      );
      await assert.rejects(
        two.run("failing", () => 2, { fingerprint: 2 }),
        mismatch,
      );
      assert.equal((await two.run("failing", () => 2, { fingerprint: 1 })).attempt, 2);
    }),
  );

  test(
    "an error leaves the key to the next caller, who runs the function with the same token",
    on(async (a, b) => {
      const tokens: string[] = [];
      const attempt = (engine: Engine, fails: boolean) =>
        createIdempotency(engine, "p").run("k", ({ token, attempt: number }) => {
          tokens.push(token);
          if (fails) throw new Error(`attempt ${number} failed`);
          return number;
        });
      await assert.rejects(attempt(a, true), /attempt 1 failed/);
      const status = await createIdempotency(b, "p").status("k");
      assert.deepEqual([status?.state, status?.attempt, status?.error?.message], ["retryable", 1, "attempt 1 failed"]);
      await assert.rejects(attempt(b, true), /attempt 2 failed/);
      assert.deepEqual(await attempt(a, false), { value: 3, replayed: false, attempt: 3 });
      assert.equal(new Set(tokens).size, 1);
      assert.match(tokens[0] ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }),
  );

  test(
    "a final error is recorded and thrown to all, as the same class with the same code",
    on(async (a, b) => {
      const [one, two] = [createIdempotency(a, "p"), createIdempotency(b, "p")];
      const declined = new AshlarError("the card was declined", {
        code: "CARD_DECLINED",
        definite: true,
        retryable: false,
        details: { reason: "funds" },
      });
      await assert.rejects(
        one.run("k", () => Promise.reject(declined)),
        (error) => error === declined && !isReplayed(error),
      );
      for (const again of [two.run("k", () => "no"), two.transact("k", () => "no")]) {
        await assert.rejects(again, (error) => {
          assert.ok(isAshlarError(error, "CARD_DECLINED") && isReplayed(error));
          assert.deepEqual(
            [error.message, error.definite, error.retryable, error.details],
            ["the card was declined", true, false, { reason: "funds" }],
          );
          return true;
        });
      }
      const bad = new InvalidArgumentError("amount: given -1", { details: { name: "amount" } });
      await assert.rejects(
        one.transact("bad", async (tx) => {
          tx.set(["effect"], 1);
          throw bad;
        }),
        bad,
      );
      await assert.rejects(
        two.run("bad", () => "no"),
        (error) => error instanceof InvalidArgumentError && error.details["name"] === "amount" && isReplayed(error),
      );
      assert.equal(await a.kv.get(["effect"]), undefined);
      assert.equal((await two.status("bad"))?.state, "failed");
    }),
  );

  test(
    "transact: the effect and the answer are one commit, however many call at once",
    on(async (a, b) => {
      const caller = async (engine: Engine, i: number) =>
        await createIdempotency(engine, "p").transact("k", async (tx, { token }) => {
          tx.add(["paid"], 1);
          tx.append("payments", [{ token }]);
          return (await tx.get<number>(["balance"])) ?? i;
        });
      const outcomes = await Promise.all(Array.from({ length: 10 }, (_, i) => caller(i % 2 ? a : b, i)));
      assert.equal((await a.kv.get(["paid"]))?.value, 1);
      assert.equal((await a.log.read("payments")).length, 1);
      assert.equal(new Set(outcomes.map(({ value }) => value)).size, 1);
      assert.equal(outcomes.filter(({ replayed }) => !replayed).length, 1);
    }),
  );

  test(
    "runIn: the answer is recorded if and only if the transaction that it joins commits",
    on(async (a, b) => {
      const [one, two] = [createIdempotency(a.scope("shop"), "p"), createIdempotency(b.scope("shop"), "p")];
      const consume = (engine: Engine, answers: typeof one, fails: boolean) =>
        engine.transact(async (tx) => {
          const outcome = await answers.runIn(tx, "message-1", () => {
            tx.add(["count"], 1);
            return "consumed";
          });
          if (fails) throw new Error("changed my mind");
          return outcome;
        });
      await assert.rejects(consume(a, one, true), /changed my mind/);
      assert.equal(await one.status("message-1"), undefined);
      assert.deepEqual(await consume(a, one, false), { value: "consumed", replayed: false, attempt: 1 });
      assert.deepEqual(await consume(b, two, false), { value: "consumed", replayed: true, attempt: 1 });
      assert.equal((await b.kv.get(["count"]))?.value, 1);
    }),
  );

  test(
    "what is forgotten runs again, with whatever fingerprint",
    on(async (a) => {
      const answers = createIdempotency(a, "p");
      assert.equal(await answers.forget("k"), false);
      await answers.run("k", () => 1, { fingerprint: 1 });
      assert.equal(await answers.forget("k"), true);
      assert.equal(await answers.forget("k"), false);
      assert.equal(await answers.status("k"), undefined);
      assert.deepEqual(await answers.run("k", () => 2, { fingerprint: 2 }), { value: 2, replayed: false, attempt: 1 });
    }),
  );

  test(
    "answers are kept for the retention of their call",
    on(async (a) => {
      const answers = createIdempotency(a, "p", { retention: "1h" });
      await answers.run("k", () => 1);
      await answers.transact("short", () => 1, { retention: "1m" });
      const left = async (key: string) => (await answers.status(key))?.ttl ?? 0;
      assert.ok((await left("k")) > 3_590_000 && (await left("k")) <= 3_600_000);
      assert.ok((await left("short")) > 50_000 && (await left("short")) <= 60_000);
    }),
  );
}

/** A number of cents that is at least 1; gives euros. */
const euros: StandardSchema<number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof value === "number" && value >= 1 ? { value: value / 100 } : { issues: [{ message: "no amount" }] },
  },
};

test("fresh and replayed results go through the schema, and are what it makes of them", async () => {
  await using engine = openMemory();
  const answers = createIdempotency(engine, "p");
  assert.equal((await answers.run("k", () => 250, { schema: euros })).value, 2.5);
  assert.equal((await answers.run("k", () => 1, { schema: euros })).value, 2.5);
  assert.equal((await answers.transact("k2", () => 350, { schema: euros })).value, 3.5);
  assert.equal((await answers.run("k", () => 1)).value, 250);
  await answers.run("old", () => "no number");
  await assert.rejects(
    answers.run("old", () => 1, { schema: euros }),
    /result does not satisfy its schema: no amount/,
  );
});

test("a result that cannot be recorded is the final error of run, since its effect has happened", async () => {
  await using engine = openMemory();
  const answers = createIdempotency(engine, "p", { maxResultBytes: 1000 });
  const results: [string, () => unknown, string][] = [
    ["function", () => ({ close: () => {} }), "INVALID_ARGUMENT"],
    ["large", () => "x".repeat(1001), "LIMIT"],
    ["unfit", () => 0, "INVALID_ARGUMENT"],
  ];
  for (const [key, fn, expected] of results) {
    await assert.rejects(
      answers.run<unknown>(key, fn, { schema: key === "unfit" ? euros : accepting }),
      code(expected),
    );
    await assert.rejects(
      answers.run(key, () => 1),
      (error) => isAshlarError(error, expected) && isReplayed(error),
    );
    await assert.rejects(
      answers.transact<unknown>(`${key} in a transaction`, fn, { schema: key === "unfit" ? euros : accepting }),
      code(expected),
    );
    assert.equal(await answers.status(`${key} in a transaction`), undefined);
  }
});

const accepting: StandardSchema<unknown> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) },
};

test("the first caller gets what the others will get, not what the function returned", async () => {
  await using engine = openMemory();
  const answers = createIdempotency(engine, "p");
  class Receipt {
    readonly id = 1;
    get url(): string {
      return `/receipts/${this.id}`;
    }
  }
  const original = new Receipt();
  const first = await answers.run<unknown>("k", () => original);
  assert.deepEqual(first.value, { id: 1 });
  assert.deepEqual((await answers.run("k", () => undefined)).value, first.value);
  const nothing = await answers.run("nothing", () => undefined);
  assert.deepEqual(await answers.run("nothing", () => assert.fail("again")), { ...nothing, replayed: true });
  const list: number[] = [1];
  const { value } = await answers.transact("list", () => list);
  list.push(2);
  value.push(3);
  assert.deepEqual((await answers.transact("list", () => list)).value, [1]);
});

test("retryable decides by error and attempt; what it cannot say leaves the key free", async () => {
  await using engine = openMemory();
  const answers = createIdempotency(engine, "p", {
    retryable: (error, { attempt }) => {
      if (error === "bug") throw new Error("retryable has a bug");
      return attempt < 2;
    },
  });
  const failing = () => Promise.reject(new TypeError("no"));
  await assert.rejects(answers.run("k", failing), TypeError);
  await assert.rejects(answers.run("k", failing), (error) => error instanceof TypeError && !isReplayed(error));
  await assert.rejects(
    answers.run("k", () => 1),
    (error) => error instanceof TypeError && error.message === "no" && isReplayed(error),
  );
  for (const form of ["run", "transact"] as const) {
    await assert.rejects(
      answers[form]("bug", () => Promise.reject("bug")),
      (error) => error instanceof AggregateError && error.errors[1] === "bug",
    );
  }
  assert.equal((await answers.run("bug", () => 1)).value, 1);
});

test("errors of all kinds are thrown again alike; revive makes them what they were", async () => {
  await using engine = openMemory();
  const final = createIdempotency(engine, "p", { retryable: () => false });
  const thrownAgain = async (key: string, thrown: unknown) => {
    await final.run(key, () => Promise.reject(thrown)).catch(() => {});
    return await final.run(key, () => assert.fail("again")).catch((error: unknown) => error);
  };
  const declined = Object.assign(new Error("declined"), { name: "CardError", code: "card_declined", status: 402 });
  const again = (await thrownAgain("own", declined)) as typeof declined;
  assert.ok(again instanceof Error);
  assert.deepEqual(
    [again.name, again.message, again.code, again.status],
    ["CardError", "declined", "card_declined", 402],
  );
  assert.ok((await thrownAgain("range", new RangeError("r"))) instanceof RangeError);
  for (const bare of ["text", 7, null, undefined, { reason: "x" }])
    assert.deepEqual(await thrownAgain(`bare ${JSON.stringify(bare)}`, bare), bare);
  const huge = Object.assign(new Error("m".repeat(5000)), { body: "x".repeat(20_000), socket: () => {} });
  const small = (await thrownAgain("huge", huge)) as typeof huge;
  assert.deepEqual([small.message.length, small.body], [2000, undefined]);

  class CardError extends Error {}
  const reviving = createIdempotency(engine, "p", { revive: ({ message }) => new CardError(message) });
  await assert.rejects(
    reviving.run("own", () => 1),
    (error) => error instanceof CardError && isReplayed(error),
  );
});

test("bad arguments and unknown options are named", async () => {
  await using engine = openMemory();
  assert.throws(() => createIdempotency(engine, ""), /name/);
  assert.throws(() => createIdempotency(engine, "p", { retention: "1s" }), /retention/);
  assert.throws(() => createIdempotency(engine, "p", { ttl: 10 }), /ttl/);
  assert.throws(() => createIdempotency(engine, "p", { maxResultBytes: 2 ** 30 }), /maxResultBytes/);
  assert.throws(() => createIdempotency(engine, "p", { onInProgress: "skip" as "wait" }), /onInProgress/);
  assert.throws(() => createIdempotency(engine, "p", { expires: "1d" } as object), /options\.expires/);
  const answers = createIdempotency(engine, "p");
  await assert.rejects(
    answers.run("", () => 1),
    /key/,
  );
  await assert.rejects(
    answers.run("k", () => 1, { fingerPrint: 1 } as object),
    /options\.fingerPrint/,
  );
  await assert.rejects(
    answers.run("k", () => 1, { deadline: 1 } as object),
    /options\.deadline/,
  );
  await assert.rejects(
    answers.run("k", () => 1, { schema: {} as typeof euros }),
    /schema/,
  );
  await assert.rejects(
    engine.transact((tx) => answers.runIn(tx, "k", () => 1, { wait: 1 } as object)),
    /options\.wait/,
  );
  assert.equal(await answers.status("k"), undefined);
});

test("what happens is announced", async () => {
  await using engine = openMemory();
  const heard: string[] = [];
  const channels = ["started", "recorded", "replayed", "failed", "refused"];
  const listeners = channels.map((channel) => {
    const listen = (message: unknown) => {
      const { name, key, attempt } = message as IdempotencyMessage;
      if (name === "announced") heard.push(`${channel} ${key} ${attempt}`);
    };
    subscribe(`ashlar:idempotency:${channel}`, listen);
    return [channel, listen] as const;
  });
  const answers = createIdempotency(engine, "announced");
  await answers.run("k", () => Promise.reject(new Error("no"))).catch(() => {});
  await answers.run("k", () => 1, { fingerprint: 1 });
  await answers.run("k", () => 1);
  await answers.run("k", () => 1, { fingerprint: 2 }).catch(() => {});
  await answers.transact("t", () => 1);
  for (const [channel, listen] of listeners) unsubscribe(`ashlar:idempotency:${channel}`, listen);
  assert.deepEqual(heard, [
    "started k 1",
    "failed k 1",
    "started k 2",
    "recorded k 2",
    "replayed k 2",
    "refused k 2",
    "started t 1",
    "recorded t 1",
  ]);
});

test("a single call needs no block of its own", async () => {
  await using engine = openMemory();
  let runs = 0;
  const fn = async () => ++runs;
  assert.deepEqual([await idempotent(engine, "k", fn), await idempotent(engine, "k", fn), runs], [1, 1, 1]);
  await assert.rejects(idempotent(engine, "k", fn, { retentoin: "1h" } as object), /retentoin/);
});
