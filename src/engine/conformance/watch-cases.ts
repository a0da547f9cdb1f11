import assert from "node:assert/strict";
import type { Key, KeyRange } from "../../core/index.ts";
import type { Change, Engine } from "../contract.ts";
import type { Chance } from "./chance.ts";
import { turn } from "./during.ts";
import { fill, getVersion, listAll, numbers } from "./entries.ts";
import { abortedSignal, failsBy } from "./expecting.ts";
import { facts } from "./fact.ts";
import type { Follower } from "./follower.ts";

/** The follower's state is that of the store: keys, values and versions. */
async function showsAll(follower: Follower, engine: Engine, range: KeyRange): Promise<void> {
  const stored = (await listAll(engine, range)).map(({ key, value, version }) => ({ key, value, version }));
  assert.deepEqual(follower.entries, stored);
}

const basics = facts("watch", {
  "a watch begins with what is there, in one array": async ({ engine, follow }) => {
    await fill(engine, [["w", 1], ["w", 2], ["x"]]);
    const follower = await follow(engine, { prefix: ["w"] }).begun();
    assert.equal(follower.arrays.length, 1);
    await showsAll(follower, engine, { prefix: ["w"] });
  },

  "a watch of nothing begins with an empty array": async ({ engine, follow, soon }) => {
    const follower = await soon("the first array", follow(engine, { prefix: ["w"] }).begun());
    assert.deepEqual(follower.arrays, [[]]);
  },

  "a watch begins with all of a range of several pages": async ({ engine, follow, soon }) => {
    const count = engine.limits.listEntries + 20;
    await fill(
      engine,
      numbers(count).map((i) => ["w", i]),
    );
    const follower = await soon("the first array", follow(engine, { prefix: ["w"] }).begun());
    assert.equal(follower.arrays[0]?.length, count);
    assert.deepEqual(follower.values, numbers(count));
  },

  "a watch shows what is set, overwritten, added to and deleted": async ({ engine, other, follow, soon }) => {
    await engine.kv.set(["w", "gone"], 1);
    const follower = await follow(engine, { prefix: ["w"] }).begun();
    for (const client of [engine, other]) {
      await client.kv.commit({
        mutations: [{ set: ["w", "a"], value: 1 }, { add: ["w", "sum"], delta: 5 }, { delete: ["w", "gone"] }],
      });
      await soon(
        "a set, an add and a delete",
        follower.until((f) => f.get("w", "a") === 1 && f.get("w", "gone") === undefined),
      );
      await client.kv.set(["w", "a"], 2);
      await soon(
        "an overwritten value",
        follower.until((f) => f.get("w", "a") === 2),
      );
      await showsAll(follower, engine, { prefix: ["w"] });
      await client.kv.delete(["w", "a"]);
      await soon(
        "a delete",
        follower.until((f) => f.get("w", "a") === undefined),
      );
      await showsAll(follower, engine, { prefix: ["w"] });
      await client.kv.set(["w", "gone"], 1);
      await soon(
        "a return",
        follower.until((f) => f.get("w", "gone") === 1),
      );
    }
  },

  "changes carry key, value, version and ttl, and deletes say so": async ({ engine, soon, defer }) => {
    const { version: first } = await engine.kv.set(["w", 1], "one");
    const watch = engine.kv.watch({ prefix: ["w"] });
    defer(() => watch.return?.());
    const next = async () => (await soon("a change", watch.next())).value as Change[];
    assert.deepEqual(await next(), [{ key: ["w", 1], value: "one", version: first }]);
    const { version } = await engine.kv.set(["w", 2], "two", { ttl: "1h" });
    const [set] = await next();
    assert.ok(set !== undefined && !set.deleted && (set.ttl ?? 0) > 1_800_000 && (set.ttl ?? 0) <= 3_600_000);
    const { ttl, ...rest } = set;
    assert.deepEqual(rest, { key: ["w", 2], value: "two", version });
    await engine.kv.delete(["w", 1]);
    assert.deepEqual(await next(), [{ key: ["w", 1], deleted: true }]);
  },

  "a watch shows its range alone": async ({ engine, other, follow, soon }) => {
    const prefix = await follow(engine, { prefix: ["w", "a"] }).begun();
    const single = await follow(engine, { key: ["w", "a"] }).begun();
    const bounded = await follow(engine, { start: ["w", "a"], end: ["w", "b"] }).begun();
    await other.kv.commit({
      mutations: [
        { set: ["w"], value: 0 },
        { set: ["w", "a"], value: 1 },
        { set: ["w", "a", 1], value: 2 },
        { set: ["w", "aa"], value: 3 },
        { set: ["w", "b"], value: 4 },
      ],
    });
    await soon(
      "changes below a prefix",
      prefix.until((f) => f.values.length > 0),
    );
    await soon(
      "a change of a key",
      single.until((f) => f.values.length > 0),
    );
    await soon(
      "changes between bounds",
      bounded.until((f) => f.values.length > 0),
    );
    await other.kv.set(["w", "a", 1], "last");
    await soon(
      "the last change",
      prefix.until((f) => f.get("w", "a", 1) === "last"),
    );
    await other.kv.set(["w", "a"], "last");
    await soon(
      "the last change",
      single.until((f) => f.get("w", "a") === "last"),
    );
    await soon(
      "the last change",
      bounded.until((f) => f.get("w", "a") === "last"),
    );
    assert.deepEqual([prefix.values, single.values, bounded.values], [["last"], ["last"], ["last", "last", 3]]);
    for (const { arrays } of [prefix, single, bounded]) assert.ok(arrays.slice(1).every((array) => array.length > 0));
  },

  "a commit that changes nothing in the range is no change": async ({ engine, follow, soon }) => {
    const follower = await follow(engine, { prefix: ["w"] }).begun();
    await engine.kv.set(["elsewhere"], 1);
    await engine.kv.tryCommit({
      checks: [{ key: ["elsewhere"], version: undefined }],
      mutations: [{ set: ["w", 1], value: 1 }],
    });
    await engine.kv.set(["w", "end"], 1);
    await soon(
      "the end",
      follower.until((f) => f.get("w", "end") === 1),
    );
    assert.equal(follower.arrays.flat().length, 1);
  },
});

const states = facts("watch", {
  "states that were overwritten before they were looked at are skipped, never the last": async ({
    engine,
    other,
    soon,
    defer,
  }) => {
    await engine.kv.set(["w", "deleted"], 0);
    const watch = engine.kv.watch({ prefix: ["w"] });
    defer(() => watch.return?.());
    await soon("the first array", watch.next());
    for (const n of numbers(50)) await other.kv.set(["w", "busy"], n);
    await other.kv.delete(["w", "deleted"]);
    await other.kv.set(["w", "end"], 1);
    const seen = new Map<unknown, unknown>([["deleted", 0]]);
    let arrays = 0;
    for (; !seen.has("end"); arrays++) {
      const { value } = await soon("the last state", watch.next());
      for (const { key, deleted, ...change } of value as Change[]) {
        if (deleted) seen.delete(key[1]);
        else seen.set(key[1], "value" in change && change.value);
      }
    }
    assert.deepEqual([...seen].sort(), [
      ["busy", 49],
      ["end", 1],
    ]);
    assert.ok(arrays < 52, "each state came by itself, although nobody looked");
  },

  "changes come in the order of their commits": async ({ engine, other, follow, soon }) => {
    await fill(engine, [
      ["w", "x"],
      ["w", "y"],
    ]);
    const follower = await soon("the first array", follow(engine, { prefix: ["w"] }).begun());
    for (const [i, name] of ["m", "a", "z", "b"].entries()) await (i % 2 ? engine : other).kv.set(["w", name], i);
    await other.kv.delete(["w", "y"]);
    await engine.kv.set(["w", "a"], "again");
    await other.kv.delete(["w", "x"]);
    await engine.kv.set(["w", "end"], true);
    await soon(
      "the end",
      follower.until((f) => f.get("w", "end") === true),
    );
    // Deletes are left out: an engine that lost its place tells them first.
    const set = follower.arrays.slice(1).flatMap((array) => array.filter(({ deleted }) => !deleted));
    const order = set.map(({ key }) => key[1]);
    const last = order.filter((name, i) => order.lastIndexOf(name) === i);
    assert.deepEqual(last, ["m", "z", "b", "a", "end"]);
  },

  "all watches of a range see its changes": async ({ engine, other, follow, soon }) => {
    const followers = numbers(10).map((i) => follow(i % 2 ? engine : other, { prefix: ["w"] }));
    await soon("the first arrays", Promise.all(followers.map((follower) => follower.begun())));
    for (const n of numbers(20)) await engine.kv.set(["w", n % 3], n);
    for (const follower of followers) {
      await soon(
        "the last change",
        follower.until((f) => f.get("w", 1) === 19),
      );
      await showsAll(follower, engine, { prefix: ["w"] });
    }
  },

  "many watches of single keys each see their own": async ({ engine, other, follow, soon }) => {
    const followers = numbers(100).map((i) => follow<number>(engine, { key: ["w", i] }));
    await soon("the first arrays", Promise.all(followers.map((follower) => follower.begun())));
    await fill(
      other,
      numbers(100).map((i) => ["w", i]),
    );
    await soon("all changes", Promise.all(followers.map((follower, i) => follower.until((f) => f.get("w", i) === i))));
    await other.kv.set(["w", 7], "again");
    await soon(
      "one change",
      (followers[7] as Follower<unknown>).until((f) => f.get("w", 7) === "again"),
    );
    for (const [i, { arrays }] of followers.entries()) assert.equal(arrays.length, i === 7 ? 3 : 2);
  },

  "a watch under load ends in the exact state of the store": async ({
    engine,
    other,
    follow,
    soon,
    chance,
    runtime,
  }) => {
    const early = await soon("the first array", follow(other, { prefix: ["w"] }).begun());
    const write = async (client: Engine) => {
      for (const _ of numbers(100)) {
        await randomWrite(client, chance);
        if (chance.hits(0.3)) await turn(runtime);
      }
    };
    const writing = Promise.all([write(engine), write(other), write(engine)]);
    const late = follow(engine, { prefix: ["w"] });
    await writing;
    await engine.kv.set(["w", "end"], true);
    for (const follower of [early, late]) {
      await soon(
        "the last write",
        follower.until((f) => f.get("w", "end") === true),
      );
      await showsAll(follower, engine, { prefix: ["w"] });
    }
  },

  "a later commit is never seen without an earlier one": async ({ engine, other, follow, soon, runtime }) => {
    const [a, b]: Key[] = [
      ["w", "z"],
      ["w", "a"],
    ];
    const inOrder = (f: Follower<number>): void => {
      const [first = 0, second = 0] = [f.get("w", "z"), f.get("w", "a")];
      assert.ok(first >= second, `saw ${second} in the key written second and ${first} in the one written first`);
    };
    const followers = [follow<number>(engine, { prefix: ["w"] }), follow<number>(other, { prefix: ["w"] })];
    for (const follower of followers) await soon("the first array", follower.onState(inOrder).begun());
    for (let n = 1; n <= 60; n++) {
      if (n % 3 === 0) await turn(runtime);
      await engine.kv.set(a as Key, n);
      await (n % 2 ? engine : other).kv.set(b as Key, n);
    }
    for (const follower of followers)
      await soon(
        "the last commit",
        follower.until((f) => f.get("w", "a") === 60),
      );
  },

  "after each array the observer holds a state that existed": async ({ engine, other, follow, soon, runtime }) => {
    const keys = numbers(10);
    const balanced = (f: Follower<number>): void => {
      const sum = f.values.reduce((total, value) => total + value, 0);
      assert.equal(sum, 0, `the sum over all keys is 0 in every state of the store, and was seen as ${sum}`);
    };
    const early = follow<number>(other, { prefix: ["w"] }).onState(balanced);
    const followers = [await soon("the first array", early.begun())];
    for (let n = 1; n <= 60; n++) {
      if (n % 3 === 0) await turn(runtime);
      const [from, to] = [n % keys.length, (n * 7 + 3) % keys.length];
      if (from === to) continue;
      await (n % 2 ? engine : other).kv.commit({
        mutations: [
          { add: ["w", from], delta: -n },
          { add: ["w", to], delta: n },
        ],
      });
      if (n % 20 === 0) followers.push(follow<number>(engine, { prefix: ["w"] }).onState(balanced));
    }
    await engine.kv.set(["w", "end"], 0);
    for (const follower of followers)
      await soon(
        "the end",
        follower.until((f) => f.get("w", "end") === 0),
      );
  },

  "an expiry is a change like a delete, seen within about a second": async ({
    engine,
    other,
    follow,
    soon,
    eventually,
    runtime,
  }) => {
    const ttl = 400;
    await engine.kv.set(["w", 1], 1, { ttl });
    const followers = [follow(engine, { prefix: ["w"] }), follow(other, { key: ["w", 1] }), follow(other, {})];
    await soon("the first arrays", Promise.all(followers.map((follower) => follower.begun())));
    await engine.kv.set(["w", 2], 2, { ttl });
    const expired = (await engine.now()) + ttl;
    await eventually("the end of the ttl", async () => (await engine.now()) > expired);
    const begin = runtime.clock.monotonic();
    await eventually("the expiry", () => followers.every(({ entries }) => entries.length === 0));
    const took = runtime.clock.monotonic() - begin;
    // About a second, and as much again and more for a busy machine.
    assert.ok(took < 2500, `the expiry was seen after ${took} ms`);
    for (const { arrays } of followers) {
      const keys = (deleted: boolean) =>
        new Set(
          arrays.flatMap((array) =>
            array.filter((change) => change.deleted === (deleted || undefined)).map(({ key }) => key[1]),
          ),
        );
      assert.deepEqual(keys(true), keys(false), "what was shown was also shown to end");
    }
  },

  "the version in a change is that of the entry": async ({ engine, follow, soon }) => {
    const follower = await follow(engine, { prefix: ["w"] }).begun();
    await engine.transact((tx) => {
      tx.set(["w", 1], 1);
      tx.add(["w", 2], 1);
    });
    await soon(
      "the changes",
      follower.until((f) => f.values.length === 2),
    );
    for (const { key, version } of follower.entries) assert.equal(version, await getVersion(engine, key));
  },
});

async function randomWrite(client: Engine, chance: Chance): Promise<void> {
  const key: Key = ["w", chance.below(15)];
  const other: Key = ["w", "s", chance.below(5)];
  if (chance.hits(0.3)) await client.kv.delete(key);
  else if (chance.hits(0.4))
    await client.kv.commit({
      mutations: [
        { set: key, value: chance.next() },
        { add: other, delta: 1 },
      ],
    });
  else await client.kv.set(key, chance.next());
}

const endings = facts("watch", {
  "return ends a watch, also while it waits": async ({ engine, soon }) => {
    const watch = engine.kv.watch({ prefix: ["w"] });
    await soon("the first array", watch.next());
    const waiting = watch.next();
    await watch.return?.();
    assert.equal((await soon("the end", waiting)).done, true);
    assert.equal((await soon("the end", watch.next())).done, true);
    await engine.kv.set(["w", 1], 1);
    assert.equal((await soon("the end", watch.next())).done, true);
    await watch.return?.();
  },

  "leaving the loop ends a watch": async ({ engine }) => {
    for await (const changes of engine.kv.watch({ prefix: ["w"] })) {
      assert.deepEqual(changes, []);
      break;
    }
  },

  "an abort ends a watch with its reason": async ({ engine, soon }) => {
    const controller = new AbortController();
    const reason = new Error("seen enough");
    const watch = engine.kv.watch({ prefix: ["w"] }, { signal: controller.signal });
    await soon("the first array", watch.next());
    const waiting = watch.next();
    controller.abort(reason);
    await failsBy(reason, () => soon("the end", waiting));
    assert.equal((await soon("the end", watch.next())).done, true);
  },

  "a watch with an aborted signal fails with the reason": async ({ engine, soon }) => {
    const { signal, reason } = abortedSignal();
    await failsBy(reason, () => soon("the reason", engine.kv.watch({ prefix: ["w"] }, { signal }).next()));
  },

  "the end of one watch leaves the others": async ({ engine, follow, soon }) => {
    const stays = await follow(engine, { prefix: ["w"] }).begun();
    const goes = await follow(engine, { prefix: ["w"] }).begun();
    await goes.stop();
    await engine.kv.set(["w", 1], 1);
    await soon(
      "the change",
      stays.until((f) => f.values.length === 1),
    );
    assert.equal(goes.arrays.length, 1);
  },
});

export const watchFacts = [...basics, ...states, ...endings];
