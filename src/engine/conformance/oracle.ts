import { compareKeys, type Key, type KeyRange } from "../../core/index.ts";
import type { Batch, Bound, Check, Mutation, Refusal, Topic, Version } from "../contract.ts";

export interface OracleEntry {
  readonly key: Key;
  readonly value: unknown;
  readonly version: Version;
}

/** What a commit of the batch would give, but for the version. */
export type Verdict =
  | { readonly ok: true; readonly adds: readonly number[]; readonly offsets: readonly number[] }
  | { readonly ok: false; readonly refusal: Refusal }
  | { readonly ok: false; readonly error: "INVALID_STATE" };

/**
 * The key-value contract once more, as dumb as can be: an array that is searched from its beginning. Engines are compared with it
 * under random batches. It has no clock: no ttl, and no bounds on the engine's time.
 */
export class Oracle {
  #entries: OracleEntry[] = [];
  #topics: { readonly topic: string; next: number }[] = [];

  /** The same state, to go on separately. */
  clone(): Oracle {
    const copy = new Oracle();
    copy.#entries = [...this.#entries];
    copy.#topics = this.#topics.map((topic) => ({ ...topic }));
    return copy;
  }

  get(key: Key): OracleEntry | undefined {
    return this.#entries.find((entry) => compareKeys(entry.key, key) === 0);
  }

  list(range: KeyRange, options: { readonly limit?: number; readonly reverse?: boolean } = {}): OracleEntry[] {
    const found = this.#entries.filter(({ key }) => isIn(range, key));
    if (options.reverse) found.reverse();
    return found.slice(0, options.limit);
  }

  /** What would become of the batch now. */
  judge({ checks = [], mutations = [] }: Batch): Verdict {
    const check = checks.findIndex((each) => !this.#holds(each));
    if (check >= 0) return { ok: false, refusal: { reason: "check", check } };
    const adds: number[] = [];
    const offsets: number[] = [];
    for (const [mutation, each] of mutations.entries()) {
      if ("append" in each) offsets.push(this.#topic(each.append).next);
      if (!("add" in each)) continue;
      const value = this.#sum(each);
      if (value === undefined) return { ok: false, error: "INVALID_STATE" };
      const ceiling = number(each.ceiling);
      if (ceiling !== undefined && value > ceiling)
        return { ok: false, refusal: { reason: "ceiling", mutation, value, ceiling } };
      adds.push(value);
    }
    return { ok: true, adds, offsets };
  }

  /** Does what the batch says; it must be one that `judge` finds good. */
  apply({ mutations = [] }: Batch, version: Version): void {
    for (const each of mutations) {
      if ("append" in each) this.#topic(each.append).next += each.records.length;
      else if ("set" in each) this.#put({ key: each.set, value: each.value, version });
      else if ("add" in each) this.#put({ key: each.add, value: this.#sum(each), version });
      else this.#remove(each.delete);
    }
  }

  #holds(check: Check): boolean {
    if ("present" in check) return this.get(check.key) !== undefined;
    if ("key" in check) return this.get(check.key)?.version === check.version;
    const found = this.list(check.range);
    return (
      found.length === check.entries.length &&
      check.entries.every(({ key, version }, i) => {
        const entry = found[i] as OracleEntry;
        return compareKeys(entry.key, key) === 0 && entry.version === version;
      })
    );
  }

  #sum(add: Extract<Mutation, { readonly add: Key }>): number | undefined {
    const entry = this.get(add.add);
    const present = entry === undefined ? 0 : entry.value;
    // Engines keep -0 as what it is, not as an integer.
    if (!Number.isSafeInteger(present) || Object.is(present, -0)) return undefined;
    const sum = Math.max(present as number, number(add.floor) ?? (present as number)) + add.delta;
    return Number.isSafeInteger(sum) ? sum : undefined;
  }

  #put(entry: OracleEntry): void {
    this.#remove(entry.key);
    this.#entries.push(entry);
    this.#entries.sort((a, b) => compareKeys(a.key, b.key));
  }

  #remove(key: Key): void {
    this.#entries = this.#entries.filter((entry) => compareKeys(entry.key, key) !== 0);
  }

  #topic(topic: Topic): { next: number } {
    const name = JSON.stringify(typeof topic === "string" ? [topic] : topic);
    let found = this.#topics.find((each) => each.topic === name);
    if (!found) {
      found = { topic: name, next: 0 };
      this.#topics.push(found);
    }
    return found;
  }
}

function number(bound: Bound | undefined): number | undefined {
  if (bound === undefined || typeof bound === "number") return bound;
  throw new Error("the oracle has no clock");
}

/** Whether the key lies in the range, part by part. */
export function isIn(range: KeyRange, key: Key): boolean {
  if (range.key !== undefined) return compareKeys(key, range.key) === 0;
  const { prefix, start, after, end } = range;
  if (prefix !== undefined && (prefix.length > 0 || key.length === 0)) {
    if (key.length <= prefix.length || compareKeys(key.slice(0, prefix.length), prefix) !== 0) return false;
  }
  if (start !== undefined && compareKeys(key, start) < 0) return false;
  if (after !== undefined && compareKeys(key, after) <= 0) return false;
  return end === undefined || compareKeys(key, end) < 0;
}
