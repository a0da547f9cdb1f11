import type { Committed, Mutation, Refusal, Topic } from "../../src/engine/index.ts";
import type { Key, KeyPart, KeyRange } from "../../src/index.ts";

/** A version as the oracle sees it: the number of the commit that wrote it. */
export type Stamp = number;

export interface Known {
  readonly key: Key;
  readonly value: unknown;
  readonly version: Stamp;
}

export type KnownCheck =
  | { readonly key: Key; readonly version: Stamp | undefined }
  | { readonly range: KeyRange; readonly entries: readonly { readonly key: Key; readonly version: Stamp }[] };

export type Verdict =
  | { readonly ok: true; readonly adds: Committed["adds"]; readonly offsets: Committed["offsets"] }
  | { readonly ok: false; readonly refusal: Refusal }
  | { readonly error: string };

/**
 * The contract of keys and topics, done in the dumbest way that works: arrays that are searched from end to end, and nothing taken from the
 * code under test. Clocks and expiry are left out.
 */
export class Oracle {
  #entries: readonly Known[] = [];
  readonly #past: (readonly Known[])[] = [[]];
  readonly #topics = new Map<string, { first: number; values: unknown[] }>();

  /** Commits so far that wrote something; the next one gets this number plus 1. */
  get commits(): number {
    return this.#past.length - 1;
  }

  get(key: Key): Known | undefined {
    return this.#entries.find((entry) => compare(entry.key, key) === 0);
  }

  list(range: KeyRange, options: { readonly limit?: number; readonly reverse?: boolean } = {}): Known[] {
    const found = within(this.#entries, range);
    return (options.reverse ? found.toReversed() : found).slice(0, options.limit);
  }

  /** What the range held after that commit. */
  listAt(commit: number, range: KeyRange): Known[] {
    return within(this.#past[commit] as readonly Known[], range);
  }

  commit(checks: readonly KnownCheck[], mutations: readonly Mutation[]): Verdict {
    const failed = checks.findIndex((check) => !this.#holds(check));
    if (failed >= 0) return { ok: false, refusal: { reason: "check", check: failed } };
    const sums: { value: number; ceiling: number | undefined }[] = [];
    for (const [index, mutation] of mutations.entries()) {
      if (!("add" in mutation)) continue;
      const sum = this.#sum(mutation, index);
      if ("value" in sum) sums.push(sum);
      else return sum;
    }
    const offsets: number[] = [];
    const results = sums.values();
    for (const mutation of mutations) {
      if ("set" in mutation) this.#write(mutation.set, structuredClone(mutation.value));
      else if ("delete" in mutation) this.#write(mutation.delete, undefined);
      else if ("add" in mutation) this.#write(mutation.add, results.next().value?.value);
      else offsets.push(this.#append(mutation.append, mutation.records));
    }
    if (mutations.length > 0) this.#past.push(this.#entries);
    return { ok: true, adds: sums, offsets };
  }

  bounds(topic: Topic): { first: number; next: number } {
    const { first, values } = this.#topic(topic);
    return { first, next: first + values.length };
  }

  read(topic: Topic, from = 0, limit = 1000): { offset: number; value: unknown }[] {
    const { first, values } = this.#topic(topic);
    const records = values.map((value, i) => ({ offset: first + i, value }));
    return records.filter(({ offset }) => offset >= from).slice(0, limit);
  }

  trim(topic: Topic, before: number): void {
    const kept = this.#topic(topic);
    while (kept.first < before && kept.values.length > 0) {
      kept.values.shift();
      kept.first++;
    }
  }

  #holds(check: KnownCheck): boolean {
    if ("range" in check) {
      const found = this.list(check.range);
      return (
        found.length === check.entries.length &&
        found.every(({ key, version }, i) => {
          const wanted = check.entries[i];
          return wanted !== undefined && compare(wanted.key, key) === 0 && wanted.version === version;
        })
      );
    }
    return this.get(check.key)?.version === check.version;
  }

  #sum(
    mutation: Extract<Mutation, { add: Key }>,
    index: number,
  ): { value: number; ceiling: number | undefined } | Verdict {
    const { delta } = mutation;
    const [floor, ceiling] = [mutation.floor, mutation.ceiling].map((bound) =>
      typeof bound === "number" ? bound : undefined,
    );
    const entry = this.get(mutation.add);
    const present = entry ? entry.value : 0;
    if (!Number.isSafeInteger(present) || Object.is(present, -0)) return { error: "INVALID_STATE" };
    const value = Math.max(present as number, floor ?? (present as number)) + delta;
    if (!Number.isSafeInteger(value)) return { error: "INVALID_STATE" };
    if (ceiling !== undefined && value > ceiling)
      return { ok: false, refusal: { reason: "ceiling", mutation: index, value, ceiling } };
    return { value, ceiling };
  }

  /** `undefined`: removes the key. */
  #write(key: Key, value: unknown): void {
    const others = this.#entries.filter((entry) => compare(entry.key, key) !== 0);
    const written = value === undefined ? [] : [{ key, value, version: this.commits + 1 }];
    this.#entries = [...others, ...written].sort((a, b) => compare(a.key, b.key));
  }

  #append(topic: Topic, records: readonly unknown[]): number {
    const { first, values } = this.#topic(topic);
    return first + values.push(...structuredClone(records)) - records.length;
  }

  #topic(topic: Topic): { first: number; values: unknown[] } {
    const parts = typeof topic === "string" ? [topic] : topic;
    const name = parts.map((part) => `${typeof part} ${part}`).join("\n");
    const found = this.#topics.get(name) ?? { first: 0, values: [] };
    this.#topics.set(name, found);
    return found;
  }
}

function within(entries: readonly Known[], range: KeyRange): Known[] {
  const { prefix, start, after, end, key } = range as { prefix?: Key; start?: Key; after?: Key; end?: Key; key?: Key };
  return entries.filter(
    (entry) =>
      (prefix === undefined ||
        prefix.length === 0 ||
        (entry.key.length > prefix.length && compare(entry.key.slice(0, prefix.length), prefix) === 0)) &&
      (start === undefined || compare(entry.key, start) >= 0) &&
      (after === undefined || compare(entry.key, after) > 0) &&
      (end === undefined || compare(entry.key, end) < 0) &&
      (key === undefined || compare(entry.key, key) === 0),
  );
}

/** Tuple order as the contract words it: bytes < strings by code point < integers < false < true; a tuple before those it begins. */
export function compare(a: Key, b: Key): number {
  for (const [i, part] of a.entries()) {
    const other = b[i];
    if (other === undefined) return 1;
    const order = rank(part) - rank(other) || compareParts(part, other);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function rank(part: KeyPart): number {
  if (part instanceof Uint8Array) return 0;
  if (typeof part === "string") return 1;
  return typeof part === "boolean" ? (part ? 4 : 3) : 2;
}

function compareParts(a: KeyPart, b: KeyPart): number {
  if (a instanceof Uint8Array) return compareNumbers([...a], [...(b as Uint8Array)]);
  if (typeof a === "string") return compareNumbers(codePoints(a), codePoints(b as string));
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareNumbers(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((number, i) => number !== b[i]);
  if (at < 0) return a.length - b.length;
  return at >= b.length ? 1 : (a[at] as number) - (b[at] as number);
}

function codePoints(text: string): number[] {
  return Array.from(text, (character) => character.codePointAt(0) as number);
}
