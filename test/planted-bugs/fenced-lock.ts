import { linearizable } from "../../src/check/index.ts";
import { counter } from "../../src/check/models/counter.ts";
import { type AshlarError, ConflictError, isAshlarError, sleep } from "../../src/core/index.ts";
import type { Version } from "../../src/engine/index.ts";
import type { Scenario, SimulatedNode } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { request, serve } from "./request.ts";

/**
 * Workers count in a resource, one at a time: each takes a lease, reads, works, writes, and gives the lease back. A worker may be paused for
 * longer than its lease lives, at any point.
 */
interface Lock {
  /** Resolves with what the lease is known by; rejects with ConflictError while somebody else holds it. */
  acquire(node: SimulatedNode): Promise<Lease>;
}

interface Lease {
  read(): Promise<number>;
  /** Rejects with a ConflictError if another holder has come in between. */
  write(value: number): Promise<void>;
  release(): Promise<void>;
}

interface Resource {
  readonly value: number;
  /** The greatest token that came with a read or a write. */
  readonly token: number;
}

const ttl = 300;
const port = 1;
const lockKey = ["lock"];
const resourceKey = ["resource"];

function workers(name: string, lock: Lock): Scenario {
  return {
    name,
    faults: ["process", "engine", "network", "clock", "code"],
    nodes: { worker: { count: 3, start: (node) => serve(node, port, () => increment(node, lock)) } },
    workload: {
      clients: 3,
      operations: 8,
      async operation(client) {
        const worker = `worker-${Math.floor(client.runtime.random.next() * 3)}`;
        await client.record({ name: "add", input: 1 }, () => request<number>(client, worker, port, "increment", 8_000));
      },
    },
    checks: [linearizable(counter)],
  };
}

async function increment(node: SimulatedNode, lock: Lock): Promise<number> {
  const lease = await acquired(node, lock);
  const value = (await lease.read()) + 1;
  await sleep(node.runtime, 10 + node.runtime.random.next() * 40);
  await lease.write(value);
  await lease.release().catch((error: AshlarError) => {
    // It runs out by itself.
    if (!isAshlarError(error)) throw error;
  });
  return value;
}

async function acquired(node: SimulatedNode, lock: Lock): Promise<Lease> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await lock.acquire(node);
    } catch (error) {
      if (!isAshlarError(error, "CONFLICT") || attempt === 60) throw error;
      await sleep(node.runtime, 20 + node.runtime.random.next() * 60);
    }
  }
}

/** A lease that the engine ends, and a token greater than all before it. */
async function takeLease(node: SimulatedNode): Promise<number> {
  const owner = `${node.name} ${node.runtime.random.next()}`;
  return await node.engine.transact(async (tx) => {
    if ((await tx.get(lockKey)) !== undefined) throw new ConflictError("somebody holds the lock");
    const token = ((await tx.get<number>(["token"])) ?? 0) + 1;
    tx.set(["token"], token);
    tx.set(lockKey, { owner, token }, { ttl });
    return token;
  });
}

async function releaseLease({ engine }: SimulatedNode, token: number): Promise<void> {
  await engine.transact(async (tx) => {
    if ((await tx.get<{ token: number }>(lockKey))?.token === token) tx.delete(lockKey);
  });
}

/** The resource refuses whoever comes with a token smaller than one that it has seen, from the first read on. */
const fenced: Lock = {
  async acquire(node) {
    const token = await takeLease(node);
    const visit = (write?: number): Promise<number> =>
      node.engine.transact(async (tx) => {
        const { value, token: seen } = (await tx.get<Resource>(resourceKey)) ?? { value: 0, token: 0 };
        if (token < seen) throw new ConflictError("a later holder has been here");
        tx.set(resourceKey, { value: write ?? value, token } satisfies Resource);
        return value;
      });
    return {
      read: () => visit(),
      write: async (value) => void (await visit(value)),
      release: () => releaseLease(node, token),
    };
  },
};

/** The holder trusts that it still holds the lock. */
const unfenced: Lock = {
  async acquire(node) {
    const token = await takeLease(node);
    return { ...plainResource(node), release: () => releaseLease(node, token) };
  },
};

function plainResource({ engine }: SimulatedNode): Pick<Lease, "read" | "write"> {
  return {
    read: async () => (await engine.kv.get<Resource>(resourceKey))?.value.value ?? 0,
    write: (value) => engine.transact((tx) => tx.set(resourceKey, { value, token: 0 })),
  };
}

/** The write is one commit with the proof that the lease lives, on the engine's clock. */
const judgedByEngine: Lock = {
  async acquire(node) {
    const { engine } = node;
    const token = await takeLease(node);
    return {
      ...plainResource(node),
      write: (value) =>
        engine.transact(async (tx) => {
          const holder = await tx.get<{ token: number }>(lockKey);
          if (holder?.token !== token) throw new ConflictError("the lease is over");
          tx.set(resourceKey, { value, token });
        }),
      release: () => releaseLease(node, token),
    };
  },
};

/** The lease's end is a date, and each worker asks its own wall clock whether it has come. */
const judgedByWallClock: Lock = {
  async acquire(node) {
    const { engine, runtime } = node;
    const found = await engine.kv.get<{ until: number }>(lockKey);
    if (found && found.value.until > runtime.clock.now()) throw new ConflictError("somebody holds the lock");
    const until = runtime.clock.now() + ttl;
    const holds = [{ key: lockKey, version: found?.version as Version | undefined }];
    const { version } = await engine.kv.commit({ checks: holds, mutations: [{ set: lockKey, value: { until } }] });
    return {
      ...plainResource(node),
      async write(value) {
        if (runtime.clock.now() >= until) throw new ConflictError("the lease is over");
        await plainResource(node).write(value);
      },
      release: async () =>
        void (await engine.kv.tryCommit({ checks: [{ key: lockKey, version }], mutations: [{ delete: lockKey }] })),
    };
  },
};

export const noFencing: PlantedBug = {
  name: "no-fencing-check",
  what: "the holder of a lease writes without a fencing token, and is paused until the lease is somebody else's",
  within: 80,
  correct: workers("fenced lock", fenced),
  planted: workers("unfenced lock", unfenced),
};

export const wallClockLease: PlantedBug = {
  name: "wall-clock-lease",
  what: "whether a lease is over is judged by the wall clock of each machine instead of the engine's clock",
  within: 30,
  correct: workers("lease on the engine's clock", judgedByEngine),
  planted: workers("lease on wall clocks", judgedByWallClock),
};
