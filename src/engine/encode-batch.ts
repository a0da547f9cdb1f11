import {
  type ByteRange,
  compareBytes,
  type Duration,
  encodeKey,
  encodeRange,
  encodeValue,
  InvalidArgumentError,
  invalidArgument,
  type Key,
  type KeyRange,
  keyName,
  limitExceeded,
  toBinaryString,
  toMilliseconds,
} from "../core/index.ts";
import type { AddOptions, Batch, Bound, Check, Limits, Mutation, Topic } from "./contract.ts";
import type { RawAdd, RawAppend, RawBound, RawCheck, RawCommit, RawMutation, RawSet } from "./driver.ts";
import { anyRevision } from "./driver.ts";
import { toRevision } from "./versions.ts";
import { successor } from "./watcher.ts";

/** Where encoded keys go and how large they may be. */
export interface Space {
  /** Bytes before every key of the namespace. */
  readonly prefix: Uint8Array;
  readonly limits: Limits;
}

/**
 * A batch as the driver sees it: validated, encoded, within the limits.
 * @throws InvalidArgumentError an argument that no engine would take, named by its path in the batch
 * @throws LimitError an argument larger than this engine takes
 */
export function encodeBatch(batch: Batch, space: Space): RawCommit {
  if (typeof batch !== "object" || batch === null) throw invalidArgument("batch", batch, "{ checks?, mutations? }");
  onlyFields(batch, batchFields, "batch");
  const builder = new CommitBuilder(space.limits);
  const checks = list<Check>(batch.checks, "checks");
  for (let i = 0; i < checks.length; i++) builder.check(encodeCheck(checks[i] as Check, space, `checks[${i}]`));
  const mutations = list<Mutation>(batch.mutations, "mutations");
  for (let i = 0; i < mutations.length; i++) {
    builder.mutate(encodeMutation(mutations[i] as Mutation, space, `mutations[${i}]`), `mutations[${i}]`);
  }
  return builder.finish();
}

/** Collects the parts of a commit and holds its bounds. */
export class CommitBuilder {
  readonly #limits: Limits;
  readonly #checks: RawCheck[] = [];
  readonly #mutations: RawMutation[] = [];
  #targets: Set<string> | undefined;
  #bytes = 0;
  #operations = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  check(check: RawCheck): void {
    this.#checks.push(check);
    if (check.kind === "key") {
      this.#count(1, check.key.length);
    } else {
      let bytes = check.start.length + check.end.length;
      for (const key of check.keys) bytes += key.length;
      this.#count(1 + check.keys.length, bytes);
    }
  }

  mutate(mutation: RawMutation, name: string): void {
    // A single mutation, by far the most common batch, needs no set of targets.
    if (this.#mutations.length === 1) this.#targets = new Set([target(this.#mutations[0] as RawMutation)]);
    if (this.#targets) {
      const key = target(mutation);
      if (this.#targets.has(key)) {
        throw new InvalidArgumentError(
          `${name}: ${mutation.kind === "append" ? "this topic is appended to" : "this key is mutated"} twice in one batch; join the two`,
        );
      }
      this.#targets.add(key);
    }
    this.#mutations.push(mutation);
    switch (mutation.kind) {
      case "set":
        this.#count(1, mutation.key.length + mutation.value.length);
        break;
      case "append": {
        let bytes = mutation.topic.length;
        for (const record of mutation.records) bytes += record.length;
        this.#count(mutation.records.length, bytes);
        break;
      }
      default:
        this.#count(1, mutation.key.length);
    }
  }

  finish(): RawCommit {
    const { operations, commitBytes } = this.#limits;
    if (this.#operations > operations) throw limitExceeded("batch", this.#operations, operations, "operations");
    if (this.#bytes > commitBytes) throw limitExceeded("batch", this.#bytes, commitBytes, "bytes of keys and values");
    return { checks: this.#checks, mutations: this.#mutations, bytes: this.#bytes };
  }

  #count(operations: number, bytes: number): void {
    this.#operations += operations;
    this.#bytes += bytes;
  }
}

/** The encoded key, its length checked. */
export function encodeKeyIn(space: Space, key: Key, name = "key"): Uint8Array {
  const bytes = encodeKey(key, space.prefix, name);
  if (bytes.length > space.limits.keyBytes)
    throw limitExceeded(`${name} ${keyName(key)}`, bytes.length, space.limits.keyBytes, "bytes encoded");
  if (bytes.length === space.prefix.length) throw invalidArgument(name, key, "a tuple of at least one part");
  return bytes;
}

/** The bytes between which the range's keys lie. The namespace's own tuple is a key of whoever is above it, and in no range here. */
export function encodeRangeIn(space: Space, range: KeyRange): ByteRange {
  const bytes = encodeRange(range, space.prefix);
  if (bytes.start.length > space.prefix.length) return bytes;
  const start = successor(space.prefix);
  return compareBytes(start, bytes.end) < 0 ? { start, end: bytes.end } : { start, end: start };
}

/** The encoded keys of one read. */
export function encodeKeysIn(space: Space, keys: readonly Key[]): Uint8Array[] {
  if (!Array.isArray(keys)) throw invalidArgument("keys", keys, "an array of keys");
  const { operations } = space.limits;
  if (keys.length > operations) throw limitExceeded("keys", keys.length, operations, "keys");
  return keys.map((key, i) => encodeKeyIn(space, key, `keys[${i}]`));
}

/** The encoded topic: a string is the tuple of it alone. */
export function encodeTopicIn(space: Space, topic: Topic): Uint8Array {
  if (typeof topic !== "string" && !Array.isArray(topic)) throw invalidArgument("topic", topic, "a string or a tuple");
  return encodeKeyIn(space, typeof topic === "string" ? [topic] : topic, "topic");
}

/** The encoded value, its length checked. */
export function encodeValueIn(space: Space, value: unknown, name = "value"): Uint8Array {
  const bytes = encodeValue(value, name);
  if (bytes.length > space.limits.valueBytes)
    throw limitExceeded(name, bytes.length, space.limits.valueBytes, "bytes encoded");
  return bytes;
}

/** @throws InvalidArgumentError not a duration above 0 */
export function toTtl(ttl: Duration | undefined): number | undefined {
  if (ttl === undefined) return undefined;
  const ms = toMilliseconds(ttl, "ttl", { max: maxTtl });
  if (ms <= 0) throw invalidArgument("ttl", ttl, "a duration above 0, or no ttl at all for an entry that stays");
  return Math.ceil(ms);
}

/** A validated `limit`: `Infinity` if none is given. */
export function toLimit(limit: number | undefined): number {
  if (limit === undefined || limit === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  if (!Number.isSafeInteger(limit) || limit < 0) throw invalidArgument("limit", limit, "a whole number of at least 0");
  return limit;
}

/** A thousand years: any sum with a clock stays a safe integer of milliseconds. */
const maxTtl = 1000 * 366 * 24 * 3600 * 1000;

/** A validated `set`. */
export function encodeSet(space: Space, key: Key, value: unknown, ttl: Duration | undefined): RawSet {
  return { kind: "set", key: encodeKeyIn(space, key), value: encodeValueIn(space, value), ttl: toTtl(ttl) };
}

/** A validated `add`. */
export function encodeAdd(space: Space, key: Key, delta: number, options: AddOptions): RawAdd {
  return {
    kind: "add",
    key: encodeKeyIn(space, key),
    delta: integer(delta, "delta"),
    floor: toBound(options.floor, "floor"),
    ceiling: toBound(options.ceiling, "ceiling"),
    ttl: toTtl(options.ttl),
  };
}

/** A validated `append`. */
export function encodeAppend(space: Space, topic: Topic, records: readonly unknown[]): RawAppend {
  if (!Array.isArray(records) || records.length === 0)
    throw invalidArgument("records", records, "an array of at least one record");
  return {
    kind: "append",
    topic: encodeTopicIn(space, topic),
    records: records.map((record, i) => encodeValueIn(space, record, `records[${i}]`)),
  };
}

/** A validated check; `name` is its path. */
export function encodeCheck(check: Check, space: Space, name: string): RawCheck {
  if (typeof check !== "object" || check === null)
    throw invalidArgument(name, check, "{ key, version }, { key, present: true } or { range, entries }");
  if ("range" in check) {
    onlyFields(check, rangeCheckFields, name);
    const { start, end } = encodeRangeIn(space, check.range);
    if (!Array.isArray(check.entries)) throw invalidArgument(`${name}.entries`, check.entries, "an array of entries");
    const entries = check.entries.map((entry: unknown, i) => asEntry(entry, `${name}.entries[${i}]`));
    return {
      kind: "range",
      start,
      end,
      keys: entries.map(({ key }, i) => encodeKeyIn(space, key, `${name}.entries[${i}].key`)),
      revisions: entries.map(({ version }, i) => toRevision(version, `${name}.entries[${i}].version`)),
    };
  }
  if ("present" in check) {
    onlyFields(check, presenceCheckFields, name);
    if (check.present !== true)
      throw invalidArgument(`${name}.present`, check.present, "true; for absent, version: undefined");
    return { kind: "key", key: encodeKeyIn(space, check.key, `${name}.key`), revision: anyRevision };
  }
  onlyFields(check, keyCheckFields, name);
  if (!("version" in check))
    throw invalidArgument(`${name}.version`, "nothing", "a version, undefined for absent; or present: true");
  const revision = check.version === undefined ? 0 : toRevision(check.version, `${name}.version`);
  return { kind: "key", key: encodeKeyIn(space, check.key, `${name}.key`), revision };
}

function asEntry(entry: unknown, name: string): { readonly key: Key; readonly version: unknown } {
  if (typeof entry !== "object" || entry === null) throw invalidArgument(name, entry, "an entry as list gave it");
  return entry as { key: Key; version: unknown };
}

function encodeMutation(mutation: Mutation, space: Space, name: string): RawMutation {
  if (typeof mutation !== "object" || mutation === null) throw invalidArgument(name, mutation, allowedMutations);
  if ("set" in mutation) {
    onlyFields(mutation, setFields, name);
    return encodeSet(space, mutation.set, mutation.value, mutation.ttl);
  }
  if ("delete" in mutation) {
    onlyFields(mutation, deleteFields, name);
    return { kind: "delete", key: encodeKeyIn(space, mutation.delete) };
  }
  if ("add" in mutation) {
    onlyFields(mutation, addFields, name);
    return encodeAdd(space, mutation.add, mutation.delta, mutation);
  }
  if ("append" in mutation) {
    onlyFields(mutation, appendFields, name);
    return encodeAppend(space, mutation.append, mutation.records);
  }
  throw invalidArgument(name, mutation, allowedMutations);
}

const allowedMutations = "{ set, value }, { delete }, { add, delta } or { append, records }";
const batchFields = new Set(["checks", "mutations"]);
const keyCheckFields = new Set(["key", "version"]);
const presenceCheckFields = new Set(["key", "present"]);
const rangeCheckFields = new Set(["range", "entries"]);
const setFields = new Set(["set", "value", "ttl"]);
const deleteFields = new Set(["delete"]);
const addFields = new Set(["add", "delta", "floor", "ceiling", "ttl"]);
const appendFields = new Set(["append", "records"]);
const boundFields = new Set(["clock", "plus"]);

/** A misspelt field would be a guarantee silently not asked for. */
function onlyFields(given: object, allowed: ReadonlySet<string>, name: string): void {
  for (const field in given) {
    if (!allowed.has(field)) throw invalidArgument(`${name}.${field}`, "a field of this name", [...allowed].join(", "));
  }
}

function list<T>(given: readonly T[] | undefined, name: string): readonly T[] {
  if (given === undefined) return [];
  if (!Array.isArray(given)) throw invalidArgument(name, given, "an array");
  return given;
}

function integer(given: unknown, name: string): number {
  if (!Number.isSafeInteger(given)) throw invalidArgument(name, given, "a safe integer");
  // Adding 0 turns -0 into 0.
  return (given as number) + 0;
}

function toBound(bound: Bound | undefined, name: string): RawBound | undefined {
  if (bound === undefined) return undefined;
  if (typeof bound === "number") return { clock: "none", plus: integer(bound, name) };
  if (typeof bound !== "object" || bound === null || (bound.clock !== "ms" && bound.clock !== "us")) {
    throw invalidArgument(name, bound, 'a safe integer or { clock: "ms" | "us", plus? }');
  }
  onlyFields(bound, boundFields, name);
  return { clock: bound.clock, plus: bound.plus === undefined ? 0 : integer(bound.plus, `${name}.plus`) };
}

function target(mutation: RawMutation): string {
  return mutation.kind === "append" ? `t${toBinaryString(mutation.topic)}` : `k${toBinaryString(mutation.key)}`;
}
