import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError, OutcomeUnknownError, UnavailableError } from "../../core/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { createEventStore, type EventStore } from "./index.ts";
import { type AccountEvent, deposited } from "./testing/account.ts";
import { type Meddle, meddledEngine } from "./testing/meddled-engine.ts";

type Store = EventStore<unknown, AccountEvent, unknown>;

const lost = (): never => {
  throw new OutcomeUnknownError("the answer is lost");
};
const amounts = async (store: Store) => (await Array.fromAsync(store.read("x"))).map(({ data }) => data.amount);

/** Two clients of one store, of which the commits of the first are meddled with. */
function twoClients() {
  const engine = openMemory();
  const meddling: { by: Meddle | undefined; bounds: () => void } = { by: undefined, bounds: () => {} };
  const between: Meddle = async (batch, pass) => {
    const { by } = meddling;
    meddling.by = undefined;
    return by ? await by(batch, pass) : await pass();
  };
  const mine: Store = createEventStore(
    meddledEngine(engine, between, () => meddling.bounds()),
    "accounts",
  );
  const other: Store = createEventStore(engine, "accounts");
  return { engine, mine, other, meddling };
}

test("an append whose answer was lost is found to be its own, whatever was expected", async () => {
  for (const expected of [1, "any", "exists"] as const) {
    const { mine, other, meddling } = twoClients();
    await mine.append("x", [deposited(1)]);
    meddling.by = async (_, pass) => {
      await pass();
      return lost();
    };
    assert.deepEqual(await mine.append("x", [deposited(2), deposited(3)], { expected }), { version: 3, position: 2 });
    assert.deepEqual(await amounts(other), [1, 2, 3]);
    assert.equal((await mine.append("x", [deposited(4)], { expected: 3 })).version, 4);
  }
});

test("an append whose answer was lost is its own though others have appended after it", async () => {
  const { mine, other, meddling } = twoClients();
  meddling.by = async (_, pass) => {
    await pass();
    await other.append("x", [deposited(9)]);
    return lost();
  };
  const { version, position } = await mine.append("x", [deposited(1)], { expected: "none" });
  assert.equal(version, 1);
  assert.ok(position >= 0);
  assert.deepEqual(await amounts(other), [1, 9]);
});

test("an append that did not arrive, and was overtaken, is a conflict; where any version does, it comes after", async () => {
  const overtaken = async (expected: "none" | "any") => {
    const { mine, other, meddling } = twoClients();
    meddling.by = async () => {
      await other.append("x", [deposited(9)]);
      return lost();
    };
    const result = await mine.append("x", [deposited(1)], { expected }).catch((error: unknown) => error);
    return { result, there: await amounts(other) };
  };
  const none = await overtaken("none");
  assert.ok(isAshlarError(none.result, "CONFLICT"));
  assert.deepEqual([none.result.details["actual"], none.there], [1, [9]]);
  const any = await overtaken("any");
  assert.deepEqual([any.result, any.there], [{ version: 2, position: 1 }, [9, 1]]);
});

test("an attempt that arrives after another of the same append has no effect", async () => {
  for (const expected of ["none", "any"] as const) {
    const { mine, other, meddling } = twoClients();
    const late = Promise.withResolvers<() => ReturnType<Parameters<Meddle>[1]>>();
    meddling.by = async (_, pass) => {
      late.resolve(pass);
      return lost();
    };
    await mine.append("x", [deposited(1)], { expected });
    assert.equal((await (await late.promise)()).ok, false);
    await mine.append("x", [deposited(2)]);
    assert.equal((await (await late.promise)()).ok, false);
    await other.truncate("x", { before: 2 });
    assert.equal((await (await late.promise)()).ok, false);
    assert.deepEqual([await amounts(other), await other.end()], [[2], 2]);
  }
});

test("an append that stayed without an answer may be made again with its ids, and takes effect once", async () => {
  const { mine, other, meddling } = twoClients();
  const away: Meddle = async () => {
    meddling.by = away;
    throw new UnavailableError("the engine is away");
  };
  meddling.by = async (_, pass) => {
    await pass();
    meddling.by = away;
    return lost();
  };
  const append = () => mine.append("x", [deposited(1)], { expected: "none", ids: ["a"], deadline: 30 });
  await assert.rejects(append(), { code: "OUTCOME_UNKNOWN" });
  meddling.by = undefined;
  const again = await append();
  assert.deepEqual([again.version, again.duplicate], [1, true]);
  assert.deepEqual(await amounts(other), [1]);
});

test("an engine that was away for a moment has appended once; for longer, the append says that nothing was done", async () => {
  const { mine, other, meddling } = twoClients();
  meddling.by = async () => {
    throw new UnavailableError("the engine is away");
  };
  await mine.append("x", [deposited(1)], { expected: "none" });
  const away: Meddle = async () => {
    meddling.by = away;
    throw new UnavailableError("the engine is away");
  };
  meddling.by = away;
  await assert.rejects(mine.append("x", [deposited(2)], { expected: 1, deadline: 30 }), {
    code: "TIMEOUT",
    definite: true,
  });
  assert.deepEqual(await amounts(other), [1]);
});

test("who remembers an end that has been truncated since does not write into the past", async () => {
  const { mine, other } = twoClients();
  for (const stream of ["x", "y"]) {
    await mine.append(stream, [deposited(1)]);
    if (stream === "y") await mine.append(stream, [deposited(2)]);
    const { version } = await other.append(stream, [deposited(3), deposited(4)]);
    await other.append(stream, [deposited(5)]);
    await other.truncate(stream, { before: version + 1 });
    await assert.rejects(mine.append(stream, [deposited(9)], { expected: version - 2 }), { code: "CONFLICT" });
    await assert.rejects(mine.append(stream, [deposited(9)], { expected: "none" }), { code: "CONFLICT" });
    assert.equal((await mine.append(stream, [deposited(6)])).version, version + 2);
  }
});

test("an append that is there does not count as one that did not happen when its position cannot be asked for", async () => {
  const { mine, other, meddling } = twoClients();
  meddling.by = async (_, pass) => {
    await pass();
    return lost();
  };
  meddling.bounds = () => {
    throw new UnavailableError("the engine is away");
  };
  await assert.rejects(mine.append("x", [deposited(1)], { ids: ["a"], deadline: 50 }), { code: "OUTCOME_UNKNOWN" });
  await assert.rejects(mine.append("x", [deposited(1)], { ids: ["a"], deadline: 50 }), { code: "OUTCOME_UNKNOWN" });
  meddling.bounds = () => {};
  const { version, position, duplicate } = await mine.append("x", [deposited(1)], { ids: ["a"] });
  assert.deepEqual([version, position, duplicate, await amounts(other)], [1, 0, true, [1]]);
});

test("an append that waits for its turn behind others of its stream leaves when its time is over or its signal aborts", async () => {
  const { mine, other, meddling } = twoClients();
  const held = Promise.withResolvers<void>();
  meddling.by = async (_, pass) => {
    await held.promise;
    return await pass();
  };
  const first = mine.append("x", [deposited(1)]);
  const stop = new AbortController();
  const given = mine.append("x", [deposited(2)], { signal: stop.signal });
  const late = mine.append("x", [deposited(3)], { deadline: 20 });
  stop.abort(new Error("enough"));
  await assert.rejects(given, /enough/);
  await assert.rejects(late, { code: "TIMEOUT" });
  held.resolve();
  assert.equal((await first).version, 1);
  assert.deepEqual(await amounts(other), [1]);
});
