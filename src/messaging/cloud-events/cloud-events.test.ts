import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isAshlarError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import {
  assertCloudEvent,
  decodeJson,
  decodeJsonBatch,
  type EventMessage,
  encodeJson,
  encodeJsonBatch,
  fromCloudEvent,
  toCloudEvent,
} from "./index.ts";
import { anyEvent, minimal, plain } from "./testing/events.ts";

const refused = (name: string) => (error: unknown) =>
  isAshlarError(error, "INVALID_ARGUMENT") && error.message.includes(name);

test("a message becomes an event and comes back the same", () => {
  const message: EventMessage = {
    id: "e-1",
    type: "order.created",
    source: "/shop",
    subject: "o-17",
    time: Date.UTC(2026, 10, 23, 12, 0, 0, 5),
    data: { total: 12.5, lines: ["a", null] },
    key: "customer-3",
    dataschema: "https://example.com/order.json",
    headers: { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", sampled: true, shard: -5 },
  };
  const event = toCloudEvent(message);
  assert.deepEqual(event, {
    specversion: "1.0",
    id: "e-1",
    source: "/shop",
    type: "order.created",
    subject: "o-17",
    time: "2026-11-23T12:00:00.005Z",
    datacontenttype: "application/json",
    dataschema: "https://example.com/order.json",
    partitionkey: "customer-3",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    sampled: true,
    shard: -5,
    data: { total: 12.5, lines: ["a", null] },
  });
  assert.deepEqual(fromCloudEvent(event), { ...message, datacontenttype: "application/json" });
});

test("id, time and type of the data have defaults; ids of a process ascend", () => {
  const runtime = createManualRuntime();
  const make = (data: unknown) => toCloudEvent({ type: "t", source: "s", data }, { runtime });
  const [one, two, none] = [make(1), make(Uint8Array.of(1)), make(undefined)];
  assert.ok(one.id < two.id);
  assert.equal(one.time, new Date(runtime.clock.now()).toISOString());
  assert.deepEqual(
    [one.datacontenttype, two.datacontenttype, none.datacontenttype],
    ["application/json", "application/octet-stream", undefined],
  );
  assert.ok(!("data" in none));
});

test("what is wrong with an event is said by the attribute's name", () => {
  const bad: [string, Record<string, unknown>][] = [
    ["event.id", { id: "" }],
    ["event.id", { id: undefined }],
    ["event.id", { id: 7 }],
    ["event.id", { id: "a\nb" }],
    ["event.id", { id: "\ud800" }],
    ["event.id", { id: "\u{1fffe}" }],
    ["event.source", { source: "" }],
    ["event.source", { source: "two words" }],
    ["event.source", { source: "a%2" }],
    ["event.source", { source: "a#b#c" }],
    ["event.type", { type: "" }],
    ["event.specversion", { specversion: "0.3" }],
    ["event.subject", { subject: "" }],
    ["event.time", { time: "yesterday" }],
    ["event.time", { time: "2026-02-29T00:00:00Z" }],
    ["event.time", { time: 1 }],
    ["event.dataschema", { dataschema: "/relative" }],
    ["event.datacontenttype", { datacontenttype: "json" }],
    ["event.Upper", { Upper: "x" }],
    ["event.with-dash", { "with-dash": "x" }],
    ["event.data_base64", { data_base64: "AA==" }],
    ["event.ext", { ext: 2 ** 31 }],
    ["event.ext", { ext: 0.5 }],
    ["event.ext", { ext: {} }],
    ["event.ext", { ext: null }],
    ["event.data", { data: 1n }],
    ["event.data.a[1]", { data: { a: [0, Number.NaN] } }],
    ["event.data.at", { data: { at: new Date(0) } }],
    ["event.data", { data: new Map() }],
    ["event.data", { data: { a: 1 }, datacontenttype: "text/plain" }],
  ];
  for (const [name, change] of bad)
    assert.throws(() => assertCloudEvent({ ...minimal, ...change }), refused(`${name}:`), JSON.stringify(name));
  for (const given of [null, [], "x", new Uint8Array(1)])
    assert.throws(() => assertCloudEvent(given), refused("event:"));
  assertCloudEvent(minimal);
  assertCloudEvent({ ...minimal, source: "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", id: "é 😀" });
});

test("a payload that is nested without end is refused before it overflows the stack", () => {
  let data: unknown = 1;
  for (let i = 0; i < 100_000; i++) data = [data];
  assert.throws(() => assertCloudEvent({ ...minimal, data }), { code: "LIMIT" });
  assert.throws(
    () =>
      decodeJson(
        `{"specversion":"1.0","id":"1","source":"s","type":"t","data":${"[".repeat(2000)}1${"]".repeat(2000)}}`,
      ),
    {
      code: "LIMIT",
    },
  );
});

test("a message refuses headers that have a place of their own, and options that do not exist", () => {
  const message = { type: "t", source: "s" };
  for (const name of ["id", "subject", "partitionkey", "specversion", "data", "key", "Trace", "trace-parent"])
    assert.throws(() => toCloudEvent({ ...message, key: "k", headers: { [name]: "x" } }), refused(name), name);
  assert.throws(() => toCloudEvent({ ...message, dataSchema: "x" } as EventMessage), refused("dataSchema"));
  assert.throws(() => toCloudEvent({ ...message, time: Number.NaN }), refused("message.time"));
  assert.throws(() => toCloudEvent({ ...message, key: "" }), refused("message.key"));
});

test("times of RFC 3339 become milliseconds", () => {
  const at = (time: string) => fromCloudEvent({ ...minimal, time }).time;
  assert.equal(at("1970-01-01T00:00:00Z"), 0);
  assert.equal(at("1970-01-01t01:00:00.1234+01:00"), 123);
  assert.equal(at("1969-12-31T23:30:00-00:30"), 0);
  assert.equal(at("2016-12-31T23:59:60Z"), Date.UTC(2017, 0, 1));
  assert.equal(at("0099-03-01T00:00:00Z"), Date.parse("0099-03-01T00:00:00Z"));
  for (const bad of [
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01 00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00+24:00",
  ])
    assert.throws(() => at(bad), refused("event.time"), bad);
});

test("JSON as the standard writes it is read: null is absent, base64 is bytes, text is text", () => {
  const read = (more: object) => decodeJson(JSON.stringify({ ...minimal, ...more }));
  assert.deepEqual(read({ subject: null, time: null }), minimal);
  assert.deepEqual(read({ data_base64: "AQID" }).data, Uint8Array.of(1, 2, 3));
  assert.deepEqual(read({ data: "<a/>", datacontenttype: "text/xml" }).data, "<a/>");
  assert.deepEqual(read({ data: null }).data, null);
  assert.ok(!("data" in read({ data: null, datacontenttype: "text/xml" })));
  assert.throws(() => read({ data: 1, data_base64: "AQID" }), refused("data_base64"));
  for (const base64 of ["AQI", "A Q=", 7, "-_8="])
    assert.throws(() => read({ data_base64: base64 }), refused("base64"));
  for (const json of ["", "[]", "1", "null", "{", Uint8Array.of(0xff)])
    assert.throws(() => decodeJson(json), { code: "INVALID_ARGUMENT" }, String(json));
  assert.throws(() => decodeJsonBatch("{}"), refused("events"));
  assert.throws(() => encodeJsonBatch([minimal, { ...minimal, id: "" }]), refused("events[1].id"));
  assert.throws(() => decodeJsonBatch(JSON.stringify([minimal, {}])), refused("events[1].specversion"));
  assert.deepEqual(decodeJsonBatch("[]"), []);
});

test("a payload named __proto__ stays a payload", () => {
  const event = decodeJson(
    `{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"__proto__":{"admin":true}}}`,
  );
  assert.equal((event.data as { admin?: boolean }).admin, undefined);
  assert.throws(() => decodeJson(`{"specversion":"1.0","id":"1","source":"s","type":"t","__proto__":{"x":1}}`), {
    code: "INVALID_ARGUMENT",
  });
});

test("every event comes back from JSON the same, alone and in a batch", () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 5 }), (events) => {
      for (const event of events) assert.deepEqual(plain(decodeJson(encodeJson(event))), plain(event));
      assert.deepEqual(decodeJsonBatch(encodeJsonBatch(events)).map(plain), events.map(plain));
    }),
  );
});
