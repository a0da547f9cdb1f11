import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreKind, storeKinds } from "../../../test/stores.ts";
import { isAshlarError, type StandardSchema } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { type Config, type Current, createConfig } from "./index.ts";
import { type Limits, limitsUpTo } from "./testing/limits-schema.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);
const schema = limitsUpTo(1000);

for (const kind of storeKinds) {
  describe(`configurations on ${kind.name}`, { skip: kind.skip }, () => factsOn(kind));
}

/** The configuration has come to this version here. */
async function untilVersion(config: Config<Limits>, version: number): Promise<Current<Limits>> {
  for await (const current of config.watch()) if (current.version >= version) return current;
  throw new Error("the watch has ended");
}

/** Turns of the event loop until there is something. */
async function known<T>(look: () => T | undefined): Promise<T> {
  for (let turn = 0; turn < 10_000; turn++) {
    const found = look();
    if (found !== undefined) return found;
    await new Promise(setImmediate);
  }
  assert.fail("it did not come about");
}

function factsOn(kind: StoreKind): void {
  const on = (fn: (a: Engine, b: Engine) => Promise<void>) => async () => {
    await using store = await kind.create();
    await fn(await store.open(), await store.open());
  };

  test(
    "what one process sets, it knows at once, and all others soon",
    on(async (a, b) => {
      await using one = createConfig(a, "limits", { schema, defaults: { limit: 1 } });
      await using two = createConfig(b, "limits", { schema, defaults: { limit: 2 } });
      await Promise.all([one.ready(), two.ready()]);
      assert.deepEqual(
        [one.get(), two.get()],
        [
          { limit: 1, names: [] },
          { limit: 2, names: [] },
        ],
      );
      assert.deepEqual([two.current().version, two.current().time], [0, undefined]);
      const set = await one.set({ limit: 10 }, { author: "ann", reason: "load" });
      assert.deepEqual(one.current(), set);
      assert.deepEqual([set.version, set.value, set.author, set.reason], [1, { limit: 10, names: [] }, "ann", "load"]);
      assert.ok(Math.abs((set.time ?? 0) - (await a.now())) < 60_000);
      assert.deepEqual(await untilVersion(two, 1), set);
      assert.deepEqual(two.get(), { limit: 10, names: [] });
      await using late = createConfig(b, "limits", { schema });
      await late.ready();
      assert.deepEqual(late.current(), set);
    }),
  );

  test(
    "an update loses nothing that others set meanwhile",
    on(async (a, b) => {
      const configs = [a, b].map((engine) => createConfig(engine, "limits", { schema, defaults: { limit: 1 } }));
      const adding = configs.flatMap((config) =>
        Array.from({ length: 10 }, () => config.update(({ limit }) => ({ limit: limit + 1 }))),
      );
      const versions = (await Promise.all(adding)).map(({ version }) => version);
      assert.deepEqual(
        versions.toSorted((x, y) => x - y),
        Array.from({ length: 20 }, (_, i) => i + 1),
      );
      for (const config of configs) assert.equal((await untilVersion(config, 20)).value.limit, 21);
      for (const config of configs) await config.close();
    }),
  );

  test(
    "expectedVersion: of two who saw the same, one sets it",
    on(async (a, b) => {
      await using one = createConfig(a, "limits", { schema });
      await using two = createConfig(b, "limits", { schema });
      await one.set({ limit: 1 }, { expectedVersion: 0 });
      await assert.rejects(two.set({ limit: 2 }, { expectedVersion: 0 }), (error) => {
        assert.ok(isAshlarError(error, "CONFLICT"));
        assert.deepEqual(error.details, { name: "limits", expected: 0, actual: 1 });
        return true;
      });
      const both = [one, two].map((config, i) => config.set({ limit: 5 + i }, { expectedVersion: 1 }));
      const results = await Promise.allSettled(both);
      assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
      assert.equal((await one.history())[0]?.version, 2);
    }),
  );

  test(
    "the history holds who, when and why, without gaps, and no more than was asked for",
    on(async (a) => {
      await using config = createConfig(a, "limits", { schema, history: 5 });
      assert.deepEqual(await config.history(), []);
      for (let limit = 1; limit <= 12; limit++) await config.set({ limit }, { reason: `step ${limit}`, author: "ann" });
      const all = await config.history();
      assert.deepEqual(
        all.map(({ version }) => version),
        [12, 11, 10, 9, 8, 7],
      );
      assert.deepEqual(
        all.map(({ value }) => value),
        [12, 11, 10, 9, 8, 7].map((limit) => ({ limit })),
      );
      assert.ok(all.every(({ version, author, reason }) => author === "ann" && reason === `step ${version}`));
      const times = all.map(({ time }) => time);
      assert.deepEqual(
        times,
        times.toSorted((x, y) => y - x),
      );
      assert.deepEqual(
        (await config.history({ limit: 2 })).map(({ version }) => version),
        [12, 11],
      );
      assert.deepEqual(
        (await config.history({ limit: 2, before: 10 })).map(({ version }) => version),
        [9, 8],
      );
      assert.deepEqual(
        (await config.history({ limit: 1, before: 13 })).map(({ version }) => version),
        [12],
      );
      // A process that keeps less makes it shorter from the oldest on, some at a time.
      await using less = createConfig(a, "limits", { schema, history: 0 });
      await less.set({ limit: 13 });
      assert.deepEqual(
        (await less.history()).map(({ version }) => version),
        [13],
      );
    }),
  );

  test(
    "a rollback is a new version with the old value",
    on(async (a, b) => {
      await using one = createConfig(a, "limits", { schema, history: 2 });
      await using two = createConfig(b, "limits", { schema });
      for (const limit of [1, 2, 3, 4]) await one.set({ limit });
      const back = await two.rollback(3, { author: "bob" });
      assert.deepEqual([back.version, back.value.limit, back.rolledBackTo, back.author], [5, 3, 3, "bob"]);
      assert.equal((await two.rollback(5)).value.limit, 3);
      await assert.rejects(one.rollback(1), /version: given 1; allowed: a version that the history still holds/);
      await assert.rejects(one.rollback(99), code("INVALID_ARGUMENT"));
      await assert.rejects(one.rollback(4, { expectedVersion: 1 }), code("CONFLICT"));
    }),
  );

  test(
    "watches and callbacks see versions ascend, and the last one",
    on(async (a, b) => {
      await using one = createConfig(a, "limits", { schema, defaults: { limit: 1 } });
      await using two = createConfig(b, "limits", { schema, defaults: { limit: 1 } });
      await two.ready();
      const called: [number, number | undefined][] = [];
      const done = Promise.withResolvers<void>();
      using _calls = two.onChange(async ({ version }, previous) => {
        called.push([version, previous?.version]);
        if (version === 30) done.resolve();
      });
      const seen: number[] = [];
      const watching = (async () => {
        for await (const { version } of two.watch()) {
          seen.push(version);
          if (version === 30) return;
        }
      })();
      for (let limit = 1; limit <= 30; limit++) await one.set({ limit });
      await Promise.all([watching, done.promise]);
      assert.equal(seen[0], 0);
      assert.deepEqual(
        seen,
        [...new Set(seen)].toSorted((x, y) => x - y),
      );
      assert.equal(called[0]?.[1], 0);
      assert.deepEqual(
        called.slice(1).map(([, previous]) => previous),
        called.slice(0, -1).map(([version]) => version),
      );
    }),
  );
}

test("what does not satisfy the schema is not set; what does not any more leaves the last good value", async () => {
  await using engine = openMemory();
  await using wide = createConfig(engine, "limits", { schema });
  await assert.rejects(wide.set({ limit: 0 }), /limits does not satisfy its schema: limit: from 1 to 1000/);
  await assert.rejects(
    wide.update(() => ({ limit: 1 })),
    code("INVALID_STATE"),
  );
  await wide.set({ limit: 5 });
  await assert.rejects(
    wide.update(({ limit }) => ({ limit: limit - 5 })),
    code("INVALID_ARGUMENT"),
  );
  await using narrow = createConfig(engine, "limits", { schema: limitsUpTo(10) });
  await narrow.ready();
  const seen: number[] = [];
  const watching = (async () => {
    for await (const { version } of narrow.watch()) if (seen.push(version) === 2) return;
  })();
  assert.equal(narrow.invalid, undefined);
  await wide.set({ limit: 50 });
  const refused = await known(() => narrow.invalid);
  assert.deepEqual([narrow.get().limit, refused.version], [5, 2]);
  assert.ok(isAshlarError(refused.error, "INVALID_ARGUMENT"));
  await assert.rejects(
    narrow.update(({ limit }) => ({ limit })),
    /present version of limits does not satisfy/,
  );
  // One that begins now falls back to the history.
  await using late = createConfig(engine, "limits", { schema: limitsUpTo(10) });
  await late.ready();
  assert.deepEqual([late.get().limit, late.current().version, late.invalid?.version], [5, 1, 2]);
  await using strict = createConfig(engine, "limits", { schema: limitsUpTo(3), defaults: { limit: 2 } });
  await strict.ready();
  assert.deepEqual([strict.get().limit, strict.current().version, strict.invalid?.version], [2, 0, 2]);
  await using strictest = createConfig(engine, "limits", { schema: limitsUpTo(3) });
  await strictest.ready();
  assert.throws(() => strictest.get(), /no earlier version does/);
  await wide.set({ limit: 7 });
  await watching;
  assert.deepEqual(seen, [1, 3]);
  assert.equal(narrow.invalid, undefined);
});

test("something else under the key is invalid, not a value", async () => {
  await using engine = openMemory();
  await engine.kv.set(["config", "limits", "current"], { limit: 5 });
  await using config = createConfig(engine, "limits", { schema, defaults: { limit: 1 } });
  await config.ready();
  assert.deepEqual([config.get().limit, config.invalid?.version], [1, undefined]);
  assert.ok(isAshlarError(config.invalid?.error, "CORRUPTION"));
  await assert.rejects(config.set({ limit: 2 }), code("CORRUPTION"));
});

test("nothing is given before it was read, and nothing where nothing is", async () => {
  await using engine = openMemory();
  await using config = createConfig(engine, "limits", { schema, defaults: { limit: 1 } });
  assert.throws(() => config.get(), /await its `ready` first/);
  await using empty = createConfig(engine, "empty", { schema });
  await empty.ready();
  assert.throws(() => empty.current(), /nothing was set, and there are no `defaults`/);
  const first = empty.watch().next();
  await empty.set({ limit: 3 });
  assert.equal((await first).value?.version, 1);
});

test("values are shared frozen, and nobody's object is", async () => {
  await using engine = openMemory();
  const defaults: { limit: number; names: string[] } = { limit: 1, names: ["a"] };
  await using config = createConfig(engine, "limits", { schema, defaults });
  await config.ready();
  assert.throws(() => (config.get().names as string[]).push("b"), TypeError);
  defaults.names.push("c");
  assert.deepEqual(config.get().names, ["a"]);
  const given = { limit: 2, names: ["x"] };
  await config.set(given);
  given.names.push("y");
  assert.deepEqual(config.get().names, ["x"]);
  // Whatever an update does to what it gets, the history holds what was set.
  await config.update((value) => {
    (value.names as string[]).push("z");
    return value;
  });
  assert.deepEqual(
    (await config.history()).map(({ value }) => (value as Limits).names),
    [["x", "z"], ["x"]],
  );
});

test("an asynchronous schema, and one that transforms", async () => {
  await using engine = openMemory();
  const dates: StandardSchema<Date, string> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: async (value) => {
        const date = new Date(value as string);
        return Number.isNaN(date.getTime()) ? { issues: [{ message: "no date" }] } : { value: date };
      },
    },
  };
  await using config = createConfig(engine, "since", { schema: dates, defaults: "2000-01-01" });
  await config.ready();
  assert.equal(config.get().getUTCFullYear(), 2000);
  await config.set("2001-01-01");
  assert.equal((await config.update((date) => `${date.getUTCFullYear() + 1}-01-01`)).value.getUTCFullYear(), 2002);
  assert.deepEqual(
    (await config.history()).map(({ value }) => value),
    ["2002-01-01", "2001-01-01"],
  );
  await assert.rejects(config.set("yesterday"), /no date/);
  await using wrong = createConfig(engine, "wrong", { schema: dates, defaults: "never" });
  await assert.rejects(wrong.ready(), /defaults does not satisfy its schema: no date/);
});

test("a watch ends by return, by its signal, and when the configuration is closed", async () => {
  await using engine = openMemory();
  const config = createConfig(engine, "limits", { schema, defaults: { limit: 1 } });
  await config.ready();
  const left = config.watch();
  await left.next();
  const waiting = left.next();
  await left.return?.();
  assert.deepEqual(await waiting, { done: true, value: undefined });
  const controller = new AbortController();
  const aborted = config.watch({ signal: controller.signal });
  await aborted.next();
  const rejected = assert.rejects(aborted.next(), /enough/);
  controller.abort(new Error("enough"));
  await rejected;
  assert.deepEqual(await aborted.next(), { done: true, value: undefined });
  const closed = config.watch();
  await closed.next();
  const last = closed.next();
  let calls = 0;
  config.onChange(() => void calls++);
  await config.close();
  assert.deepEqual(await last, { done: true, value: undefined });
  await config.close();
  assert.equal(config.get().limit, 1);
  await assert.rejects(config.set({ limit: 2 }), code("CLOSED"));
  await assert.rejects(config.history(), code("CLOSED"));
  assert.throws(() => config.watch(), code("CLOSED"));
  assert.equal(calls, 0);
});

test("watches end with the engine", async () => {
  const engine = openMemory();
  const config = createConfig(engine, "limits", { schema, defaults: { limit: 1 } });
  const watching = Array.fromAsync(config.watch());
  await config.ready();
  await engine.close();
  assert.equal((await watching).length, 1);
  await config.close();
});

test("a callback is called with changes only, the latest each time, until it is disposed of", async () => {
  await using engine = openMemory();
  await using config = createConfig(engine, "limits", { schema, defaults: { limit: 1 } });
  const versions: number[] = [];
  let release = Promise.withResolvers<void>();
  // Registered before the first read, which is no change.
  const calls = config.onChange(async ({ version }) => {
    versions.push(version);
    await release.promise;
  });
  await config.ready();
  for (let limit = 2; limit < 6; limit++) await config.set({ limit });
  assert.deepEqual(versions, [1]);
  release.resolve();
  await known(() => versions[1]);
  assert.deepEqual(versions, [1, 4]);
  release = Promise.withResolvers();
  release.resolve();
  calls[Symbol.dispose]();
  await config.set({ limit: 9 });
  await new Promise(setImmediate);
  assert.deepEqual(versions, [1, 4]);
});

test("bad arguments and unknown options are named", async () => {
  await using engine = openMemory();
  const make = (options: object) => createConfig(engine, "x", { schema, ...options });
  assert.throws(() => createConfig(engine, "", { schema }), /name/);
  assert.throws(() => make({ schema: {} }), /schema/);
  assert.throws(() => make({ history: -1 }), /history/);
  assert.throws(() => make({ maxBytes: 2 ** 30 }), /maxBytes/);
  assert.throws(() => make({ staleAfter: 1 }), /staleAfter/);
  assert.throws(() => make({ defaults: { limit: 0 } }), /defaults.*from 1 to 1000/);
  assert.throws(() => make({ secret: true }), /options\.secret/);
  await using config = createConfig(engine, "x", { schema, maxBytes: 100 });
  await assert.rejects(config.set({ limit: 1 }, { expectedversion: 1 } as object), /options\.expectedversion/);
  await assert.rejects(config.set({ limit: 1 }, { author: "" }), /author/);
  await assert.rejects(config.set({ limit: 1 }, { reason: "r".repeat(2001) }), /reason/);
  await assert.rejects(config.set({ limit: 1 }, { expectedVersion: -1 }), /expectedVersion/);
  await assert.rejects(config.set({ limit: 1, names: ["n".repeat(100)] }), code("LIMIT"));
  await assert.rejects(config.set({ limit: 1, names: [(() => 1) as unknown as string] }), /value\.names\[0\]/);
  await assert.rejects(config.history({ limit: 0 }), /limit/);
  await assert.rejects(config.update({ limit: 1 } as unknown as () => Limits), /fn/);
  assert.throws(() => config.onChange("f" as unknown as () => void), /fn/);
  await assert.rejects(config.rollback(0), /version/);
  assert.deepEqual(await config.history(), []);
});
