import assert from "node:assert/strict";
import { isAshlarError, type Runtime, sleep } from "../../../core/index.ts";
import type { Transaction } from "../../../engine/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import type { Party, ShardEntry } from "../keys.ts";
import type { ShardMember } from "../member.ts";
import type { OwnedShard } from "../ownership.ts";
import { createShardMap } from "../shard-map.ts";
import type { ShardView } from "../view.ts";

const shards = 10;
const mapOptions = { shards, ttl: "2s", settle: "100ms" } as const;

/**
 * Workers that write under the shards that they own, leave, come back and die; routers that watch the view.
 *
 * Invariants: at most one machine believes to own a shard; each epoch of a shard has one owner, and its writes come before all writes under later epochs. After the faults every shard is
 * owned by one who lives, as evenly as can be, is written to again, and all views agree with the store.
 */
export const shardMap: Scenario = {
  name: "shard-map",
  faults: ["engine", "network", "process", "clock", "code"],
  nodes: { worker: { count: 4, start: work }, router: { count: 2, start: route } },
  workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
  budget: { faults: "25s", heal: "90s" },
  invariants: { "at most one owns a shard": atMostOneOwns },
  eventually: {
    "every shard has a living owner, evenly": evenlyOwned,
    "owners work again": everyShardWritten,
    "writes of epochs do not interleave, and an epoch has one owner": epochsAscend,
    "views follow": viewsFollow,
  },
};

interface Write {
  readonly epoch: number;
  readonly writer: string;
}

type State = World["state"];
const members = (state: State) => state.get("members") as Map<string, ShardMember>;
const views = (state: State) => state.get("views") as Map<string, ShardView>;

function setup({ state }: World): void {
  for (const name of ["members", "views"]) state.set(name, new Map());
}

function work(node: SimulatedNode): void {
  const { engine, name, runtime, state } = node;
  members(state).delete(name);
  const map = createShardMap(engine, "orders", mapOptions);
  const chance = (probability: number): boolean => runtime.random.next() < probability;
  const onRevoke = async (_: number, { owned }: { readonly owned: OwnedShard }): Promise<void> => {
    if (chance(0.1)) throw new Error("injected: the worker fails to finish");
    // Now and then longer than the time of grace.
    await pause(runtime, chance(0.2) ? 2000 : 100);
    await engine.transact((tx) => void tx.append(["writes", owned.shard], [{ epoch: owned.epoch, writer: name }]), {
      fence: owned,
    });
  };
  void (async () => {
    // Each life leaves a few times and then stays.
    for (let leaves = Math.floor(runtime.random.next() * 3); ; leaves--) {
      const member = await map.join({ worker: name, onRevoke, grace: "500ms" });
      members(state).set(name, member);
      void writeWhatIsOwned(node, member);
      if (leaves <= 0) return;
      await pause(runtime, 5000);
      await member.close();
      members(state).delete(name);
      await pause(runtime, 1000);
    }
  })();
}

async function writeWhatIsOwned(node: SimulatedNode, member: ShardMember): Promise<void> {
  const working = new Set<OwnedShard>();
  for await (const owned of member.watch()) {
    for (const shard of owned) {
      const one = ownedOf(member, shard);
      if (!one || working.has(one)) continue;
      working.add(one);
      void writeTo(node, one).finally(() => working.delete(one));
    }
  }
}

function ownedOf(member: ShardMember, shard: number): OwnedShard | undefined {
  try {
    return member.shard(shard);
  } catch (error) {
    if (isAshlarError(error, "LEASE_LOST")) return undefined;
    throw error;
  }
}

async function writeTo({ engine, name, runtime }: SimulatedNode, owned: OwnedShard): Promise<void> {
  // Goes on until it is told by the fence: what it believes itself is no help against a pause.
  for (;;) {
    try {
      const record: Write = { epoch: owned.epoch, writer: name };
      // Some take longer than a hand-over: they begin as the owner's, and end when the shard is another's.
      const work = runtime.random.next() < 0.3 ? 1500 : 0;
      const write = async (tx: Transaction): Promise<void> => {
        if (work > 0) await pause(runtime, work);
        tx.append(["writes", owned.shard], [record]);
      };
      await engine.transact(write, { fence: owned, deadline: "5s" });
    } catch (error) {
      if (!isAshlarError(error) || error.code === "LEASE_LOST") return;
      if (error.code === "INVALID_STATE" || error.code === "INVALID_ARGUMENT") throw error;
    }
    await pause(runtime, 700);
  }
}

function route({ engine, name, runtime, state }: SimulatedNode): void {
  views(state).delete(name);
  void (async () => {
    const view = await createShardMap(engine, "orders", mapOptions).view();
    views(state).set(name, view);
    let version = 0;
    for await (const { version: next } of view.watch()) {
      assert.ok(next >= version, `the version went from ${version} back to ${next}`);
      version = next;
      await pause(runtime, 50);
    }
  })();
}

function pause(runtime: Runtime, mean: number): Promise<void> {
  return sleep(runtime, runtime.random.next() * 2 * mean);
}

function atMostOneOwns({ state, running }: World): void {
  const alive = new Set(running());
  const owners = new Map<number, string>();
  for (const [name, member] of members(state)) {
    if (!alive.has(name)) continue;
    for (const shard of member.owned) {
      assert.ok(!owners.has(shard), `${name} and ${owners.get(shard)} own shard ${shard} at one time`);
      owners.set(shard, name);
    }
  }
}

interface Owned {
  readonly owner: Party;
  readonly epoch: number;
}

/** What the store says, without those whose leases have ended. */
async function ownersIn({ engine }: World): Promise<Map<number, Owned>> {
  const owners = new Map<number, Owned>();
  for await (const { key, value } of engine.kv.list<ShardEntry>({ prefix: ["shard-map", "orders", "shard"] })) {
    const { owner, epoch } = value;
    if (owner && (await engine.kv.get(["lease", owner.lease]))) owners.set(key.at(-1) as number, { owner, epoch });
  }
  return owners;
}

async function evenlyOwned(world: World): Promise<boolean> {
  const owners = await ownersIn(world);
  const workers = world.running("worker");
  const load = new Map(workers.map((name) => [name, 0]));
  for (const { owner } of owners.values()) load.set(owner.worker, (load.get(owner.worker) ?? 0) + 1);
  const counts = [...load.values()];
  const text = [...load].map(([name, count]) => `${name}: ${count}`).join(", ");
  if (owners.size !== shards) assert.fail(`${owners.size} of ${shards} shards have a living owner: ${text}`);
  if (Math.max(...counts) - Math.min(...counts) > 1) assert.fail(`not even: ${text}`);
  // Who owns them knows it, too.
  for (const [shard, { owner }] of owners)
    if (!members(world.state).get(owner.worker)?.owned.has(shard))
      assert.fail(`${owner.worker} does not serve ${shard}`);
  return true;
}

async function everyShardWritten({ engine, state }: World): Promise<boolean> {
  const ends = await Promise.all(
    Array.from({ length: shards }, async (_, shard) => (await engine.log.bounds(["writes", shard])).next),
  );
  const before = state.get("ends") as number[] | undefined;
  if (!before) state.set("ends", ends);
  return before !== undefined && ends.every((end, shard) => end > (before[shard] ?? 0));
}

async function epochsAscend({ engine }: World): Promise<boolean> {
  for (let shard = 0; shard < shards; shard++) {
    let latest: Write = { epoch: 0, writer: "" };
    for (let from = 0; ; ) {
      const records = await engine.log.read<Write>(["writes", shard], { from });
      for (const { value } of records) {
        assert.ok(
          value.epoch >= latest.epoch,
          `shard ${shard}: a write of ${value.epoch} after one of ${latest.epoch}`,
        );
        if (value.epoch === latest.epoch) assert.equal(value.writer, latest.writer, `shard ${shard}: two in one epoch`);
        latest = value;
      }
      const last = records.at(-1);
      if (!last) break;
      from = last.offset + 1;
    }
  }
  return true;
}

async function viewsFollow(world: World): Promise<boolean> {
  const owners = await ownersIn(world);
  const version = (await world.engine.kv.get<number>(["shard-map", "orders", "version"]))?.value;
  for (const name of world.running("router")) {
    const view = views(world.state).get(name);
    if (!view || view.stale) return false;
    if (view.version !== version) assert.fail(`${name} sees version ${view.version}, the store has ${version}`);
    for (const [shard, { owner, epoch }] of owners) {
      const seen = view.owner(shard);
      if (seen?.worker !== owner.worker || seen.epoch !== epoch) return false;
    }
  }
  return true;
}
