import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type CloudEvent, compileFilter, type EventFilter, type Filterable } from "./index.ts";
import { minimal } from "./testing/events.ts";

const event: CloudEvent = {
  ...minimal,
  subject: "customer-7",
  count: 5,
  flag: true,
  data: { order: { total: 12, paid: false, note: null, "a.b": "x" }, items: [{ sku: "s-1" }], text: "5" },
};
const passes = (filter: EventFilter | readonly EventFilter[], given: Filterable = event) =>
  compileFilter(filter)(given);

test("the dialects over attributes", () => {
  assert.ok(passes({ exact: { type: "order.created", source: "/orders" } }));
  assert.ok(!passes({ exact: { type: "order.created", source: "/Orders" } }));
  assert.ok(passes({ prefix: { type: "order.", subject: "customer" } }));
  assert.ok(!passes({ prefix: { type: "order.", subject: "Customer" } }));
  assert.ok(passes({ suffix: { type: ".created" } }));
  assert.ok(passes({ all: [{ suffix: { type: "d" } }, { exact: { id: "1" } }] }));
  assert.ok(!passes({ all: [{ suffix: { type: "d" } }, { exact: { id: "2" } }] }));
  assert.ok(passes({ any: [{ exact: { id: "2" } }, { exact: { id: "1" } }] }));
  assert.ok(passes({ not: { exact: { id: "2" } } }));
  assert.ok(passes([]));
  assert.ok(!passes([{ exact: { id: "1" } }, { exact: { id: "2" } }]));
});

test("attributes compare by their canonical text, the payload by type and value", () => {
  assert.ok(passes({ exact: { count: "5", flag: "true" } }));
  assert.ok(passes({ exact: { count: 5, flag: true } }));
  assert.ok(passes({ exact: { "data.order.total": 12, "data.order.paid": false, "data.order.note": null } }));
  assert.ok(!passes({ exact: { "data.order.total": "12" } }));
  assert.ok(passes({ exact: { "data.text": "5" } }));
  assert.ok(!passes({ exact: { "data.text": 5 } }));
  assert.ok(!passes({ prefix: { "data.order.total": "1" } }), "a number has no prefix");
});

test("paths go into objects and arrays, and nowhere else", () => {
  assert.ok(passes({ exact: { "data.items.0.sku": "s-1" } }));
  assert.ok(passes({ exact: { "data.order.a\\.b": "x" } }));
  assert.ok(!passes({ exact: { "data.order.a.b": "x" } }));
  for (const path of [
    "data.items.length",
    "data.constructor.name",
    "data.text.length",
    "data.order.note.x",
    "data.items.-1",
  ])
    assert.ok(passes({ not: { any: [{ exact: { [path]: 1 } }, { exact: { [path]: "Object" } }] } }), path);
  assert.ok(!passes({ exact: { tostring: "x" } }));
  assert.ok(passes({ exact: { data: "x" } }, { ...minimal, data: "x" }));
});

test("what is no filter is refused, and the message says where", () => {
  const bad: [unknown, RegExp][] = [
    [null, /^filter:/],
    [{}, /^filter:/],
    [{ exact: { id: "1" }, prefix: { id: "1" } }, /^filter:/],
    [{ sql: "true" }, /^filter:/],
    [{ exact: {} }, /^filter\.exact:/],
    [{ exact: { id: "" } }, /^filter\.exact\.id:/],
    [{ exact: { id: null } }, /^filter\.exact\.id:/],
    [{ exact: { id: {} } }, /^filter\.exact\.id:/],
    [{ exact: { "data.x": Number.NaN } }, /^filter\.exact\.data\.x:/],
    [{ prefix: { id: "" } }, /^filter\.prefix\.id:/],
    [{ suffix: { id: 1 } }, /^filter\.suffix\.id:/],
    [{ exact: { "a-b": "x" } }, /^filter\.exact:/],
    [{ exact: { "data.": "x" } }, /^filter\.exact:/],
    [{ exact: { "data.a..b": "x" } }, /^filter\.exact:/],
    [{ exact: { "data.a\\x": "x" } }, /^filter\.exact\.data/],
    [{ all: [] }, /^filter\.all:/],
    [{ any: { id: "1" } }, /^filter\.any:/],
    [{ not: [] }, /^filter\.not:/],
    [[{ all: [{ not: { any: [{ exact: { id: "1" } }, 5] } }] }], /^filter\[0\]\.all\[0\]\.not\.any\[1\]:/],
  ];
  for (const [filter, message] of bad)
    assert.throws(() => compileFilter(filter as EventFilter), { code: "INVALID_ARGUMENT", message });
});

test("filters are bounded in depth and in number", () => {
  let deep: EventFilter = { exact: { id: "1" } };
  for (let i = 0; i < 31; i++) deep = { not: deep };
  assert.equal(passes(deep), false);
  assert.throws(() => compileFilter({ not: deep }), { code: "LIMIT" });
  const wide = (n: number) => Array.from({ length: n }, () => ({ exact: { id: "1" } }) as const);
  assert.ok(passes(wide(500)));
  assert.throws(() => compileFilter(wide(501)), { code: "LIMIT" });
});

test("a compiled filter does not change with the data that it was made of", () => {
  const filter = { exact: { id: "1" } };
  const predicate = compileFilter(filter);
  filter.exact.id = "2";
  assert.ok(predicate(event));
});

/** The same, word by word, over the flat names of an event. */
function dumb(filter: EventFilter, flat: Readonly<Record<string, unknown>>): boolean {
  if ("all" in filter) return !filter.all.map((each) => dumb(each, flat)).includes(false);
  if ("any" in filter) return filter.any.map((each) => dumb(each, flat)).includes(true);
  if ("not" in filter) return dumb(filter.not, flat) === false;
  const [[dialect, wanted]] = Object.entries(filter) as [[string, Record<string, unknown>]];
  for (const [name, want] of Object.entries(wanted)) {
    const ofData = name.startsWith("data");
    const have = ofData || flat[name] === undefined ? flat[name] : `${flat[name]}`;
    const wish = ofData ? want : `${want}`;
    if (dialect === "exact" && have !== wish) return false;
    if (dialect === "prefix" && !(typeof have === "string" && have.slice(0, String(wish).length) === wish))
      return false;
    if (dialect === "suffix" && !(typeof have === "string" && have.slice(-String(wish).length) === wish)) return false;
  }
  return true;
}

const word = fc.constantFrom("a", "b", "ab", "ba", "1");
const scalar = fc.oneof(word, fc.boolean(), fc.constantFrom(0, 1));
const field = fc.constantFrom("type", "ext", "data.x", "data.y.z", "data.l.0");
const some = <T>(value: fc.Arbitrary<T>) =>
  fc.dictionary(field, value, { minKeys: 1, maxKeys: 2, noNullPrototype: true });
const { tree } = fc.letrec<{ tree: EventFilter }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3 },
    fc.record({ exact: some(scalar) }, { noNullPrototype: true }),
    fc.record({ prefix: some(word) }, { noNullPrototype: true }),
    fc.record({ suffix: some(word) }, { noNullPrototype: true }),
    fc.record({ all: fc.array(tie("tree"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ any: fc.array(tie("tree"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ not: tie("tree") }),
  ),
}));

test("filters choose as a dumb evaluator does, also after being stored as JSON", () => {
  const counts = { true: 0, false: 0 };
  const given = fc.record({ type: word, ext: fc.option(scalar, { nil: undefined }), x: scalar, z: scalar, l: scalar });
  fc.assert(
    fc.property(tree, given, (filter, { type, ext, x, z, l }) => {
      const subject = { type, ...(ext !== undefined && { ext }), data: { x, y: { z }, l: [l] } };
      const expected = dumb(filter, { type, ext, "data.x": x, "data.y.z": z, "data.l.0": l });
      assert.equal(compileFilter(filter)(subject), expected);
      assert.equal(compileFilter(JSON.parse(JSON.stringify(filter)) as EventFilter)(subject), expected);
      counts[`${expected}`]++;
    }),
    { numRuns: 3000 },
  );
  assert.ok(counts.true > 300 && counts.false > 300, JSON.stringify(counts));
});
