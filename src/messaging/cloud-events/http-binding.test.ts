import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { decodeHeaderValue, encodeHeaderValue } from "./header-values.ts";
import { type CloudEvent, fromHttp, type Received, toHttp, toHttpBatch } from "./index.ts";
import { anyEvent, minimal, plain } from "./testing/events.ts";

const decoder = new TextDecoder();

test("header values are percent-encoded as in the example of the standard", () => {
  assert.equal(encodeHeaderValue("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
  assert.equal(decodeHeaderValue("Euro%20%e2%82%ac%20%F0%9F%98%80", "h"), "Euro € 😀");
  assert.equal(encodeHeaderValue('a"b%c~!'), "a%22b%25c~!");
  assert.equal(decodeHeaderValue("%2541", "h"), "%41", "one round");
  assert.equal(decodeHeaderValue("100% %4", "h"), "100% %4");
  assert.equal(decodeHeaderValue('"a \\"b\\" %20c" d', "h"), 'a "b"  c d');
  assert.equal(decodeHeaderValue('a"b', "h"), 'a"b');
  for (const bad of ["%C0%A0", "%ff", "%ED%A0%80", "a%E2%82"])
    assert.throws(() => decodeHeaderValue(bad, "ce-id"), { code: "INVALID_ARGUMENT", message: /ce-id/ });
});

test("header values are printable ASCII and come back the same", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (value) => {
      const encoded = encodeHeaderValue(value);
      assert.match(encoded, /^[\x21-\x7e]*$/);
      assert.equal(decodeHeaderValue(encoded, "h"), value);
    }),
  );
});

test("hostile header values are decoded in linear time", () => {
  const started = process.hrtime.bigint();
  decodeHeaderValue(`"${'\\"'.repeat(200_000)}`, "h");
  decodeHeaderValue('"'.repeat(200_001), "h");
  assert.throws(() =>
    fromHttp({ headers: { ...toHttp(minimal).headers, "content-type": `a/b${";   \t".repeat(5000)}:` } }),
  );
  assert.ok(process.hrtime.bigint() - started < 2_000_000_000n);
});

test("binary mode: attributes in headers, data in the body", () => {
  const event: CloudEvent = {
    ...minimal,
    subject: "Jürgen",
    partitionkey: "a b",
    count: 5,
    datacontenttype: "application/json",
    data: { a: "ü" },
  };
  const { headers, body } = toHttp(event);
  assert.deepEqual(headers, {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/orders",
    "ce-type": "order.created",
    "ce-subject": "J%C3%BCrgen",
    "ce-partitionkey": "a%20b",
    "ce-count": "5",
    "content-type": "application/json",
  });
  assert.equal(decoder.decode(body), '{"a":"ü"}');
  assert.deepEqual(fromHttp({ headers, ...(body && { body }) }), {
    mode: "binary",
    events: [{ ...event, count: "5" }],
  });
});

test("what the data is follows from the content type", () => {
  const { headers } = toHttp(minimal);
  const dataOf = (type: string | undefined, body: string | Uint8Array) =>
    fromHttp({ headers: { ...headers, "Content-Type": type }, body }).events[0]?.data;
  assert.deepEqual(dataOf("application/problem+json", "[1]"), [1]);
  assert.equal(dataOf("text/plain; charset=UTF-8", Buffer.from("ü")), "ü");
  assert.deepEqual(dataOf("text/plain; charset=latin1", Uint8Array.of(0xfc)), Uint8Array.of(0xfc));
  assert.deepEqual(dataOf("text/plain", Uint8Array.of(0xfc)), Uint8Array.of(0xfc));
  assert.deepEqual(dataOf("image/png", "x"), Uint8Array.of(120));
  assert.deepEqual(dataOf(undefined, "x"), Uint8Array.of(120));
  assert.equal(dataOf("application/json", ""), undefined);
  assert.throws(() => dataOf("application/json", "{"), { code: "INVALID_ARGUMENT", message: /body/ });
  assert.equal(toHttp({ ...minimal, data: [1] }).headers["content-type"], "application/json");
  assert.equal(toHttp({ ...minimal, data: Uint8Array.of(1) }).headers["content-type"], undefined);
});

test("what is no event is refused", () => {
  const { headers } = toHttp(minimal);
  const refuse = (given: Record<string, string | string[]>, body: string, expected: object) =>
    assert.throws(() => fromHttp({ headers: given, body }), expected);
  refuse({ "content-type": "application/json" }, "{}", { code: "INVALID_ARGUMENT", message: /no CloudEvent/ });
  refuse({ "content-type": "application/cloudevents+xml" }, "", { code: "UNSUPPORTED" });
  refuse({ ...headers, "ce-datacontenttype": "a/b" }, "", { code: "INVALID_ARGUMENT", message: /content-type/ });
  refuse({ ...headers, "ce-a-b": "x" }, "", { code: "INVALID_ARGUMENT", message: /ce-a-b/ });
  refuse({ ...headers, "ce-data": "x" }, "", { code: "INVALID_ARGUMENT", message: /ce-data/ });
  refuse({ ...headers, "ce-specversion": "2.0" }, "", { code: "INVALID_ARGUMENT", message: /specversion/ });
  refuse({ ...headers, "CE-ID": "2" }, "", { code: "INVALID_ARGUMENT", message: /ce-id/ });
  refuse({ ...headers, "ce-id": ["1", "2"] }, "", { code: "INVALID_ARGUMENT", message: /ce-id/ });
  assert.throws(() => toHttp(minimal, { mode: "batch" as never }), { code: "INVALID_ARGUMENT" });
});

/** Headers carry text: what was a number or a boolean is its canonical text afterwards. */
function asText(event: CloudEvent): CloudEvent {
  const entries = Object.entries(event).map(([name, value]) => [name, name === "data" ? value : String(value)]);
  return Object.fromEntries(entries) as CloudEvent;
}

test("every event comes back from HTTP the same, in every mode", () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { minLength: 1, maxLength: 3 }), (events) => {
      const back = ({ headers, body }: ReturnType<typeof toHttp>): Received =>
        fromHttp({ headers: new Headers(headers), ...(body && { body }) });
      const [event] = events as [CloudEvent];
      const binary = back(toHttp(event));
      const structured = back(toHttp(event, { mode: "structured" }));
      const batch = back(toHttpBatch(events));
      assert.deepEqual([binary.mode, structured.mode, batch.mode], ["binary", "structured", "batch"]);
      assert.deepEqual(binary.events.map(plain), [plain(asText(event))]);
      assert.deepEqual(structured.events.map(plain), [plain(event)]);
      assert.deepEqual(batch.events.map(plain), events.map(plain));
    }),
  );
});

test("an event crosses a real server with fetch in both modes", async () => {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const chunks = await Array.fromAsync(request);
    received.push(fromHttp({ headers: request.headers, body: Buffer.concat(chunks) }));
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const event: CloudEvent = { ...minimal, subject: "ü %", datacontenttype: "application/json", data: { a: [1] } };
  try {
    for (const mode of ["binary", "structured"] as const)
      await (await fetch(url, { method: "POST", ...toHttp(event, { mode }) })).arrayBuffer();
  } finally {
    server.closeAllConnections();
    server.close();
  }
  assert.deepEqual(received, [
    { mode: "binary", events: [event] },
    { mode: "structured", events: [event] },
  ]);
});
