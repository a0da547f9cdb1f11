import type { Engine } from "../../src/engine/index.ts";

/** A call that must fail, because of the argument of this name, with an error of this code that says what to do. */
export interface Mistake {
  readonly what: string;
  readonly code: string;
  readonly argument: string;
  readonly remedy: RegExp;
  make(engine: Engine): unknown;
}

/** What a program without types may pass. */
// biome-ignore lint/suspicious/noExplicitAny: it stands for whatever is wrong
const wrong = (value: unknown): any => value;
const bytes = new Uint8Array([1]);
const nan = Number.NaN;

export const mistakes: readonly Mistake[] = [
  ...group("LIMIT", /limit of \d+ bytes/, [
    ["a key that is too long", "key", ({ kv, limits }) => kv.set(["k".repeat(limits.keyBytes)], 1)],
    ["a long key to read", "key", ({ kv, limits }) => kv.get(["k".repeat(limits.keyBytes)])],
    ["a value that is too large", "value", ({ kv, limits }) => kv.set(["k"], "v".repeat(limits.valueBytes))],
    ["a large record", "records[1]", ({ log, limits }) => log.append("t", [1, "v".repeat(limits.valueBytes)])],
    ["a topic with a long name", "topic", ({ log, limits }) => log.append("t".repeat(limits.keyBytes), [1])],
    ["a large message", "payload", ({ bus, limits }) => bus.publish("s", "v".repeat(limits.messageBytes))],
    ["large metadata", "metadata", ({ blob }) => blob.put(["b"], bytes, { metadata: { m: "v".repeat(9000) } })],
    ["too many bytes in one commit", "batch", ({ kv, limits }) => kv.commit({ mutations: largeSets(limits) })],
  ]),
  ...group("LIMIT", /limit of \d+ (operations|keys)/, [
    ["too many mutations", "batch", ({ kv, limits }) => kv.commit({ mutations: sets(limits.operations + 1) })],
    ["too many records", "batch", ({ log, limits }) => log.append("t", Array(limits.operations + 1).fill(1))],
    ["too many keys to read", "keys", ({ kv, limits }) => kv.getMany(Array(limits.operations + 1).fill(["k"]))],
  ]),
  ...group("INVALID_ARGUMENT", /allowed: .*safe integer/, [
    ["NaN in a key", "key[1]", ({ kv }) => kv.set(["k", nan], 1)],
    ["a fraction in a key", "key[0]", ({ kv }) => kv.get([1.5])],
    ["null in a key", "key[0]", ({ kv }) => kv.set(wrong([null]), 1)],
    ["NaN in a scope", "key[0]", (engine) => engine.scope(nan)],
    ["NaN in a range", "range.end[0]", ({ kv }) => kv.watch({ end: [nan] }).next()],
    ["NaN to add", "delta", ({ kv }) => kv.add(["n"], nan)],
    ["half to add", "delta", ({ kv }) => kv.add(["n"], 0.5)],
    ["a ceiling of NaN", "ceiling", ({ kv }) => kv.add(["n"], 1, { ceiling: nan })],
    ["a floor on an unknown clock", "floor", ({ kv }) => kv.add(["n"], 1, { floor: wrong({ clock: "s" }) })],
    ["a bad key in a transaction", "key[0]", (engine) => engine.transact((tx) => tx.get([nan]))],
  ]),
  ...group("INVALID_ARGUMENT", /allowed: .*surrogate/, [
    ["a lone surrogate in a key", "key[0]", ({ kv }) => kv.set(["\ud800"], 1)],
    ["a lone surrogate in a value", "value", ({ kv }) => kv.set(["k"], { a: "\udc00" })],
  ]),
  ...group("INVALID_ARGUMENT", /allowed: .*structured-cloneable/, [
    ["no value", "value", ({ kv }) => kv.set(["k"], undefined)],
    ["a function as value", "value", ({ kv }) => kv.set(["k"], () => 1)],
    ["a symbol deep in a value", "value", ({ kv }) => kv.set(["k"], { a: [Symbol("s")] })],
    ["a record of nothing", "records[1]", ({ log }) => log.append("t", [1, undefined])],
    ["a bad value in a transaction", "value", (engine) => engine.transact((tx) => tx.set(["k"], undefined))],
  ]),
  ...group("INVALID_ARGUMENT", /allowed: .*(at least (one|1)|above 0)/, [
    ["an empty key", "key", ({ kv }) => kv.set([], 1)],
    ["a TTL of 0", "ttl", ({ kv }) => kv.set(["k"], 1, { ttl: 0 })],
    ["no records", "records", ({ log }) => log.append("t", [])],
    ["no attempts", "attempts", (engine) => engine.transact(() => 1, { attempts: 0 })],
  ]),
  ...group("INVALID_ARGUMENT", /allowed: \S/, [
    ["a string instead of a key", "key", ({ kv }) => kv.set(wrong("k"), 1)],
    ["no key", "key", ({ kv }) => kv.get(wrong(undefined))],
    ["keys that are no array", "keys", ({ kv }) => kv.getMany(wrong("k"))],
    ["a negative TTL", "ttl", ({ kv }) => kv.set(["k"], 1, { ttl: -1 })],
    ["a TTL of NaN", "ttl", ({ kv }) => kv.set(["k"], 1, { ttl: nan })],
    ["a TTL in parsecs", "ttl", ({ kv }) => kv.add(["k"], 1, { ttl: wrong("12 parsecs") })],
    ["no batch", "batch", ({ kv }) => kv.commit(wrong(undefined))],
    ["a misspelt field of a batch", "batch.check", ({ kv }) => kv.commit(wrong({ check: [] }))],
    ["a mutation of nothing", "mutations[0]", ({ kv }) => kv.commit({ mutations: [wrong({})] })],
    ["a misspelt option", "mutations[0].tll", ({ kv }) => kv.commit({ mutations: [wrong({ delete: ["k"], tll: 1 })] })],
    ["a bad version", "checks[0].version", ({ kv }) => kv.commit({ checks: [{ key: ["k"], version: wrong(7) }] })],
    ["a check without version", "checks[0].version", ({ kv }) => kv.commit({ checks: [wrong({ key: ["k"] })] })],
    ["no range", "range", ({ kv }) => kv.list(wrong(undefined)).next()],
    ["a misspelt range", "range.perfix", ({ kv }) => kv.list(wrong({ perfix: ["k"] })).next()],
    ["a range with two starts", "range", ({ kv }) => kv.list(wrong({ start: ["a"], after: ["b"] })).next()],
    ["a negative limit", "limit", ({ kv }) => kv.list({}, { limit: -1 }).next()],
    ["a limit of NaN", "limit", ({ kv }) => kv.list({}, { limit: nan }).next()],
    ["records that are no array", "records", ({ log }) => log.append("t", wrong("r"))],
    ["a number as topic", "topic", ({ log }) => log.append(wrong(7), [1])],
    ["a negative offset", "from", ({ log }) => log.read("t", { from: -1 })],
    ["an offset of NaN", "before", ({ log }) => log.trim("t", nan)],
    ["a tail from somewhere", "from", ({ log }) => log.tail("t", { from: wrong("start") }).next()],
    ["an object instead of bytes", "data", ({ blob }) => blob.put(["b"], wrong({}))],
    ["a bad etag", "ifMatch", ({ blob }) => blob.put(["b"], bytes, { ifMatch: wrong(7) })],
    ["metadata that is no text", "metadata", ({ blob }) => blob.put(["b"], bytes, { metadata: wrong({ m: 1 }) })],
    ["a range that ends too early", "range", ({ blob }) => blob.get(["blob"], { range: { start: 2, end: 1 } })],
    ["an empty subject", "subject", ({ bus }) => bus.publish("", 1)],
    ["a wildcard in a subject", "subject", ({ bus }) => bus.publish("a.*", 1)],
    ["a wildcard that is not last", "pattern", ({ bus }) => bus.subscribe("a.>.b")],
    ["a capacity of 0", "capacity", ({ bus }) => bus.subscribe("a", { capacity: 0 })],
    ["a negative deadline", "deadline", (engine) => engine.transact(() => 1, { deadline: -1 })],
  ]),
  ...group("INVALID_ARGUMENT", /join the two|must be a function/, [
    ["one key twice", "mutations[1]", ({ kv }) => kv.commit({ mutations: [{ delete: ["k"] }, { delete: ["k"] }] })],
    ["no function", "transact", (engine) => engine.transact(wrong("fn"))],
  ]),
];

type Row = readonly [what: string, argument: string, make: Mistake["make"]];

/** Mistakes that have the code and the remedy in common. */
function group(code: string, remedy: RegExp, rows: readonly Row[]): Mistake[] {
  return rows.map(([what, argument, make]) => ({ what, code, argument, remedy, make }));
}

function sets(count: number): { set: [string, number]; value: number }[] {
  return Array.from({ length: count }, (_, i) => ({ set: ["many", i], value: i }));
}

/** Values within their limit whose sum is over that of the commit. */
function largeSets({ valueBytes, commitBytes }: Engine["limits"]): { set: [string, number]; value: string }[] {
  const value = "v".repeat(valueBytes - 64);
  return Array.from({ length: Math.ceil(commitBytes / value.length) + 1 }, (_, i) => ({ set: ["large", i], value }));
}
