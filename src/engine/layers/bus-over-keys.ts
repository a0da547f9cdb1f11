import { createIds, type Runtime } from "../../core/index.ts";
import type { Kv } from "../contract.ts";
import type { BusDriver } from "../driver.ts";

/**
 * Messages as short-lived keys, for engines that have nothing better: a publish sets a key that nobody else has, a subscriber watches them.
 *
 * Key layout: `[id]` → `[subject, payload]`, gone after `keepMs`. A watch may join states but never hides a key that is still there, so a
 * subscriber misses a message only if it is cut off for as long.
 */
export function busOverKeys(kv: Kv, runtime: Runtime): BusDriver {
  const ids = createIds(runtime);
  return {
    async publish(subject, payload) {
      await kv.set([ids.next()], [subject, payload], { ttl: keepMs });
    },
    async subscribe(deliver) {
      const changes = kv.watch<[Uint8Array, Uint8Array]>({});
      // What is there already was sent to others.
      await changes.next();
      const delivering = (async () => {
        for await (const batch of changes) {
          for (const change of batch) if (!change.deleted) deliver(...change.value);
        }
      })();
      // The watch ends with the engine, which ends the subscriptions by itself.
      delivering.catch(() => {});
      return {
        close: async () => {
          await changes.return?.();
        },
      };
    },
  };
}

const keepMs = 10_000;
