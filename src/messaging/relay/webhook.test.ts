import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { isAshlarError, systemRuntime } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import { openMemory } from "../../engine/memory/index.ts";
import { fromHttp, toCloudEvent, toHttp } from "../cloud-events/index.ts";
import { verifyWebhook } from "../inbox/index.ts";
import { isPublicAddress } from "./addresses.ts";
import { createRelay, type DeliverContext, type WebhookOptions, webhook } from "./index.ts";
import { parseRetryAfter } from "./retry-after.ts";
import { until } from "./testing/until.ts";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const start = Date.UTC(2026, 10, 23, 12);

function contextOf(more: Partial<DeliverContext> = {}): DeliverContext {
  return {
    id: "msg_1",
    attempt: 1,
    signal: new AbortController().signal,
    get tx(): never {
      return assert.fail("a webhook needs no transaction");
    },
    key: undefined,
    headers: {},
    sent: start,
    runtime: createManualRuntime(start),
    ...more,
  };
}

/** Delivers once to a receiver that answers so; what was asked, and what was thrown. */
async function deliver(
  answer: () => Response | Promise<Response>,
  options: Partial<WebhookOptions> = {},
  context = contextOf(),
) {
  const asked: { url: string; init: RequestInit }[] = [];
  const post = webhook({
    url: "https://example.com/hooks?key=hunter2",
    fetch: async (url, init) => {
      asked.push({ url, init });
      return await answer();
    },
    ...options,
  });
  let error: unknown;
  try {
    await post({ n: 1 }, context);
  } catch (thrown) {
    error = thrown;
  }
  return { error: error as Error | undefined, asked };
}

test("a message is posted as JSON, signed, with its id and trace context", async () => {
  const headers = { traceparent: "00-a-b-01", tenant: "not for the receiver" };
  const { error, asked } = await deliver(
    () => new Response(),
    { secret, headers: { Authorization: "Bearer x" } },
    contextOf({ headers }),
  );
  assert.equal(error, undefined);
  const [{ url, init } = assert.fail()] = asked;
  assert.equal(url, "https://example.com/hooks?key=hunter2");
  assert.deepEqual([init.method, init.redirect], ["POST", "manual"]);
  const body = Buffer.from(init.body as Uint8Array).toString();
  assert.equal(body, '{"n":1}');
  const sent = init.headers as Record<string, string>;
  assert.deepEqual(
    [sent["content-type"], sent["authorization"], sent["traceparent"], sent["tenant"]],
    ["application/json", "Bearer x", "00-a-b-01", undefined],
  );
  const verified = verifyWebhook({ headers: sent, body }, { secret, runtime: createManualRuntime(start) });
  assert.deepEqual(verified, { id: "msg_1", timestamp: start });
  const unsigned = (await deliver(() => new Response())).asked[0]?.init.headers as Record<string, string>;
  assert.deepEqual([unsigned["webhook-id"], unsigned["webhook-signature"]], ["msg_1", undefined]);
});

test("what the answer means", async () => {
  const outcome = async (
    status: number,
    headers: Record<string, string> = {},
    options: Partial<WebhookOptions> = {},
  ) => {
    const { error } = await deliver(
      () => new Response(status === 204 ? null : "because", { status, headers }),
      options,
    );
    if (error === undefined) return "done";
    if (!isAshlarError(error, "UNDELIVERED")) return error.name;
    const wait = error.details["retryAfterMs"];
    return wait === undefined ? "retry" : `retry after ${wait}`;
  };
  for (const status of [200, 201, 202, 204, 299]) assert.equal(await outcome(status), "done", `${status}`);
  for (const status of [400, 401, 403, 404, 409, 410, 413, 422, 451])
    assert.equal(await outcome(status), "Parked", `${status}`);
  for (const status of [301, 302, 307, 308, 408, 425, 429, 500, 502, 503, 504, 599])
    assert.equal(await outcome(status), "retry", `${status}`);
  assert.equal(await outcome(429, { "retry-after": "120" }), "retry after 120000");
  assert.equal(await outcome(503, { "retry-after": "Mon, 23 Nov 2026 12:01:00 GMT" }), "retry after 60000");
  assert.equal(await outcome(503, { "retry-after": "9999999999" }), `retry after ${24 * 3600 * 1000}`);
  assert.equal(await outcome(503, { "retry-after": "60" }, { maxRetryAfter: "10s" }), "retry after 10000");
  assert.equal(await outcome(500, { "retry-after": "60" }), "retry");
  assert.equal(await outcome(503, { "retry-after": "soon" }), "retry");
  assert.equal(await outcome(410, {}, { gone: "stop" }), "Stopped");
});

test("an error says what was answered, and neither the query nor more than the beginning of the body", async () => {
  const { error } = await deliver(() => new Response(`no\n such   user ${"x".repeat(100_000)}`, { status: 404 }));
  assert.match(error?.message ?? "", /^https:\/\/example\.com\/hooks answered 404: no such user x+$/);
  assert.ok((error?.message.length ?? 0) < 300);
  const moved = await deliver(() => new Response(null, { status: 302, headers: { location: "http://10.0.0.1/" } }));
  assert.match(moved.error?.message ?? "", /redirects are not followed/);
  assert.equal(moved.asked.length, 1);
});

test("a receiver that does not answer in time is given up, and one that cannot be reached is tried again", async () => {
  const runtime: ManualRuntime = createManualRuntime(start);
  const waiting = deliver(() => new Promise<never>(() => {}), { timeout: "3s" }, contextOf({ runtime }));
  await runtime.advance(2999);
  assert.equal(runtime.pending, 1);
  await runtime.advance(1);
  const { error } = await waiting;
  assert.ok(isAshlarError(error, "UNDELIVERED"));
  assert.match(error.message, /did not answer: the webhook.*3000 ms/);
  assert.equal(runtime.pending, 0);
  const refused = await deliver(() => Promise.reject(new Error("ECONNREFUSED")));
  assert.ok(isAshlarError(refused.error, "UNDELIVERED") && refused.error.message.includes("ECONNREFUSED"));
});

test("a delivery that is told to stop throws the reason of its signal", async () => {
  const controller = new AbortController();
  const waiting = deliver(() => new Promise<never>(() => {}), {}, contextOf({ signal: controller.signal }));
  const reason = new Error("drained");
  controller.abort(reason);
  assert.equal((await waiting).error, reason);
});

test("a message that cannot be written, or has nowhere to go, is parked", async () => {
  const parked = async (options: Partial<WebhookOptions>, message: RegExp) => {
    const { error, asked } = await deliver(() => new Response(), options);
    assert.deepEqual([error?.name, asked.length], ["Parked", 0]);
    assert.match(error?.message ?? "", message);
  };
  await parked({ encode: () => assert.fail("no words") }, /no words/);
  await parked({ encode: () => ({ headers: { "webhook-id": "x" } }) }, /webhook-id/);
  await parked({ encode: () => ({ headers: { a: "b\r\nc: d" } }) }, /a header can hold/);
  await parked({ url: () => "nowhere" }, /url/);
  await parked({ url: () => "http://169.254.169.254/latest/meta-data" }, /public address/);
});

test("bad options are refused at once", () => {
  const url = "https://example.com/";
  const refused = (options: object, message: RegExp) =>
    assert.throws(() => webhook({ url, ...options }), { code: "INVALID_ARGUMENT", message });
  for (const bad of ["", "/relative", "ftp://example.com", "https://user:pass@example.com", 5, undefined])
    refused({ url: bad }, /^url:/);
  for (const bad of [
    "http://127.0.0.1/",
    "http://[::1]:8080/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://[::ffff:10.0.0.1]/",
    "https://192.168.0.1/",
  ])
    refused({ url: bad }, /^url:.*public/);
  refused({ secret: "short" }, /^secret:/);
  refused({ timeout: "6m" }, /^timeout:/);
  refused({ retries: 1 }, /^options\.retries:/);
  refused({ headers: { Host: "x" } }, /^headers\.Host:/);
  refused({ headers: { "webhook-id": "x" } }, /^headers\.webhook-id:/);
  refused({ headers: { "a b": "x" } }, /^headers\.a b:/);
  refused({ headers: { a: 5 } }, /^headers\.a:/);
  refused({ gone: "ignore" }, /^gone:/);
  refused({ allowPrivate: "yes" }, /^allowPrivate:/);
  webhook({ url: "http://127.0.0.1/", allowPrivate: true });
});

test("addresses that are not public are known, in all their forms", () => {
  const not = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.31.255.255",
    "192.168.1.1",
    "198.19.0.1",
    "224.0.0.1",
    "255.255.255.255",
  ];
  const nor = [
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fd12::1",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "2001:db8::1",
    "localhost",
    "",
  ];
  for (const address of [...not, ...nor]) assert.equal(isPublicAddress(address), false, address);
  const public_ = [
    "1.1.1.1",
    "8.8.8.8",
    "172.32.0.1",
    "100.128.0.1",
    "::ffff:8.8.8.8",
    "2606:4700:4700::1111",
    "2a00:1450::1",
  ];
  for (const address of public_) assert.equal(isPublicAddress(address), true, address);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.UTC(2026, 10, 23, 12);
  assert.equal(parseRetryAfter("0", now), 0);
  assert.equal(parseRetryAfter(" 7 ", now), 7000);
  assert.equal(parseRetryAfter("Mon, 23 Nov 2026 13:00:00 GMT", now), 3_600_000);
  assert.equal(parseRetryAfter("Mon, 23 Nov 2026 11:00:00 GMT", now), 0);
  for (const bad of [undefined, "", "-1", "1.5", "1e3", "tomorrow", "2026-11-23", "Mon, 99 Nov 2026 13:00:00 GMT"])
    assert.equal(parseRetryAfter(bad, now), undefined, bad);
});

/** A real server on this machine. */
async function serve(listener: RequestListener) {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("over real HTTP: a relay delivers events to a server that verifies them, on one connection", async () => {
  const received: { headers: IncomingHttpHeaders; body: Buffer }[] = [];
  const sockets = new Set<unknown>();
  await using server = await serve(async (request, response) => {
    sockets.add(request.socket);
    received.push({ headers: request.headers, body: Buffer.concat(await Array.fromAsync(request)) });
    response.writeHead(received.length === 1 ? 500 : 204).end();
  });
  await using engine = openMemory();
  const relay = createRelay(engine, "orders", {
    deliver: webhook({
      url: `http://127.0.0.1:${server.port}/hooks`,
      secret,
      allowPrivate: true,
      encode: (data: object, { id }) => toHttp(toCloudEvent({ id, type: "order.created", source: "/shop", data })),
    }),
    retry: { backoff: { base: 5, cap: 5 } },
  });
  await relay.send({ total: 5 }, { id: "order-1" });
  await using _running = relay.run();
  await until(async () => received.length === 2 && (await relay.queue.counts()).active === 0);
  assert.equal(sockets.size, 1);
  for (const { headers, body } of received) {
    assert.equal(verifyWebhook({ headers, body }, { secret }).id, "order-1");
    const [event] = fromHttp({ headers, body }).events;
    assert.deepEqual([event?.id, event?.data], ["order-1", { total: 5 }]);
  }
});

test("over real HTTP: answers of any length are cut off, and a name that leads to this machine is refused", async () => {
  let closed = 0;
  await using server = await serve((request, response) => {
    request.socket.on("close", () => closed++);
    response.writeHead(request.url === "/bad" ? 500 : 200);
    const pour = (): void =>
      void (
        response.destroyed ||
        (response.write("x".repeat(64 * 1024)) ? setImmediate(pour) : response.once("drain", pour))
      );
    pour();
  });
  const context = contextOf({ runtime: systemRuntime });
  const post = (path: string) =>
    webhook({ url: `http://127.0.0.1:${server.port}${path}`, allowPrivate: true })({}, context);
  await post("/good");
  await assert.rejects(async () => await post("/bad"), { code: "UNDELIVERED", message: /answered 500: x+$/ });
  await until(() => closed === 2);
  const toName = webhook({ url: `http://localhost:${server.port}/` });
  await assert.rejects(async () => await toName({}, context), {
    name: "Parked",
    message: /localhost leads to .*no public address/,
  });
});

test("a receiver that answers and then never ends its body has answered", async () => {
  await using server = await serve((request, response) => {
    response.writeHead(request.url === "/gone" ? 410 : 200, { "content-length": "100" }).write("so it is");
  });
  const context = contextOf({ runtime: systemRuntime });
  const to = (path: string) =>
    webhook({ url: `http://127.0.0.1:${server.port}${path}`, allowPrivate: true, timeout: 300 });
  await to("/good")({}, context);
  await assert.rejects(async () => await to("/gone")({}, context), { name: "Parked", message: /so it is/ });
  const endless = new ReadableStream<Uint8Array>({ start: (stream) => stream.enqueue(Buffer.from("x")) });
  assert.equal((await deliver(() => new Response(endless), { timeout: 50 }, context)).error, undefined);
});

test("trace context that a header cannot hold is left out", async () => {
  const { error, asked } = await deliver(
    () => new Response(),
    {},
    contextOf({ headers: { traceparent: "a\r\nb: c", tracestate: "k=v" } }),
  );
  const sent = asked[0]?.init.headers as Record<string, string>;
  assert.deepEqual([error, sent["traceparent"], sent["tracestate"]], [undefined, undefined, "k=v"]);
});

test("over real HTTP: nobody there, a connection that breaks, and an abort", async () => {
  await using server = await serve((request, response) => {
    if (request.url === "/break") request.socket.destroy();
    else if (request.url === "/half")
      response.writeHead(200, { "content-length": "100" }).write("x", () => request.socket.destroy());
  });
  const to = (path: string, port = server.port) =>
    webhook({ url: `http://127.0.0.1:${port}${path}`, allowPrivate: true, timeout: "10s" });
  const context = contextOf({ runtime: systemRuntime });
  await assert.rejects(async () => await to("/break")({}, context), { code: "UNDELIVERED" });
  await assert.rejects(async () => await to("/", 1)({}, context), { code: "UNDELIVERED", message: /ECONNREFUSED/ });
  await to("/half")({}, context);
  const controller = new AbortController();
  const hanging = to("/hang")({}, contextOf({ runtime: systemRuntime, signal: controller.signal }));
  setImmediate(() => controller.abort(new Error("enough")));
  await assert.rejects(async () => await hanging, /enough/);
});
