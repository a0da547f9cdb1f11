import assert from "node:assert/strict";
import { test } from "node:test";
import { OutcomeUnknownError } from "../../core/index.ts";
import type { Engine, OpenTransaction, Transaction, TransactOptions } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { Capture } from "./capture.ts";
import { createChangeFeed } from "./index.ts";
import { changesTopic, scopeOf } from "./layout.ts";
import { toSettings } from "./options.ts";

const range = { prefix: ["orders"] } as const;
const lost = () => new OutcomeUnknownError("the answer was lost");

/** The engine, but for what is given. */
function but(engine: Engine, changed: Partial<Engine>): Engine {
  return new Proxy(engine, {
    get(target, name) {
      if (Object.hasOwn(changed, name)) return changed[name as keyof Engine];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const fence = {
  candidate: "a",
  term: 1,
  signal: new AbortController().signal,
  held: true,
  guard: () => {},
  resign: async () => false,
  [Symbol.asyncDispose]: async () => {},
};

test("a commit whose answer is lost, and that lands when the same changes are on their way again, tells them once", async () => {
  await using engine = openMemory();
  const scope = scopeOf(engine, "changes");
  let commits = 0;
  let late: (() => Promise<unknown>) | undefined;
  const transact = async <T>(fn: (tx: Transaction) => T | Promise<T>, options?: TransactOptions): Promise<T> => {
    // First the range, then the changes; after the loss the range again, and when the comparison with what was told is over, the changes.
    if (++commits === 2) {
      late = () => scope.transact(fn);
      throw lost();
    }
    if (commits === 4) await late?.();
    return await scope.transact(fn, options);
  };
  await engine.kv.set(["orders", 1], "one");
  await engine.kv.set(["orders", 2], "two");
  const controller = new AbortController();
  const capture = new Capture(engine, but(scope, { transact }), "changes", toSettings({ range }));
  const leading = capture.lead(fence, controller.signal);
  for await (const records of scope.log.tail(changesTopic)) if (records.length > 0) break;
  await engine.kv.set(["orders", 3], "three");
  for await (const records of scope.log.tail<{ value: string }>(changesTopic))
    if (records.some(({ value }) => value.value === "three")) break;
  controller.abort(new Error("enough"));
  await assert.rejects(leading, /enough/);
  assert.ok(commits >= 4);
  const told = await Array.fromAsync(createChangeFeed(engine, "changes", { range }).read({ untilNow: true }));
  assert.deepEqual(
    told.map(({ value }) => value),
    ["one", "two", "three"],
  );
});

test("a follower whose commit took place, and whose answer was lost, is given the next changes, not the same again", async () => {
  await using engine = openMemory();
  let begun = 0;
  const begin = (options?: Parameters<Engine["begin"]>[0]): OpenTransaction => {
    const open = engine.begin(options);
    if (++begun > 1) return open;
    const commit = async () => {
      await open.commit();
      throw lost();
    };
    return {
      tx: open.tx,
      touched: true,
      version: undefined,
      commit,
      rollback: () => open.rollback(),
      [Symbol.asyncDispose]: () => open.rollback(),
    };
  };
  const feed = createChangeFeed<number>(but(engine, { begin }), "changes", { range });
  await using _running = feed.run();
  await using follower = feed.follow("sum", (changes, { tx }) => {
    for (const { value = 0 } of changes) tx.add(["sum"], value);
  });
  await engine.kv.set(["orders", 1], 1);
  for await (const [change] of engine.kv.watch<number>({ key: ["sum"] })) if (change) break;
  await engine.kv.set(["orders", 2], 10);
  for await (const [change] of engine.kv.watch<number>({ key: ["sum"] })) if (change && change.value !== 1) break;
  await follower.close();
  assert.equal((await engine.kv.get(["sum"]))?.value, 11);
  assert.equal(await feed.position("sum"), 2);
});
