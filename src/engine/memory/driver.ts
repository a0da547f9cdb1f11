import type { Guarantees, Limits } from "../contract.ts";
import type { Driver } from "../driver.ts";
import type { MemoryStore } from "./store.ts";

/** A client of the store. */
export function createMemoryDriver(store: MemoryStore): Driver {
  return {
    name: "memory",
    guarantees: memoryGuarantees,
    limits: memoryLimits,
    flush: { commits: 1, bytes: Number.MAX_SAFE_INTEGER, inFlight: 1, immediate: true },
    getMany: (keys) => keys.map((key) => store.read(key)),
    list: (range, { limit, reverse }) => store.list(range, limit, reverse),
    commitMany: (commits) => commits.map((commit) => store.commit(commit)),
    async watch(sink) {
      const unsubscribe = store.subscribe(sink);
      return { start: store.revision, refresh: () => {}, close: async () => unsubscribe() };
    },
    sweep: async (limit) => store.sweep(limit),
    nextExpiry: () => store.nextExpiry(),
    now: async () => store.now(),
    revision: () => store.revision,
    log: {
      read: (topic, { from, limit, bytes }) => store.topic(topic)?.read(from, limit, bytes) ?? [],
      bounds: (topic) => store.topic(topic)?.bounds ?? { first: 0, next: 0 },
      trim: async (topic, before) => store.trim(topic, before),
    },
    bus: {
      publish: async (subject, payload) => store.publish(subject, payload),
      subscribe: async (deliver) => {
        const unlisten = store.listen(deliver);
        return { close: async () => unlisten() };
      },
    },
    close: async () => {},
  };
}

const memoryLimits: Limits = {
  keyBytes: 1024,
  valueBytes: 8 * 1024 * 1024,
  operations: 10_000,
  commitBytes: 16 * 1024 * 1024,
  listEntries: 1000,
  messageBytes: 64 * 1024,
};

const memoryGuarantees: Guarantees = {
  commits: "strict-serializable",
  reads: "linearizable",
  durability: "none",
  sharing: "process",
  clock: "process",
  unknownOutcomes: "never",
  failover: "none",
  sql: false,
  notes: ["The store is gone with the process."],
};
