import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { storeKinds } from "../../../test/stores.ts";
import { sleep } from "../../core/index.ts";

const messages = 100;

interface Child {
  kill(): Promise<void>;
  /** What it was told to be the first with. */
  readonly first: number[];
}

async function start(t: TestContext, url: string): Promise<Child> {
  const path = fileURLToPath(new URL("./testing/receiver-process.ts", import.meta.url));
  const child = spawn(process.execPath, [path, url, String(messages)], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  t.after(kill);
  const first: number[] = [];
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("first ")) first.push(Number(line.slice(6)));
  });
  await once(child.stdout, "data");
  return { kill, first };
}

for (const kind of storeKinds) {
  if (kind.name === "memory") continue;
  test(`of processes that are killed on ${kind.name} while they receive the same messages, every message takes effect once`, {
    skip: kind.skip,
    timeout: 60_000,
  }, async (t) => {
    await using store = await kind.create();
    const engine = await store.open();
    const url = store.url ?? assert.fail("no URL");
    const effects = async () => await engine.log.read<number>("effects", { limit: 10 * messages });
    const children = [await start(t, url), await start(t, url)];
    for (const share of [0.3, 0.6]) {
      // In the middle of the messages, which are new to everybody.
      while ((await effects()).length < share * messages) await sleep(engine.runtime, 1);
      await children.at(-2)?.kill();
      children.push(await start(t, url));
    }
    while ((await effects()).length < messages) await sleep(engine.runtime, 5);
    for (const child of children) await child.kill();
    const received = (await effects()).map(({ value }) => value);
    assert.deepEqual(
      received.sort((a, b) => a - b),
      Array.from({ length: messages }, (_, n) => n),
    );
    for await (const { key, value } of engine.kv.list({ prefix: ["effect"] })) assert.equal(value, 1, `${key[1]}`);
    const told = children.flatMap(({ first }) => first);
    assert.equal(new Set(told).size, told.length, "two were told to be the first");
  });
}
