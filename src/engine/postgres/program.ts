import { decodeInteger, toBinaryString } from "../../core/index.ts";
import type {
  RawAdd,
  RawBound,
  RawCheck,
  RawCommit,
  RawMutation,
  RawOutcome,
  RawRangeCheck,
  RawSum,
} from "../driver.ts";
import type { Plan } from "./commit.ts";
import type { Statement } from "./connection.ts";
import { LogRows } from "./log-rows.ts";
import { headerLength, readHeader } from "./outcome-header.ts";
import { digestOf, isPossible, noDigest } from "./range-digest.ts";
import { SortedNames } from "./sorted-names.ts";
import { byteaArray, float8Array, int4Array, orNull } from "./wire.ts";

/** What a step does; the numbers are those in `commit_1`. */
const op = { checkKey: 1, set: 2, sum: 3, storeSum: 4, delete: 5, checkRange: 6 } as const;

interface Step {
  readonly op: number;
  /** Index of the key, or of the range, from 1. */
  readonly slot: number;
  /** Index of the check or mutation within the commit. */
  readonly at: number;
  /** Index of the value or of the sum, from 1. */
  readonly ref?: number;
  /** The revision expected, the integer that a value is, or the delta. */
  readonly x?: number | undefined;
  readonly ttl?: number | undefined;
  readonly floor?: RawBound | undefined;
  readonly ceiling?: RawBound | undefined;
}

/** A range check, less the keys that commits before it in the flush may write; those are checked one by one. */
interface StaticRange {
  readonly check: RawRangeCheck;
  readonly leftOut: readonly string[];
}

/** Any commits, those that depend on each other within the flush among them, as the program that `commit_1` runs. */
export function planProgram(commits: readonly RawCommit[], statement: Statement): Plan {
  const builder = new ProgramBuilder(commits);
  return {
    statement,
    writes: true,
    values: builder.values(),
    decode: (returned) => decode(commits, builder.log, returned),
  };
}

/** How much of a key's state the program needs before it begins. */
const need = { nothing: 0, revision: 1, integer: 2 } as const;

class ProgramBuilder {
  readonly log = new LogRows(false);
  readonly #commits: readonly RawCommit[];
  readonly #keys = new Map<string, { readonly key: Uint8Array; need: number; slot: number }>();
  readonly #ranges: StaticRange[] = [];
  readonly #slotted: Uint8Array[] = [];
  readonly #counts = { loaded: 0, summed: 0 };
  readonly #steps: Step[] = [];
  readonly #first: number[] = [];
  readonly #values: Uint8Array[] = [];
  #sums = 0;

  constructor(commits: readonly RawCommit[]) {
    this.#commits = commits;
    this.#collect();
    this.#assignSlots();
    let range = 0;
    commits.forEach((commit, i) => {
      this.#first.push(this.#steps.length + 1);
      for (const [at, check] of commit.checks.entries()) this.#check(check, at, check.kind === "range" ? range++ : -1);
      this.#mutate(commit.mutations, i + 1);
    });
    this.#first.push(this.#steps.length + 1);
  }

  values(): unknown[] {
    return [
      int4Array(this.#commits.map(({ mutations }) => (mutations.length > 0 ? 1 : 0))),
      int4Array(this.#first),
      ...this.#stepValues(),
      this.#sums,
      byteaArray(this.#slotted),
      this.#counts.loaded,
      this.#counts.summed,
      byteaArray(this.#values),
      ...this.#rangeValues(),
      ...this.#logValues(),
    ];
  }

  /** Finds every key that the flush touches, and what it must know of each. */
  #collect(): void {
    const written = new SortedNames();
    const ranged = this.#commits.some(({ checks }) => checks.some(({ kind }) => kind === "range"));
    for (const { checks, mutations } of this.#commits) {
      for (const check of checks) {
        if (check.kind === "key") this.#touch(toBinaryString(check.key), check.key, need.revision);
        else this.#addRange(check, written);
      }
      for (const mutation of mutations) {
        if (mutation.kind === "append") continue;
        const name = toBinaryString(mutation.key);
        this.#touch(name, mutation.key, mutation.kind === "add" ? need.integer : need.nothing);
        if (ranged) written.add(name);
      }
    }
  }

  #addRange(check: RawRangeCheck, written: SortedNames): void {
    const leftOut = written.between(toBinaryString(check.start), toBinaryString(check.end));
    for (const name of leftOut) this.#touch(name, undefined, need.revision);
    this.#ranges.push({ check, leftOut });
  }

  #touch(name: string, key: Uint8Array | undefined, needed: number): void {
    const found = this.#keys.get(name);
    if (found) found.need = Math.max(found.need, needed);
    else this.#keys.set(name, { key: key as Uint8Array, need: needed, slot: 0 });
  }

  /** Slots in the order of what they need, so that two numbers say it for all of them. */
  #assignSlots(): void {
    for (const level of [need.integer, need.revision, need.nothing]) {
      for (const touched of this.#keys.values())
        if (touched.need === level) touched.slot = this.#slotted.push(touched.key);
      if (level === need.integer) this.#counts.summed = this.#slotted.length;
      if (level === need.revision) this.#counts.loaded = this.#slotted.length;
    }
  }

  #slot(name: string): number {
    return (this.#keys.get(name) as { slot: number }).slot;
  }

  #check(check: RawCheck, at: number, range: number): void {
    if (check.kind === "key") {
      this.#steps.push({ op: op.checkKey, slot: this.#slot(toBinaryString(check.key)), at, x: check.revision });
      return;
    }
    this.#steps.push({ op: op.checkRange, slot: range + 1, at });
    const { leftOut } = this.#ranges[range] as StaticRange;
    if (leftOut.length === 0) return;
    const expected = new Map(check.keys.map((key, i) => [toBinaryString(key), check.revisions[i] as number]));
    for (const name of leftOut)
      this.#steps.push({ op: op.checkKey, slot: this.#slot(name), at, x: expected.get(name) ?? 0 });
  }

  #mutate(mutations: readonly RawMutation[], commit: number): void {
    const first = this.#sums + 1;
    mutations.forEach((mutation, at) => {
      if (mutation.kind !== "add") return;
      const { delta, floor, ceiling } = mutation;
      this.#steps.push({
        op: op.sum,
        slot: this.#slot(toBinaryString(mutation.key)),
        at,
        ref: ++this.#sums,
        x: delta,
        floor,
        ceiling,
      });
    });
    let sum = first;
    mutations.forEach((mutation, at) => {
      if (mutation.kind === "append") {
        this.log.add(mutation, commit);
        return;
      }
      const slot = this.#slot(toBinaryString(mutation.key));
      if (mutation.kind === "add") this.#steps.push({ op: op.storeSum, slot, at, ref: sum++, ttl: mutation.ttl });
      else if (mutation.kind === "delete") this.#steps.push({ op: op.delete, slot, at });
      else {
        const x = slot <= this.#counts.summed ? decodeInteger(mutation.value) : undefined;
        this.#steps.push({ op: op.set, slot, at, ref: this.#values.push(mutation.value), x, ttl: mutation.ttl });
      }
    });
  }

  #stepValues(): unknown[] {
    const steps = this.#steps;
    return [
      int4Array(steps.map((step) => step.op)),
      int4Array(steps.map((step) => step.slot)),
      int4Array(steps.map((step) => step.at)),
      int4Array(steps.map((step) => step.ref)),
      float8Array(steps.map((step) => step.x)),
      orNull(
        steps.map((step) => step.ttl),
        float8Array,
      ),
      orNull(
        steps.map((step) => clockOf(step.floor)),
        int4Array,
      ),
      orNull(
        steps.map((step) => step.floor?.plus),
        float8Array,
      ),
      orNull(
        steps.map((step) => clockOf(step.ceiling)),
        int4Array,
      ),
      orNull(
        steps.map((step) => step.ceiling?.plus),
        float8Array,
      ),
    ];
  }

  #rangeValues(): unknown[] {
    const ranges = this.#ranges;
    if (ranges.length === 0) return [null, null, null, null, null, null];
    const remaining = ranges.map(remainder);
    return [
      byteaArray(ranges.map(({ check }) => check.start)),
      byteaArray(ranges.map(({ check }) => check.end)),
      int4Array(remaining.map(({ size }) => size)),
      byteaArray(remaining.map(({ digest }) => digest)),
      orNull(
        ranges.flatMap(({ leftOut }, i) => leftOut.map(() => i + 1)),
        int4Array,
      ),
      orNull(
        ranges.flatMap(({ leftOut }) => leftOut.map((name) => this.#slot(name))),
        int4Array,
      ),
    ];
  }

  #logValues(): unknown[] {
    const { topics, rows } = this.log;
    if (topics.length === 0) return [null, null, null, null, null];
    return [
      byteaArray(topics),
      int4Array(rows.map((row) => row.commit)),
      int4Array(rows.map((row) => row.topic)),
      int4Array(rows.map((row) => row.count)),
      byteaArray(rows.map((row) => row.writer.take())),
    ];
  }
}

/** What the range must hold besides the keys left out. */
function remainder({ check, leftOut }: StaticRange): {
  readonly size: number;
  readonly digest: Uint8Array | undefined;
} {
  const { keys, revisions } = check;
  if (!isPossible(check)) return { size: keys.length, digest: noDigest };
  if (leftOut.length === 0) return { size: keys.length, digest: digestOf(keys, revisions) };
  const gone = new Set(leftOut);
  const kept = keys.map((_, i) => i).filter((i) => !gone.has(toBinaryString(keys[i] as Uint8Array)));
  return {
    size: kept.length,
    digest: digestOf(
      kept.map((i) => keys[i] as Uint8Array),
      kept.map((i) => revisions[i] as number),
    ),
  };
}

/** Index into the clocks of `commit_1`, from 1: none, milliseconds, microseconds. */
function clockOf(bound: RawBound | undefined): number | undefined {
  return bound && { none: 1, ms: 2, us: 3 }[bound.clock];
}

function decode(commits: readonly RawCommit[], log: LogRows, returned: readonly (number | undefined)[]): RawOutcome[] {
  const { now, base } = readHeader(returned);
  const next = new Map(log.topics.map((topic, i) => [toBinaryString(topic), returned[headerLength + i] as number]));
  const statuses = headerLength + log.topics.length;
  let latest = base;
  let sum = statuses + commits.length;
  return commits.map(({ mutations }, i): RawOutcome => {
    const adds = mutations.filter((mutation) => mutation.kind === "add");
    const values = returned.slice(sum, sum + adds.length);
    sum += adds.length;
    const status = returned[statuses + i] as number;
    if (status !== 0) return refusal(status, mutations, values, now);
    if (mutations.length > 0) latest++;
    const offsets: number[] = [];
    for (const mutation of mutations) {
      if (mutation.kind !== "append") continue;
      const name = toBinaryString(mutation.topic);
      const first = next.get(name) as number;
      next.set(name, first + mutation.records.length);
      offsets.push(first);
    }
    return {
      ok: true,
      revision: latest,
      adds: adds.map((add, j): RawSum => ({ value: values[j] as number, ceiling: ceilingOf(add, now) })),
      offsets,
    };
  });
}

/** A status says why in its lowest two bits, and above them where. */
function refusal(
  status: number,
  mutations: readonly RawMutation[],
  sums: readonly (number | undefined)[],
  now: number,
): RawOutcome {
  const index = (status - 1) >> 2;
  switch ((status - 1) & 3) {
    case 0:
      return { ok: false, reason: "check", index };
    case 1:
      return { ok: false, reason: "not-integer", index };
    case 2:
      return { ok: false, reason: "overflow", index };
    default: {
      const before = mutations.slice(0, index).filter(({ kind }) => kind === "add").length;
      return {
        ok: false,
        reason: "ceiling",
        index,
        value: sums[before] as number,
        ceiling: ceilingOf(mutations[index] as RawAdd, now) as number,
      };
    }
  }
}

function ceilingOf({ ceiling }: RawAdd, now: number): number | undefined {
  if (ceiling === undefined) return undefined;
  if (ceiling.clock === "none") return ceiling.plus;
  return (ceiling.clock === "ms" ? Math.floor(now / 1000) : now) + ceiling.plus;
}
