import { decodeInteger, encodeInteger, equalBytes } from "../core/index.ts";
import type { RawAdd, RawBound, RawCheck, RawCommit, RawOutcome, RawRefused, RawSum } from "./driver.ts";
import { anyRevision } from "./driver.ts";

/**
 * The meaning of a commit, once, for every engine whose state this process can read synchronously while it holds the
 * store for itself. Engines that evaluate commits elsewhere (in SQL, in Lua) must agree with this, and the conformance suite compares them.
 */
export interface Store {
  /** The entry of the key, expired or not. */
  get(key: Uint8Array): StoredEntry | undefined;
  /** The first `limit` entries of the range that are not expired at `now`, in key order. */
  range(
    start: Uint8Array,
    end: Uint8Array,
    limit: number,
    now: number,
  ): { readonly key: Uint8Array; readonly revision: number }[];
  /** `expires`: milliseconds since the epoch on the engine's clock, 0 for never. */
  set(key: Uint8Array, value: Uint8Array, revision: number, expires: number): void;
  delete(key: Uint8Array): void;
  /** Appends records and returns the first one's offset. */
  append(topic: Uint8Array, records: readonly Uint8Array[], now: number): number;
}

export interface StoredEntry {
  readonly value: Uint8Array;
  readonly revision: number;
  readonly expires: number;
}

/**
 * Applies the commit to the store, or refuses it and leaves the store as it was.
 * @param now the engine's clock, milliseconds since the epoch
 * @param revision the revision that the commit's writes get
 */
export function applyCommit(store: Store, commit: RawCommit, now: number, revision: number): RawOutcome {
  const { checks, mutations } = commit;
  for (let index = 0; index < checks.length; index++) {
    if (!holds(store, checks[index] as RawCheck, now)) return { ok: false, reason: "check", index };
  }
  let sums: (RawSum & { readonly expires: number })[] | undefined;
  for (let index = 0; index < mutations.length; index++) {
    const mutation = mutations[index];
    if (mutation?.kind !== "add") continue;
    const sum = add(store, mutation, now, index);
    if ("ok" in sum) return sum;
    sums ??= [];
    sums.push(sum);
  }
  const offsets: number[] = [];
  let adds = 0;
  for (const mutation of mutations) {
    switch (mutation.kind) {
      case "set":
        store.set(mutation.key, mutation.value, revision, mutation.ttl === undefined ? 0 : now + mutation.ttl);
        break;
      case "delete":
        store.delete(mutation.key);
        break;
      case "add": {
        const sum = sums?.[adds++] as { value: number; expires: number };
        store.set(mutation.key, encodeInteger(sum.value), revision, sum.expires);
        break;
      }
      case "append":
        offsets.push(store.append(mutation.topic, mutation.records, now));
        break;
    }
  }
  return { ok: true, revision, adds: sums?.map(({ value, ceiling }) => ({ value, ceiling })) ?? [], offsets };
}

/** Whether an entry that expires at `expires` (0: never) is absent at `now`. */
export function isExpired(expires: number, now: number): boolean {
  return expires !== 0 && expires <= now;
}

/** What a bound means at this instant. */
export function resolveBound(bound: RawBound, now: number): number {
  if (bound.clock === "none") return bound.plus;
  return Math.floor(bound.clock === "ms" ? now : now * 1000) + bound.plus;
}

function live(store: Store, key: Uint8Array, now: number): StoredEntry | undefined {
  const entry = store.get(key);
  return entry === undefined || isExpired(entry.expires, now) ? undefined : entry;
}

function holds(store: Store, check: RawCheck, now: number): boolean {
  if (check.kind === "key") {
    const revision = live(store, check.key, now)?.revision ?? 0;
    return check.revision === anyRevision ? revision !== 0 : revision === check.revision;
  }
  const { keys, revisions } = check;
  const found = store.range(check.start, check.end, keys.length + 1, now);
  return (
    found.length === keys.length &&
    found.every((entry, i) => entry.revision === revisions[i] && equalBytes(entry.key, keys[i] as Uint8Array))
  );
}

function add(store: Store, mutation: RawAdd, now: number, index: number): (RawSum & { expires: number }) | RawRefused {
  const entry = live(store, mutation.key, now);
  const present = entry === undefined ? 0 : decodeInteger(entry.value);
  if (present === undefined) return { ok: false, reason: "not-integer", index };
  const base = mutation.floor === undefined ? present : Math.max(present, resolveBound(mutation.floor, now));
  const value = base + mutation.delta;
  if (!Number.isSafeInteger(value)) return { ok: false, reason: "overflow", index };
  const ceiling = mutation.ceiling === undefined ? undefined : resolveBound(mutation.ceiling, now);
  if (ceiling !== undefined && value > ceiling) return { ok: false, reason: "ceiling", index, value, ceiling };
  return { value, ceiling, expires: mutation.ttl === undefined ? (entry?.expires ?? 0) : now + mutation.ttl };
}
