import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { storeKinds } from "../../../test/stores.ts";
import { createRelay } from "./index.ts";
import { until } from "./testing/until.ts";

interface Arrival {
  readonly n: number;
  readonly id: string;
}

async function start(t: TestContext, url: string, receiver: string): Promise<ChildProcess> {
  const path = fileURLToPath(new URL("./testing/worker-process.ts", import.meta.url));
  const child = spawn(process.execPath, [path, url, receiver], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  await once(child.stdout, "data");
  return child;
}

/** A receiver that refuses every fifth request, and answers every seventh too late. */
async function receive(t: TestContext, arrivals: Arrival[]): Promise<string> {
  let requests = 0;
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await Array.fromAsync(request)).toString();
    if (++requests % 5 === 0) {
      response.writeHead(503).end();
      return;
    }
    arrivals.push({ n: (JSON.parse(body) as { n: number }).n, id: String(request.headers["webhook-id"]) });
    if (requests % 7 === 0) request.socket.destroy();
    else response.writeHead(200).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

for (const kind of storeKinds) {
  if (kind.name === "memory") continue;
  test(`of processes that are killed on ${kind.name}, others deliver every message under its one id, and acknowledge it once`, {
    skip: kind.skip,
    timeout: 60_000,
  }, async (t) => {
    await using store = await kind.create();
    const engine = await store.open();
    const url = store.url ?? assert.fail("no URL");
    const arrivals: Arrival[] = [];
    const receiver = await receive(t, arrivals);
    const relay = createRelay<{ n: number }>(engine, "orders", { deliver: () => {} });
    const ids = new Map<number, string>();
    const children = [await start(t, url, receiver), await start(t, url, receiver)];
    for (let round = 0; round < 2; round++) {
      const before = arrivals.length;
      for (let i = 0; i < 40; i++) {
        const n = ids.size;
        await engine.transact(async (tx) => {
          tx.set(["order", n], true);
          const { id } = await relay.send({ n }, { tx, ...(n % 3 === 0 && { id: `own-${n}` }) });
          ids.set(n, id);
        });
      }
      await until(() => arrivals.length > before + 5);
      children.shift()?.kill("SIGKILL");
      children.push(await start(t, url, receiver));
    }
    await until(async () => {
      const acknowledged = await Array.fromAsync(engine.kv.list({ prefix: ["acknowledged"] }));
      return acknowledged.length === ids.size;
    });
    for await (const { key, value } of engine.kv.list({ prefix: ["acknowledged"] }))
      assert.equal(value, 1, `${key[1]}`);
    for (const { n, id } of arrivals) assert.equal(id, ids.get(n));
    assert.equal(new Set(arrivals.map(({ n }) => n)).size, ids.size);
  });
}
