import { Oracle, type OracleEntry } from "../../src/engine/conformance/index.ts";
import type { Batch, Committed, Mutation, Offset, Refusal, Topic, Version } from "../../src/engine/index.ts";
import type { Key, KeyRange } from "../../src/index.ts";

/** What a commit came to, but for its version. */
export type Outcome =
  | Pick<Committed, "ok" | "adds" | "offsets">
  | { readonly ok: false; readonly refusal: Refusal }
  | { readonly error: string };

/**
 * The oracle of the conformance suite, with its past, and the same for topics: what every engine must agree with. Versions are the
 * numbers of the commits that wrote.
 */
export class World {
  readonly #past: Oracle[] = [new Oracle()];
  readonly #topics = new Map<string, { first: number; values: unknown[] }>();

  /** Commits so far that wrote something; the next one gets this number plus 1. */
  get commits(): number {
    return this.#past.length - 1;
  }

  /** The version that the writes of that commit have. */
  versionOf(commit: number): Version {
    return String(commit) as Version;
  }

  get(key: Key): OracleEntry | undefined {
    return this.#now.get(key);
  }

  list(range: KeyRange, options?: { readonly limit?: number; readonly reverse?: boolean }): OracleEntry[] {
    return this.#now.list(range, options);
  }

  /** What the range held after that commit. */
  listAt(commit: number, range: KeyRange): OracleEntry[] {
    return (this.#past[commit] as Oracle).list(range);
  }

  commit(batch: Batch): Outcome {
    const verdict = this.#now.judge(batch);
    if (!verdict.ok) return "error" in verdict ? { error: verdict.error } : verdict;
    const { mutations = [] } = batch;
    if (mutations.length > 0) {
      const next = this.#now.clone();
      next.apply(batch, this.versionOf(this.commits + 1));
      this.#past.push(next);
      for (const mutation of mutations) {
        if ("append" in mutation) this.#topic(mutation.append).values.push(...mutation.records);
      }
    }
    const ceilings = mutations.filter((mutation) => "add" in mutation).map(ceilingOf);
    const adds = verdict.adds.map((value, i) => ({ value, ceiling: ceilings[i] }));
    return { ok: true, adds, offsets: verdict.offsets as readonly Offset[] };
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

  get #now(): Oracle {
    return this.#past.at(-1) as Oracle;
  }

  #topic(topic: Topic): { first: number; values: unknown[] } {
    const name = JSON.stringify(typeof topic === "string" ? [topic] : topic);
    const found = this.#topics.get(name) ?? { first: 0, values: [] };
    this.#topics.set(name, found);
    return found;
  }
}

function ceilingOf(add: Extract<Mutation, { readonly add: Key }>): number | undefined {
  return typeof add.ceiling === "number" ? add.ceiling : undefined;
}
