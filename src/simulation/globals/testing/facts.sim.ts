import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { spawn } from "node:child_process";
import crypto, { randomUUID } from "node:crypto";
import dgram from "node:dgram";
import dns from "node:dns";
import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { hostname } from "node:os";
import { text } from "node:stream/consumers";
import { setInterval as every, setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { gzip, gzipSync } from "node:zlib";
import type { NodeSpec, Scenario, SimulatedClient } from "../../scenario.ts";

/** A scenario in which one client does one thing. */
function fact(
  operation: (client: SimulatedClient) => void | Promise<void>,
  nodes: Record<string, NodeSpec> = {},
): Scenario {
  return { mode: "patched", faults: "none", nodes, workload: { clients: 1, operations: 1, think: 1, operation } };
}

const tenSeconds = 10_000;

export const clocks = fact(async ({ runtime }) => {
  assert.equal(Date.now(), Math.floor(runtime.clock.now()));
  assert.equal(new Date().getUTCFullYear(), 2025);
  assert.ok(new Date() instanceof Date && new Date(0).getTime() === 0 && Date.UTC(2000) === 946684800000);
  assert.match(Date(), /2025/);
  assert.equal(new Date().constructor, Date);
  const before = [Date.now(), performance.now(), process.uptime(), Number(process.hrtime.bigint() / 1000n)] as const;
  const since = process.hrtime();
  await new Promise((resolve) => setTimeout(resolve, tenSeconds));
  const after = [Date.now(), performance.now(), process.uptime(), Number(process.hrtime.bigint() / 1000n)] as const;
  const passed = after.map((value, i) => value - (before[i] as number)) as [number, number, number, number];
  assert.deepEqual(
    [Math.round(passed[0]), Math.round(passed[1]), Math.round(passed[2]), Math.round(passed[3] / 1000)],
    [tenSeconds, tenSeconds, tenSeconds / 1000, tenSeconds],
  );
  assert.equal(process.hrtime(since)[0], tenSeconds / 1000);
});

export const timers = fact(async () => {
  const order: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(() => order.push("20"), 20);
  setTimeout((text: string) => order.push(text), 10, "10");
  setTimeout(() => order.push("also 10"), 10);
  setImmediate(() => order.push("immediate"));
  queueMicrotask(() => order.push("microtask"));
  process.nextTick(() => order.push("tick"));
  const cancelled = setTimeout(() => order.push("never"), 5);
  clearTimeout(cancelled);
  clearTimeout(+setTimeout(() => order.push("never"), 5));
  let beats = 0;
  const interval = setInterval(() => {
    order.push(`beat ${++beats}`);
    if (beats === 2) clearInterval(interval);
  }, 12);
  const late = setTimeout(() => order.push("refreshed"), 22);
  setTimeout(() => late.refresh(), 15);
  setTimeout(resolve, 100);
  assert.ok(late.hasRef() && !late.unref().hasRef());
  await promise;
  const expected = ["tick", "microtask", "immediate", "10", "also 10", "beat 1", "20", "beat 2", "refreshed"];
  // Within a promise job, microtasks come before ticks.
  assert.deepEqual(order.toSorted(), expected.toSorted());
  assert.deepEqual(order.slice(2), expected.slice(2));
  assert.equal(await promisify(setTimeout)(5, "value"), "value");
  assert.equal(await wait(5, "value"), "value");
  const storage = new AsyncLocalStorage<string>();
  assert.equal(
    await storage.run("kept", async () => {
      await wait(1);
      return await new Promise((done) => setTimeout(() => done(storage.getStore()), 1));
    }),
    "kept",
  );
  assert.throws(() => setTimeout("code" as never, 1), { code: "ERR_INVALID_ARG_TYPE" });
});

export const aborting = fact(async () => {
  const began = Date.now();
  const signal = AbortSignal.timeout(5_000);
  await assert.rejects(wait(tenSeconds, undefined, { signal }), { name: "AbortError" });
  assert.equal(Date.now() - began, 5_000);
  assert.equal(signal.reason.name, "TimeoutError");
});

export const chance = fact(async ({ state }) => {
  const drawn = [
    Math.random(),
    randomUUID(),
    crypto.randomBytes(8).toString("hex"),
    crypto.randomInt(1000),
    crypto.getRandomValues(new Uint8Array(4)).join(),
  ];
  assert.match(String(drawn[1]), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(randomUUID(), crypto.randomUUID());
  const later = await new Promise<Buffer>((resolve) => crypto.randomBytes(4, (_, bytes) => resolve(bytes)));
  state.set("drawn", [...drawn, later.toString("hex"), globalThis.crypto.randomUUID()].join(" "));
  if (Math.random() > 2) throw new Error("out of range");
});

export const sockets = fact(
  async () => {
    const socket = net.connect(7, "echo-0");
    assert.ok(socket instanceof net.Socket && socket instanceof http.Agent === false);
    assert.equal(socket.readyState, "opening");
    socket.setEncoding("utf8");
    socket.write("before the connection ");
    await new Promise((resolve) => socket.once("connect", resolve));
    assert.equal(socket.remoteAddress, "echo-0");
    socket.end("and after");
    let heard = "";
    for await (const chunk of socket) heard += chunk;
    assert.equal(heard, "before the connection and after");
    await assert.rejects(new Promise((_, reject) => net.connect(8, "echo-0").once("error", reject)), {
      code: "ECONNREFUSED",
    });
    await assert.rejects(new Promise((_, reject) => net.connect(8, "nobody").once("error", reject)), {
      code: "ENOTFOUND",
    });
    const made = new net.Socket();
    assert.ok(made instanceof net.Socket && net.Socket.name === "Socket");
    made.setNoDelay(true).connect(7, "echo-0", () => made.end("made before"));
    assert.equal(await text(made), "made before");
    const idle = net.connect(7, "echo-0");
    const began = Date.now();
    await new Promise<void>((resolve) => void idle.setTimeout(3_000, resolve));
    assert.ok(Date.now() - began >= 3_000 && Date.now() - began < 3_050);
    idle.destroy();
    assert.equal((await dns.promises.lookup("echo-0")).address, "echo-0");
  },
  {
    echo: {
      start: async () => {
        const server = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(7);
        await new Promise((resolve) => server.once("listening", resolve));
        const other = net.createServer().listen(7);
        const [error] = await new Promise<[NodeJS.ErrnoException]>((resolve) =>
          other.once("error", (found) => resolve([found])),
        );
        assert.equal(error.code, "EADDRINUSE");
        const free = net.createServer().listen(0);
        await new Promise((resolve) => free.once("listening", resolve));
        assert.ok((free.address() as net.AddressInfo).port >= 49_152);
        await new Promise((resolve) => free.close(resolve));
        assert.equal(free.listening, false);
      },
    },
  },
);

export const requests = fact(
  async () => {
    const url = "http://server-0:8080";
    const response = await fetch(`${url}/large`, { method: "POST", body: "x".repeat(200_000) });
    assert.equal((await response.text()).length, 200_000);
    assert.equal(new Date(response.headers.get("date") ?? "").getUTCFullYear(), 2025);
    const chunks: string[] = [];
    await new Promise<void>((resolve, reject) => {
      http
        .get({ host: "server-0", port: 8080, path: "/small" }, (answer) => {
          answer.on("data", (chunk) => chunks.push(String(chunk)));
          answer.on("end", resolve);
        })
        .on("error", reject);
    });
    assert.deepEqual(chunks, ["hello"]);
    await assert.rejects(
      fetch("http://server-0:81"),
      (error: Error) => (error.cause as { code: string }).code === "ECONNREFUSED",
    );
    await assert.rejects(
      fetch("http://nobody"),
      (error: Error) => (error.cause as { code: string }).code === "ENOTFOUND",
    );
    await assert.rejects(fetch(`${url}/never`, { signal: AbortSignal.timeout(2_000) }), { name: "TimeoutError" });
    // A connection that is kept and idle for longer than the server keeps it is not used again.
    await wait(60_000);
    assert.equal(await (await fetch(`${url}/small`)).text(), "hello");
  },
  {
    server: {
      start: () =>
        void http
          .createServer((request, response) => {
            if (request.url === "/never") return;
            if (request.url === "/small") response.end("hello");
            else request.pipe(response);
          })
          .listen(8080),
    },
  },
);

/** Modules that are loaded on the way take no virtual time. */
export const lazyModules = fact(async () => {
  const began = performance.now();
  const querystring = await import("node:querystring");
  const { value } = (await import("./lazy-module.ts")) as { value: string };
  assert.equal(querystring.escape(value), "loaded%20lazily");
  assert.ok(performance.now() - began < 1);
});

/** What each of these throws begins with the name of the API. */
const escapes: readonly (readonly [api: string, use: () => unknown])[] = [
  ["node:child_process spawn", () => spawn("ls")],
  ["node:worker_threads Worker", () => new Worker("")],
  ["node:dgram createSocket", () => dgram.createSocket("udp4")],
  ["node:https request", () => https.request("https://server-0")],
  ["node:fs/promises readFile", () => readFile("/etc/hostname")],
  ["node:fs/promises writeFile", () => writeFile("/file", "")],
  ["node:zlib gzip", () => gzip("text", () => {})],
  ["process.exit", () => process.exit(0)],
  ["a Unix socket", () => net.connect("/socket")],
];

/** Each client asks over an agent that all of them share; the server answers with whom it sees. */
const shared = new http.Agent({ keepAlive: true });
export const sharedAgents: Scenario = {
  ...fact(
    async ({ name }) => {
      const seen = await new Promise((resolve, reject) => {
        const asked = http.get("http://server-0:8080", { agent: shared }, (answer) => {
          answer.setEncoding("utf8").on("data", resolve);
        });
        asked.on("error", reject);
      });
      assert.equal(seen, name);
    },
    { server: { start: () => void http.createServer((q, r) => r.end(q.socket.remoteAddress)).listen(8080) } },
  ),
};
Object.assign(sharedAgents.workload, { clients: 3, operations: 8, think: 50 });

export const moreClocks = fact(async ({ name, runtime }) => {
  assert.equal(hostname(), name);
  assert.equal(performance.mark("now").startTime, performance.now());
  assert.ok(Math.abs(performance.timeOrigin + performance.now() - runtime.clock.now()) < 1);
  assert.throws(() => performance.measure("x"), { code: "SIMULATION_ESCAPE" });
  const at: number[] = [];
  const began = Date.now();
  for await (const _ of every(10)) {
    at.push(Date.now() - began);
    await wait(7);
    if (at.length === 4) break;
  }
  assert.deepEqual(at, [10, 20, 30, 40]);
  const closed = setTimeout(() => assert.fail("it was cleared"), 5);
  clearTimeout(closed);
  closed.refresh();
  await assert.rejects(wait(10, 0, { signal: AbortSignal.timeout(1) }), { name: "AbortError", code: "ABORT_ERR" });
  const view = crypto.randomFillSync(new Uint16Array(4), 1, 2);
  assert.deepEqual([view[0], view[3]], [0, 0]);
});

/** In a client, where errors of a bad world are counted and passed over: this is none. */
export const clientEscape = fact(async () => void (await crypto.subtle.digest("SHA-256", new Uint8Array(1))));

export const allEscapes = fact(async () => {
  for (const [api, use] of escapes) {
    const message = new RegExp(`^${api}.* cannot be simulated; .`);
    await assert.rejects(async () => void (await use()), { code: "SIMULATION_ESCAPE", message });
  }
  assert.ok(gzipSync("text").length > 0);
  assert.ok(readFileSync(new URL(import.meta.url)).length > 0);
});

/** Nobody catches it: the run fails, naming what was used. */
export const uncaughtEscape = fact(() => {}, { node: { start: () => void setTimeout(() => spawn("ls"), 1) } });

/** Something real that the patches do not see. */
export const realHandle = fact(async () => {
  const { TCP, constants } = (
    process as unknown as {
      binding(name: string): { TCP: new (type: number) => Handle; constants: { SERVER: number } };
    }
  ).binding("tcp_wrap");
  interface Handle {
    bind(address: string, port: number): number;
    listen(backlog: number): number;
  }
  const handle = new TCP(constants.SERVER);
  handle.bind("127.0.0.1", 0);
  handle.listen(1);
  await wait(1_000);
});

export const hanging = fact(() => {
  for (;;);
});
