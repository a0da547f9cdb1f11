import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { storeKinds } from "../../../test/stores.ts";
import { sleep } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { createChangeFeed } from "./index.ts";

const ttl = 700;

async function start(t: TestContext, url: string): Promise<ChildProcess> {
  const path = fileURLToPath(new URL("./testing/worker-process.ts", import.meta.url));
  const child = spawn(process.execPath, [path, url, String(ttl)], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  await once(child.stdout, "data");
  return child;
}

async function stateOf(engine: Engine, name: string): Promise<[string, number][]> {
  const entries = await Array.fromAsync(engine.kv.list<number>({ prefix: [name] }));
  return entries.map(({ key, value }) => [key.slice(1).join("/"), value]);
}

/** Resolves when the copy is what is there. */
async function level(engine: Engine): Promise<void> {
  for (let i = 0; ; i++) {
    const [is, copy] = [await stateOf(engine, "item"), await stateOf(engine, "copy")];
    if (JSON.stringify(is) === JSON.stringify(copy)) return;
    if (i === 600) assert.deepEqual(copy, is);
    await sleep(engine.runtime, 20);
  }
}

for (const kind of storeKinds) {
  if (kind.name === "memory") continue;
  test(`of processes that are killed on ${kind.name}, the next go on: nothing is missed, nothing told or followed twice`, {
    skip: kind.skip,
    timeout: 60_000,
  }, async (t) => {
    await using store = await kind.create();
    const engine = await store.open();
    const url = store.url ?? assert.fail("no URL");
    const children = [await start(t, url), await start(t, url)];
    let n = 0;
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 60; i++) {
        n++;
        if (n % 7 === 0) await engine.kv.delete(["item", n % 20]);
        else await engine.kv.set(["item", n % 20], n);
      }
      // In the middle of its work: nobody waits for it to come level.
      children.shift()?.kill("SIGKILL");
      children.push(await start(t, url));
    }
    await level(engine);
    const changes = await Array.fromAsync(
      createChangeFeed<number>(engine, "changes", { range: { prefix: ["item"] } }).read({ untilNow: true }),
    );
    const versions = changes.flatMap(({ key, version }) => (version === undefined ? [] : [`${key[1]} ${version}`]));
    assert.equal(new Set(versions).size, versions.length);
    const latest = new Map<unknown, number>();
    for (const { key, value } of changes) {
      if (value === undefined) continue;
      assert.ok(value > (latest.get(key[1]) ?? 0), `${key[1]}: ${value} after ${latest.get(key[1])}`);
      latest.set(key[1], value);
    }
    const followed: number[] = [];
    for (let from = 0; ; ) {
      const records = await engine.log.read<number>("followed", { from });
      if (records.length === 0) break;
      followed.push(...records.map(({ value }) => value));
      from = (records.at(-1)?.offset ?? 0) + 1;
    }
    assert.deepEqual(
      followed,
      changes.map(({ offset }) => offset),
    );
  });
}
