import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { storeKinds } from "../../../test/stores.ts";
import { sleep } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createShardMap, type ShardView } from "./index.ts";
import { settled } from "./testing/settled.ts";

const shards = 6;
const ttl = 1500;

interface Write {
  readonly epoch: number;
  readonly worker: string;
  readonly n: number;
}

interface Child {
  readonly process: ChildProcess;
  /** Resolves when the process has said that a write of it was refused. */
  readonly refused: Promise<void>;
}

function start(t: TestContext, url: string, worker: string): Child {
  const path = fileURLToPath(new URL("./testing/worker-process.ts", import.meta.url));
  const child = spawn(process.execPath, [path, url, worker, String(shards), String(ttl)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { promise: refused, resolve } = Promise.withResolvers<void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (text.includes("refused")) resolve();
  });
  const ended = new Promise<void>((done) => child.on("close", () => done()));
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { process: child, refused };
}

async function writesTo(engine: Engine, shard: number): Promise<Write[]> {
  const writes: Write[] = [];
  for (;;) {
    const records = await engine.log.read<Write>(["writes", shard], { from: writes.length });
    if (records.length === 0) return writes;
    writes.push(...records.map(({ value }) => value));
  }
}

/** Resolves when somebody has written to each shard under the epoch that the view shows. */
async function everyOwnerWrote(engine: Engine, view: ShardView): Promise<void> {
  for (let shard = 0; shard < shards; shard++) {
    const { epoch } = view.owner(shard) ?? assert.fail(`nobody owns ${shard}`);
    for await (const records of engine.log.tail<Write>(["writes", shard]))
      if (records.some(({ value }) => value.epoch >= epoch)) break;
  }
}

/** A process that is stopped while it holds the file lock of SQLite stops everybody who writes: another moment is chosen then. */
async function stopBetweenWrites(engine: Engine, child: ChildProcess): Promise<void> {
  for (;;) {
    child.kill("SIGSTOP");
    const wrote = engine.kv.set(["probe"], 0).then(
      () => true,
      () => false,
    );
    if (await Promise.race([wrote, sleep(engine.runtime, 700).then(() => false)])) return;
    child.kill("SIGCONT");
    await wrote;
  }
}

for (const kind of storeKinds) {
  if (kind.name === "memory") continue;
  test(`of processes that are killed or stopped on ${kind.name}, nothing lands under an ownership that is over`, {
    skip: kind.skip,
    timeout: 60_000,
  }, async (t) => {
    await using store = await kind.create();
    const url = store.url as string;
    const engine = await store.open();
    await using view = await createShardMap(engine, "orders", { shards, ttl }).view();
    const killed = start(t, url, "killed");
    const stopped = start(t, url, "stopped");
    start(t, url, "steady");
    await settled(view, { killed: 2, stopped: 2, steady: 2 });
    await everyOwnerWrote(engine, view);

    killed.process.kill("SIGKILL");
    await settled(view, { stopped: 3, steady: 3 });
    await everyOwnerWrote(engine, view);

    await stopBetweenWrites(engine, stopped.process);
    await settled(view, { steady: 6 });
    await everyOwnerWrote(engine, view);
    stopped.process.kill("SIGCONT");
    await stopped.refused;
    await settled(view, { stopped: 3, steady: 3 });
    await everyOwnerWrote(engine, view);

    const epochs = new Set<number>();
    for (let shard = 0; shard < shards; shard++) {
      const writes = await writesTo(engine, shard);
      const workers = new Map<number, string>();
      writes.forEach(({ epoch, worker, n }, i) => {
        const before = writes[i - 1];
        epochs.add(epoch);
        assert.ok(epoch >= (before?.epoch ?? 0), `shard ${shard}: a write of ${epoch} after one of ${before?.epoch}`);
        assert.equal(workers.get(epoch) ?? worker, worker, `shard ${shard}: two workers in epoch ${epoch}`);
        assert.equal(n, before?.epoch === epoch ? before.n + 1 : 0, "each write once");
        workers.set(epoch, worker);
      });
    }
    assert.ok(epochs.size >= 3);
  });
}
