import assert from "node:assert/strict";
import { isAshlarError, sleep } from "../../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../../simulation/index.ts";
import { createQuorumLocks, type QuorumLock } from "../index.ts";
import { openRemote, serveStore } from "./remote-engine.ts";

/**
 * Machines that take one lock of a majority of three stores, over and over, while stores and holders crash, stop and are cut off from each other. The stores keep what they acknowledged
 * and their clocks are not set; those who hold may have any clock.
 */
export const quorumLock: Scenario = quorumLockOver(3);

export function quorumLockOver(stores: number): Scenario {
  return {
    name: `quorum lock over ${stores} stores`,
    faults: ["network", "process", "clock", "code"],
    nodes: {
      store: { count: stores, start: serveStore, spare: ["jump", "offset"] },
      worker: { count: 4, start: work },
    },
    workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
    budget: { faults: "25s", heal: "90s" },
    invariants: { "who holds has it alone": aloneByBelief, "tokens ascend": tokensAscend },
    eventually: { "everybody is served": everybodyIsServed },
  };
}

const believers = (state: World["state"]) => state.get("believers") as Map<string, QuorumLock>;
const served = (state: World["state"]) => state.get("served") as Map<string, number>;
const granted = (state: World["state"]) => state.get("granted") as { readonly by: string; readonly token: number }[];

function setup({ state }: World): void {
  state.set("believers", new Map());
  state.set("served", new Map());
  state.set("granted", []);
}

function work(node: SimulatedNode): void {
  const { runtime, name, state } = node;
  const pause = (mean: number) => sleep(runtime, runtime.random.next() * 2 * mean);
  believers(state).delete(name);
  const locks = createQuorumLocks(
    node.peers("store").map((host) => openRemote(node, host)),
    { ttl: "2s", engineTimeout: 200, owner: name },
  );
  void (async () => {
    for (;;) {
      try {
        const lock =
          runtime.random.next() < 0.2
            ? await locks.tryAcquire("a")
            : await locks.acquire("a", { timeout: runtime.random.next() < 0.2 ? 100 : "10s" });
        if (lock) {
          granted(state).push({ by: name, token: lock.token });
          believers(state).set(name, lock);
          // Now and then longer than the time to live.
          await pause(runtime.random.next() < 0.1 ? 2500 : 80);
          believers(state).delete(name);
          if (lock.held) served(state).set(name, (served(state).get(name) ?? 0) + 1);
          // A holder that does not wait for the release.
          if (runtime.random.next() < 0.2) void lock.release();
          else await lock.release();
        }
      } catch (error) {
        if (!isAshlarError(error) || error.code === "INVALID_STATE" || error.code === "INVALID_ARGUMENT") throw error;
      }
      await pause(150);
    }
  })();
}

/** Asks each machine that runs whether it would, at this moment, say that it holds. */
function aloneByBelief({ state, running }: World): void {
  const alive = new Set(running());
  const holding = [...believers(state)].filter(([node, lock]) => alive.has(node) && lock.held).map(([node]) => node);
  assert.ok(holding.length <= 1, `${holding.join(" and ")} hold it at one time`);
}

function tokensAscend({ state }: World): void {
  granted(state).reduce<{ readonly by: string; readonly token: number }>(
    (before, next) => {
      assert.ok(next.token > before.token, `${next.by} got ${next.token} after ${before.by} had got ${before.token}`);
      return next;
    },
    { by: "nobody", token: 0 },
  );
}

/** Each machine is served once more than when this was first asked. */
function everybodyIsServed({ state, running }: World): boolean {
  let before = state.get("served before") as Map<string, number> | undefined;
  if (!before) {
    before = new Map(served(state));
    state.set("served before", before);
  }
  const workers = running("worker");
  const waiting = workers.filter((name) => (served(state).get(name) ?? 0) <= (before.get(name) ?? 0));
  if (waiting.length > 0) assert.fail(`not served since the faults are over: ${waiting.join(", ")}`);
  return workers.length > 0;
}
