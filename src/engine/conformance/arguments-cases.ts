import assert from "node:assert/strict";
import type { Batch, Engine } from "../contract.ts";
import { listKeys } from "./entries.ts";
import { failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

/** A call that must be refused, and the name that its message must contain. */
type Bad = readonly [call: (engine: Engine) => unknown, name: string | RegExp];

/** What no typed program would pass, and others do. */
const never = (value: unknown): never => value as never;

async function refused(engine: Engine, calls: readonly Bad[]): Promise<void> {
  for (const [call, name] of calls) {
    const failed = failsWith("INVALID_ARGUMENT", () => call(engine), name);
    await failed.catch((error: Error) => assert.fail(`${call}: ${error.message}`));
  }
  assert.deepEqual(await listKeys(engine, {}), []);
}

const badKeys = [
  "text",
  5,
  null,
  undefined,
  {},
  [],
  [null],
  [undefined],
  [{}],
  [1.5],
  [Number.NaN],
  [["nested"]],
  ["\ud800"],
  [Symbol("s")],
  [() => 1],
];
const badTtls = [0, -1, Number.NaN, Number.POSITIVE_INFINITY, "", "5", "5 apples", "-1s", "0s", null, {}, true, 1n];
const badIntegers = ["1", 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 1n, null, undefined, {}];

const keys: readonly Bad[] = badKeys.flatMap((key): Bad[] => [
  [({ kv }) => kv.get(never(key)), "key"],
  [({ kv }) => kv.getMany([["fine"], never(key)]), /keys?\[1\]|keys|key/],
  [({ kv }) => kv.set(never(key), 1), "key"],
  [({ kv }) => kv.delete(never(key)), "key"],
  [({ kv }) => kv.add(never(key), 1), "key"],
  [({ kv }) => kv.commit({ checks: [{ key: never(key), version: undefined }] }), /checks\[0\]|key/],
  [
    ({ kv }) =>
      kv.commit({
        mutations: [
          { set: ["fine"], value: 1 },
          { set: never(key), value: 1 },
        ],
      }),
    /mutations\[1\]|key/,
  ],
  [({ blob }) => blob.put(never(key), new Uint8Array(1)), "key"],
  [({ blob }) => blob.get(never(key)), "key"],
  [({ blob }) => blob.head(never(key)), "key"],
  [({ blob }) => blob.delete(never(key)), "key"],
  [(engine) => engine.transact((tx) => tx.get(never(key))), "key"],
  [(engine) => engine.transact((tx) => tx.set(never(key), 1)), "key"],
  [(engine) => engine.transact((tx) => tx.delete(never(key))), "key"],
  [(engine) => engine.transact((tx) => tx.add(never(key), 1)), "key"],
]);

const ranges: readonly Bad[] = [
  ...[null, undefined, "text", 5].map((range): Bad => [({ kv }) => Array.fromAsync(kv.list(never(range))), "range"]),
  [({ kv }) => Array.fromAsync(kv.list(never({ prefix: "user" }))), "prefix"],
  [({ kv }) => Array.fromAsync(kv.list(never({ start: [1.5] }))), "start"],
  [({ kv }) => Array.fromAsync(kv.list(never({ end: 5 }))), "end"],
  [({ kv }) => Array.fromAsync(kv.list(never({ after: null }))), "after"],
  [({ kv }) => Array.fromAsync(kv.list(never({ start: ["a"], after: ["a"] }))), "after"],
  [({ kv }) => Array.fromAsync(kv.list(never({ key: ["a"], prefix: ["a"] }))), "key"],
  [({ kv }) => Array.fromAsync(kv.list(never({ from: ["a"] }))), "from"],
  [({ kv }) => kv.watch(never({ prefix: "user" })).next(), "prefix"],
  [({ kv }) => kv.watch(never(undefined)).next(), "range"],
  [({ kv }) => kv.commit({ checks: [{ range: never({ prefx: [] }), entries: [] }] }), "prefx"],
  [({ blob }) => Array.fromAsync(blob.list(never({ prefix: 1 }))), "prefix"],
  [(engine) => engine.transact((tx) => Array.fromAsync(tx.list(never({ pre: [] })))), "pre"],
  ...[-1, 1.5, Number.NaN, "5"].flatMap((limit): Bad[] => [
    [({ kv }) => Array.fromAsync(kv.list({}, { limit: never(limit) })), "limit"],
    [({ blob }) => Array.fromAsync(blob.list({}, { limit: never(limit) })), "limit"],
    [(engine) => engine.transact((tx) => Array.fromAsync(tx.list({}, { limit: never(limit) }))), "limit"],
  ]),
];

const numbersAndTimes: readonly Bad[] = [
  ...badTtls.flatMap((ttl): Bad[] => [
    [({ kv }) => kv.set(["k"], 1, { ttl: never(ttl) }), "ttl"],
    [({ kv }) => kv.add(["k"], 1, { ttl: never(ttl) }), "ttl"],
    [({ kv }) => kv.commit({ mutations: [{ set: ["k"], value: 1, ttl: never(ttl) }] }), "ttl"],
    [(engine) => engine.transact((tx) => tx.set(["k"], 1, { ttl: never(ttl) })), "ttl"],
    [(engine) => engine.transact((tx) => tx.add(["k"], 1, { ttl: never(ttl) })), "ttl"],
  ]),
  ...badIntegers.flatMap((delta): Bad[] => [
    [({ kv }) => kv.add(["k"], never(delta)), "delta"],
    [({ kv }) => kv.commit({ mutations: [{ add: ["k"], delta: never(delta) }] }), "delta"],
    [(engine) => engine.transact((tx) => tx.add(["k"], never(delta))), "delta"],
  ]),
  ...["floor", "ceiling"].flatMap((bound) => {
    const bad = [
      "1",
      1.5,
      Number.NaN,
      null,
      [],
      {},
      { clock: "s" },
      { plus: 1 },
      { clock: "ms", plus: 1.5 },
      { clock: "us", minus: 1 },
    ];
    return bad.map(
      (value): Bad => [({ kv }) => kv.add(["k"], 1, never({ [bound]: value })), new RegExp(`${bound}|plus|minus`)],
    );
  }),
];

const batches: readonly Bad[] = [
  ...[null, "text", 5].map((batch): Bad => [({ kv }) => kv.commit(never(batch)), "batch"]),
  [({ kv }) => kv.commit(never({ mutation: [] })), "mutation"],
  [({ kv }) => kv.tryCommit(never({ check: [] })), "check"],
  [({ kv }) => kv.commit({ checks: never({}) }), "checks"],
  [({ kv }) => kv.commit({ mutations: never({}) }), "mutations"],
  ...[null, undefined, 5, "set", {}, { put: ["k"], value: 1 }, [["k"], 1]].map(
    (mutation): Bad => [({ kv }) => kv.commit({ mutations: [{ delete: ["fine"] }, never(mutation)] }), "mutations[1]"],
  ),
  [({ kv }) => kv.commit({ mutations: [never({ set: ["k"], value: 1, tll: 5 })] }), "tll"],
  [({ kv }) => kv.commit({ mutations: [never({ set: ["k"], value: 1, delete: ["k"] })] }), "delete"],
  [({ kv }) => kv.commit({ mutations: [never({ delete: ["k"], value: 1 })] }), "value"],
  [({ kv }) => kv.commit({ mutations: [never({ add: ["k"], delta: 1, celing: 5 })] }), "celing"],
  [({ kv }) => kv.commit({ mutations: [never({ append: "t", records: [1], limit: 1 })] }), "limit"],
  ...[null, undefined, 5, {}, { key: ["k"] }, { version: undefined }].map(
    (check): Bad => [({ kv }) => kv.commit({ checks: [never(check)] }), "checks[0]"],
  ),
  [({ kv }) => kv.commit({ checks: [never({ key: ["k"], version: undefined, versoin: 1 })] }), "versoin"],
  ...[null, 5, "", "not a version!", {}, "1.5", "-1"].map(
    (version): Bad => [({ kv }) => kv.commit({ checks: [{ key: ["k"], version: never(version) }] }), "version"],
  ),
  [({ kv }) => kv.commit({ checks: [never({ range: {} })] }), "entries"],
  [({ kv }) => kv.commit({ checks: [never({ range: {}, entries: "all" })] }), "entries"],
  [({ kv }) => kv.commit({ checks: [never({ range: {}, entries: [{ key: ["k"] }] })] }), "version"],
  [({ kv }) => kv.commit({ checks: [never({ range: {}, entries: [null] })] }), "entries"],
  [({ kv }) => kv.set(["k"], undefined), "value"],
  [({ kv }) => kv.commit({ mutations: [never({ set: ["k"] })] }), "value"],
  [({ kv }) => kv.getMany(never(undefined)), "keys"],
  [({ kv }) => kv.getMany(never("keys")), "keys"],
];

const logs: readonly Bad[] = [
  ...[null, undefined, 5, {}, [], [null], ["\ud800"], "\udc00"].flatMap((topic): Bad[] => [
    [({ log }) => log.append(never(topic), [1]), "topic"],
    [({ log }) => log.read(never(topic)), "topic"],
    [({ log }) => log.tail(never(topic)).next(), "topic"],
    [({ log }) => log.bounds(never(topic)), "topic"],
    [({ log }) => log.trim(never(topic), 1), "topic"],
    [(engine) => engine.transact((tx) => void tx.append(never(topic), [1])), "topic"],
  ]),
  ...[null, undefined, 5, "text", [], {}].flatMap((records): Bad[] => [
    [({ log }) => log.append("t", never(records)), "records"],
    [({ kv }) => kv.commit({ mutations: [{ append: "t", records: never(records) }] }), "records"],
    [(engine) => engine.transact((tx) => void tx.append("t", never(records))), "records"],
  ]),
  [({ log }) => log.append("t", [1, undefined]), "records[1]"],
  ...[-1, 1.5, Number.NaN, "0"].flatMap((offset): Bad[] => [
    [({ log }) => log.read("t", { from: never(offset) }), "from"],
    [({ log }) => log.tail("t", { from: never(offset) }).next(), "from"],
    [({ log }) => log.trim("t", never(offset)), "before"],
  ]),
  ...[null, undefined].map((offset): Bad => [({ log }) => log.trim("t", never(offset)), "before"]),
  [({ log }) => log.tail("t", { from: never("begin") }).next(), "from"],
  ...[0, -1, 1.5, Number.NaN, "5"].flatMap((count): Bad[] => [
    [({ log }) => log.read("t", { limit: never(count) }), "limit"],
    [({ log }) => log.read("t", { bytes: never(count) }), "bytes"],
    [({ log }) => log.tail("t", { limit: never(count) }).next(), "limit"],
  ]),
];

const blobs: readonly Bad[] = [
  ...[null, undefined, "text", 5, {}, [1, 2]].map((data): Bad => [({ blob }) => blob.put(["b"], never(data)), "data"]),
  [({ blob }) => blob.put(["b"], never(piecesOf("text"))), "data"],
  ...[
    5,
    "etag",
    { start: -1 },
    { start: 1.5 },
    { start: "0" },
    { start: 5, end: 2 },
    { start: 0, end: 1.5 },
    { end: 5 },
  ].map(
    (range): Bad => [
      async ({ blob }) => {
        await blob.put(["b"], new Uint8Array(10));
        try {
          await blob.get(["b"], { range: never(range) });
        } finally {
          await blob.delete(["b"]);
        }
      },
      "range",
    ],
  ),
  ...[5, {}, ""].flatMap((etag): Bad[] => [
    [({ blob }) => blob.put(["b"], new Uint8Array(1), { ifMatch: never(etag) }), "ifMatch"],
  ]),
];

async function* piecesOf(piece: unknown): AsyncGenerator<unknown> {
  yield piece;
}

const transactions: readonly Bad[] = [
  ...[undefined, null, {}, "text"].map((fn): Bad => [(engine) => engine.transact(never(fn)), /function/]),
  ...[0, -1, 1.5, Number.NaN, "3"].map(
    (attempts): Bad => [(engine) => engine.transact(() => 1, { attempts: never(attempts) }), "attempts"],
  ),
  ...[0, -1, Number.NaN, "soon", {}].map(
    (deadline): Bad => [(engine) => engine.transact(() => 1, { deadline: never(deadline) }), "deadline"],
  ),
  [(engine) => engine.transact((tx) => tx.set(["k"], undefined)), "value"],
  [(engine) => engine.transact((tx) => tx.getMany(never("keys"))), "keys"],
];

export const argumentsFacts = facts("arguments", {
  "what is no key is refused everywhere, by name": ({ engine }) => refused(engine, keys),
  "what is no range or limit is refused, by name": ({ engine }) => refused(engine, ranges),
  "what is no ttl, delta or bound is refused, by name": ({ engine }) => refused(engine, numbersAndTimes),
  "what is no batch is refused, misspelt fields included, by its place": ({ engine }) => refused(engine, batches),
  "what is no topic, record or offset is refused, by name": ({ engine }) => refused(engine, logs),
  "what is no object, part of one or etag is refused, by name": ({ engine }) => refused(engine, blobs),
  "what is no transaction is refused, by name": ({ engine }) => refused(engine, transactions),

  "a refused argument is told with what was given and what is allowed": async ({ engine }) => {
    const batch: Batch = { mutations: [{ add: ["k"], delta: 1.5 }] };
    const error = await failsWith("INVALID_ARGUMENT", () => engine.kv.commit(batch), "1.5", "integer");
    assert.deepEqual([error.definite, error.retryable], [true, false]);
  },
});
