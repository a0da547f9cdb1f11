import { sleep } from "../../../core/index.ts";
import { connect } from "../../../index.ts";
import { createShardMap, type OwnedShard } from "../index.ts";

/**
 * A worker in a process of its own: writes under each shard that it owns, for as long as the store lets it, and says on its output what it owns. It goes by the fence alone, never by `held` or the
 * signal: what it does after a pause shows what the store refuses.
 *
 * Arguments: the store's URL, the worker's name, the number of shards, the ttl in milliseconds.
 */
const [url = "", worker = "", shards = "", ttl = ""] = process.argv.slice(2);
const engine = await connect(url);
const map = createShardMap(engine, "orders", { shards: Number(shards), ttl: Number(ttl), settle: 50 });
const member = await map.join({ worker });

async function write(owned: OwnedShard): Promise<void> {
  for (let n = 0; ; n++) {
    try {
      const record = { epoch: owned.epoch, worker, n };
      await engine.transact((tx) => void tx.append(["writes", owned.shard], [record]), { fence: owned });
    } catch (error) {
      if ((error as { code?: string }).code !== "LEASE_LOST") throw error;
      process.stdout.write(`refused ${owned.shard} ${owned.epoch}\n`);
      return;
    }
    await sleep(engine.runtime, 5);
  }
}

const written = new Set<string>();
for await (const owned of member.watch()) {
  for (const shard of owned) {
    const one = member.shard(shard);
    const name = `${shard} ${one.epoch}`;
    if (written.has(name)) continue;
    written.add(name);
    void write(one);
  }
  process.stdout.write(`owns ${[...owned].join(" ")}\n`);
}
