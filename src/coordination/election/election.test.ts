import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createElection, type Leader } from "./index.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

for (const kind of storeKinds) {
  describe(`elections on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "one candidate leads at a time, and terms ascend",
    on(async (a, b) => {
      await using first = createElection(a, "scheduler", { candidate: "a" });
      await using second = createElection(b, "scheduler", { candidate: "b" });
      const one = await first.campaign();
      assert.deepEqual([one.held, one.candidate], [true, "a"]);
      assert.deepEqual(await second.leader(), { candidate: "a", term: one.term });
      await assert.rejects(second.campaign({ timeout: 50 }), code("TIMEOUT"));
      const next = second.campaign();
      assert.equal(await one.resign(), false);
      const two = await next;
      assert.ok(two.term > one.term);
      assert.deepEqual([one.held, two.held], [false, true]);
      await assert.rejects(
        a.transact((tx) => tx.set(["k"], 1), { fence: one }),
        code("LEASE_LOST"),
      );
      await b.transact((tx) => tx.set(["k"], 2), { fence: two });
    }),
  );

  test(
    "a leader hands over to the candidate that it names, ahead of the others",
    on(async (a, b) => {
      await using first = createElection(a, "scheduler", { candidate: "a" });
      await using second = createElection(a, "scheduler", { candidate: "b" });
      await using third = createElection(b, "scheduler", { candidate: "c" });
      const one = await first.campaign();
      const early = second.campaign();
      await waitingFor(a, 1);
      const late = third.campaign();
      await waitingFor(a, 2);
      assert.equal(await one.resign({ to: "c" }), true);
      const next = await late;
      assert.deepEqual(await first.leader(), { candidate: "c", term: next.term });
      assert.equal(await next.resign({ to: "nobody" }), false);
      assert.equal((await early).candidate, "b");
    }),
  );

  test(
    "who observes sees the leaders come and go",
    on(async (a, b) => {
      await using first = createElection(a, "scheduler", { candidate: "a" });
      await using watching = createElection(b, "scheduler", { candidate: "b" });
      const seen = watching.observe();
      const next = async (): Promise<Leader | undefined> => (await seen.next()).value;
      assert.equal(await next(), undefined);
      const one = await first.campaign();
      assert.deepEqual(await next(), { candidate: "a", term: one.term });
      await one.resign();
      assert.equal(await next(), undefined);
      await seen.return?.();
    }),
  );

  test(
    "a process that ends leaves the lead to the next at once",
    on(async (a, b) => {
      const one = await createElection(a, "scheduler", { candidate: "a" }).campaign();
      const next = createElection(b, "scheduler", { candidate: "b" }).campaign();
      await waitingFor(b, 1);
      await a.close();
      assert.ok((await next).term > one.term);
      assert.ok(isAshlarError(one.signal.reason, "LEASE_LOST"));
    }),
  );
}

test("lead runs the function again when the leadership was lost, and gives its result", async () => {
  await using engine = openMemory();
  await using election = createElection(engine, "scheduler", { candidate: "a" });
  const terms: number[] = [];
  const standby: string[] = [];
  const result = await election.lead(
    async (leadership) => {
      terms.push(leadership.term);
      if (terms.length === 1) {
        // As if the engine had ended the lease.
        for await (const { key } of engine.kv.list({ prefix: ["lease"] })) await engine.kv.delete(key);
        await engine.transact((tx) => tx.set(["k"], 1), { fence: leadership });
      }
      return "done";
    },
    { standby: () => void standby.push("warm") },
  );
  assert.deepEqual([result, terms.length, standby], ["done", 2, ["warm", "warm"]]);
  assert.ok((terms[1] as number) > (terms[0] as number));
  assert.equal(await election.leader(), undefined);
});

test("lead passes on what its function throws, and resigns", async () => {
  await using engine = openMemory();
  await using election = createElection(engine, "scheduler", { candidate: "a" });
  const error = new Error("no");
  await assert.rejects(
    election.lead(() => Promise.reject(error)),
    error,
  );
  assert.equal(await election.leader(), undefined);
});

test("a standby that fails ends the campaign with its error", async () => {
  await using engine = openMemory();
  await using first = createElection(engine, "scheduler", { candidate: "a" });
  await first.campaign();
  await using second = createElection(engine, "scheduler", { candidate: "b" });
  const error = new Error("cold");
  await assert.rejects(
    second.lead(() => assert.fail("does not lead"), { standby: () => Promise.reject(error) }),
    error,
  );
  assert.equal((await first.leader())?.candidate, "a");
});

test("closing ends campaigns and resigns", async () => {
  await using engine = openMemory();
  const first = createElection(engine, "scheduler", { candidate: "a" });
  const leadership = await first.campaign();
  const second = createElection(engine, "scheduler", { candidate: "b" });
  const waiting = assert.rejects(second.campaign(), { name: "AbortError" });
  await second.close();
  await waiting;
  await first.close();
  assert.equal(leadership.held, false);
  await assert.rejects(first.campaign(), code("CLOSED"));
  await first.close();
});

test("bad arguments are named", async () => {
  await using engine = openMemory();
  assert.throws(() => createElection(engine, "", { candidate: "a" }), /name/);
  assert.throws(() => createElection(engine, "x", {} as { candidate: string }), /candidate/);
  assert.throws(() => createElection(engine, "x", { candidate: "a", ttl: 1 }), /ttl/);
});

/** So many candidates wait in the queue. */
async function waitingFor(engine: Engine, count: number): Promise<void> {
  const prefix = ["election", "lock", "lock", "scheduler", "queue"];
  for await (const _ of engine.kv.watch({ prefix })) {
    if ((await Array.fromAsync(engine.kv.list({ prefix }))).length >= count) return;
  }
}
