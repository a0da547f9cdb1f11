import assert from "node:assert/strict";
import { type Key, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedClient, SimulatedNode, World } from "../../../simulation/index.ts";
import { createChangeFeed } from "../index.ts";
import { type Captured, changesTopic, scopeOf } from "../layout.ts";

/**
 * Clients write and delete a few keys; machines capture and follow, stop and come back, die, stand still beyond the time to live of their lease, or are cut off meanwhile. The range is larger than a segment.
 *
 * Invariants: the feed tells the states of a key in the order of their commits, each version once, and no deletion of what is not there; a follower is given each change once, in order, and what it copies is what the feed says.
 * After the faults, the feed and the copy come to be what the range is.
 */
export const changeFeed: Scenario = {
  name: "change-feed",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { worker: { count: 3, start: work } },
  workload: { clients: 2, operations: 60, think: 300, setup, operation },
  budget: { faults: "25s", heal: "120s" },
  invariants: {
    "the feed is in order, each version once": inOrder,
    "the follower is given each change once, in order": followedOnce,
  },
  eventually: { "the feed and the copy are what the range is": isLevel },
};

const name = "changes";
const options = { range: { prefix: ["item"] }, ttl: "2s", segment: 100 } as const;
/** Keys that are there from the beginning, so that there are several segments. */
const still = 150;
const moving = 12;

interface Item {
  /** Counts the writes of the key, over its deletions. */
  readonly n: number;
  readonly by: string;
}

async function setup({ engine }: World): Promise<void> {
  for (let n = 0; n < still; n += 50)
    await engine.kv.commit({
      mutations: Array.from({ length: 50 }, (_, i) => ({ set: ["item", n + i], value: { n: 0, by: "setup" } })),
    });
}

function work({ engine, runtime }: SimulatedNode): void {
  const feed = createChangeFeed<Item>(engine, name, options);
  const open = {
    capture: () => feed.run(),
    follow: () =>
      feed.follow(
        "copy",
        async (changes, { tx }) => {
          for (const { key, value, deleted } of changes) {
            const to: Key = ["copy", ...key.slice(1)];
            if (deleted) tx.delete(to);
            else tx.set(to, value);
          }
          tx.append(
            "followed",
            changes.map(({ offset }) => offset),
          );
          if (runtime.random.next() < 0.2) await sleep(runtime, runtime.random.next() * 500);
          if (runtime.random.next() < 0.1) throw new Error("flaky");
        },
        { batch: 10 },
      ),
  };
  const keepUp = async (begin: () => ReturnType<typeof open.capture>): Promise<void> => {
    for (;;) {
      const running = begin();
      // Some stay for good: a change that was passed over must not be mended by the next who begins.
      const time = runtime.random.next() < 0.5 ? 1000 + runtime.random.next() * 10_000 : 3_600_000;
      await Promise.race([sleep(runtime, time), running.done]);
      await running.close();
      if (runtime.random.next() < 0.5) await sleep(runtime, runtime.random.next() * 1000);
    }
  };
  void keepUp(open.capture);
  void keepUp(open.follow);
}

async function operation({ engine, runtime, name: by }: SimulatedClient): Promise<void> {
  const { random } = runtime;
  const count = 1 + Math.floor(random.next() * 3);
  const items = new Set(Array.from({ length: count }, () => Math.floor(random.next() * moving)));
  const deletes = random.next() < 0.3;
  await engine.transact(async (tx) => {
    for (const item of items) {
      const n = ((await tx.get<number>(["writes", item])) ?? 0) + 1;
      tx.set(["writes", item], n);
      if (deletes) tx.delete(["item", item]);
      else tx.set(["item", item], { n, by } satisfies Item);
    }
  });
}

async function feedOf({ engine }: World): Promise<Captured[]> {
  const changes: Captured[] = [];
  for (;;) {
    const records = await scopeOf(engine, name).log.read<Captured>(changesTopic, { from: changes.length });
    if (records.length === 0) return changes;
    changes.push(...records.map(({ value }) => value));
  }
}

async function inOrder(world: World): Promise<void> {
  const versions = new Set<string>();
  const latest = new Map<string, number>();
  const there = new Set<string>();
  for (const { key, version, value } of await feedOf(world)) {
    const item = key.join("/");
    if (version === undefined) {
      assert.ok(there.delete(item), `${item} is told to be deleted, and was not there`);
      continue;
    }
    const { n } = value as Item;
    assert.ok(!versions.has(`${item} ${version}`), `${item}: one version is told twice`);
    assert.ok(n > (latest.get(item) ?? -1), `${item}: write ${n} is told after ${latest.get(item)}`);
    versions.add(`${item} ${version}`);
    latest.set(item, n);
    there.add(item);
  }
}

async function followedOnce({ engine }: World): Promise<void> {
  let expected = 0;
  for (let from = 0; ; ) {
    const records = await engine.log.read<number>("followed", { from });
    for (const { offset, value } of records) {
      assert.equal(value, expected++, "the follower was given a change twice, or passed one over");
      from = offset + 1;
    }
    if (records.length === 0) return;
  }
}

async function entriesOf({ engine }: World, prefix: string): Promise<string[]> {
  const entries = await Array.fromAsync(engine.kv.list<Item>({ prefix: [prefix] }));
  return entries.map(({ key, value }) => `${key.slice(1).join("/")}: write ${value.n}`);
}

async function isLevel(world: World): Promise<boolean> {
  const told = new Map<string, string>();
  for (const { key, version, value } of await feedOf(world)) {
    const item = key.slice(1).join("/");
    if (version === undefined) told.delete(item);
    else told.set(item, `${item}: write ${(value as Item).n}`);
  }
  const is = (await entriesOf(world, "item")).sort();
  assert.deepEqual([...told.values()].sort(), is, "what the feed tells is not what is there");
  assert.deepEqual((await entriesOf(world, "copy")).sort(), is, "the copy is not what is there");
  return true;
}
