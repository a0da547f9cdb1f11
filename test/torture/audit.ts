import type { Write, WriterRecord } from "./journal.ts";
import type { Placed, Snapshot } from "./snapshot.ts";
import { accounts, initialBalance, partsOf, type Transfer } from "./workload.ts";

/**
 * - `lost`: an acknowledged write is not there.
 * - `half`: a commit took effect in part.
 * - `gap`: a log is not dense from offset 0, or a record lies elsewhere than its writer was told.
 * - `twice`: one write took effect more than once.
 * - `unasked`: there is what nobody wrote, or what a writer was told had surely not been applied.
 * - `failed`: a writer met an error that no writer should see.
 * - `watch`: a watcher or a tail ended, or did not arrive at the state of the store.
 */
export type ViolationKind = "lost" | "half" | "gap" | "twice" | "unasked" | "failed" | "watch";

export interface Violation {
  readonly kind: ViolationKind;
  readonly what: string;
}

export interface Audit {
  readonly violations: readonly Violation[];
  readonly acknowledged: number;
  /** Writes whose outcome their writer never learnt. */
  readonly inDoubt: number;
  /** How many of these took effect. */
  readonly landed: number;
  /** Writes of which their writer knows that they were not applied. */
  readonly refused: number;
}

/** Compares what the writers were told with what is in the store. Pure. */
export function audit(writers: ReadonlyMap<string, WriterRecord>, snapshot: Snapshot): Audit {
  const auditor = new Auditor(writers);
  auditor.batches(snapshot);
  auditor.shared(snapshot);
  auditor.records(snapshot);
  auditor.transfers(snapshot);
  auditor.counts(snapshot);
  return auditor.result();
}

class Auditor {
  readonly #violations: Violation[] = [];
  #landed = 0;
  /** By `writer/lane`; a write's index is its `seq` - 1. */
  readonly #lanes = new Map<string, readonly Write[]>();

  constructor(writers: ReadonlyMap<string, WriterRecord>) {
    for (const [writer, { lanes, failures }] of writers) {
      for (const [lane, writes] of lanes) this.#lanes.set(`${writer}/${lane}`, writes);
      for (const failure of failures) this.#report("failed", `${writer}: ${failure}`);
    }
  }

  batches({ batches }: Snapshot): void {
    for (const [name, values] of batches) {
      if (new Set(values).size > 1) this.#report("half", `batch ${name} holds ${values.join(", ")}`);
    }
    for (const [name, writes] of this.#of("batch")) this.#latest(name, writes, batches.get(name)?.[0] ?? 0);
    this.#known("batch", batches.keys());
  }

  shared({ shared, batches }: Snapshot): void {
    const [first] = shared;
    if (!first) {
      if (this.#of("batch").some(([, writes]) => writes.some(isAcknowledged)))
        this.#report("lost", "no shared key is there");
      return;
    }
    if (shared.some(({ by, seq, version }) => by !== first.by || seq !== first.seq || version !== first.version)) {
      const all = shared.map(({ by, seq, version }) => `${by} ${seq} (version ${version})`);
      this.#report("half", `the shared keys hold ${all.join(", ")}`);
    }
    for (const { by, seq, whole } of shared) {
      this.#issued("a shared key", by, seq);
      if (!whole) this.#report("half", `a shared key of write ${seq} of ${by} has the text of another`);
      const own = batches.get(by)?.[0] ?? 0;
      if (own !== seq) this.#report("half", `a shared key holds write ${seq} of ${by}, whose own keys hold ${own}`);
    }
  }

  records({ records, appended }: Snapshot): void {
    this.#dense("records", records);
    const found = new Map<string, Placed<number>[]>();
    for (const { offset, value } of records) {
      const name = `${value.writer}/${value.lane}/${value.seq}`;
      const parts = found.get(name) ?? [];
      found.set(name, parts);
      parts.push({ offset, value: value.part });
    }
    const last = new Map<string, number>();
    for (const { value } of records) last.set(`${value.writer}/${value.lane}`, value.seq);
    for (const name of new Set([...last.keys(), ...appended.keys()])) {
      if (last.get(name) === appended.get(name)) continue;
      this.#report(
        "half",
        `the last record of ${name} is of write ${last.get(name)}, its key says ${appended.get(name)}`,
      );
    }
    for (const [name, writes] of this.#of("append")) this.#appends(name, writes, found);
    for (const name of found.keys()) this.#report("unasked", `records of ${name}, which nobody wrote`);
  }

  transfers({ balances, transfers, transferCount, transferred }: Snapshot): void {
    this.#dense("transferred", transferred);
    this.#balances(balances, transfers);
    if (transferCount !== transfers.size) {
      this.#report(
        transferCount > transfers.size ? "twice" : "half",
        `${transfers.size} transfers, counted as ${transferCount}`,
      );
    }
    const ids = transferred.map(({ value }) => `${value.writer}/${value.lane}/${value.seq}`);
    for (const id of repeated(ids)) this.#report("twice", `transfer ${id} stands in the log more than once`);
    for (const id of new Set(ids).symmetricDifference(new Set(transfers.keys()))) {
      this.#report("half", `transfer ${id} is ${transfers.has(id) ? "a key" : "a record"} only`);
    }
    for (const [name, writes] of this.#of("transfer")) {
      for (const write of writes) {
        const there = transfers.has(`${name}/${write.seq}`);
        if (isAcknowledged(write) && !there) this.#report("lost", `transfer ${name}/${write.seq}`);
        if (isInDoubt(write) && there) this.#landed++;
      }
    }
    for (const id of transfers.keys()) {
      const at = id.lastIndexOf("/");
      this.#issued(`transfer ${id}`, id.slice(0, at), Number(id.slice(at + 1)));
    }
  }

  counts({ counts, total }: Snapshot): void {
    for (const [name, writes] of this.#of("count")) {
      const acknowledged = writes.filter(isAcknowledged).length;
      const inDoubt = writes.filter(isInDoubt).length;
      const sum = counts.get(name) ?? 0;
      this.#landed += Math.max(0, sum - acknowledged);
      if (sum < acknowledged)
        this.#report("lost", `count ${name} is ${sum} after ${acknowledged} acknowledged adds of 1`);
      if (sum > acknowledged + inDoubt) {
        this.#report(
          "twice",
          `count ${name} is ${sum} after ${acknowledged} acknowledged adds of 1 and ${inDoubt} in doubt`,
        );
      }
    }
    this.#known("count", counts.keys());
    const sum = [...counts.values()].reduce((a, b) => a + b, 0);
    if (total !== sum)
      this.#report("half", `the counts add up to ${sum}, the total added in the same commits is ${total}`);
  }

  result(): Audit {
    const writes = [...this.#lanes.values()].flat();
    return {
      violations: this.#violations,
      acknowledged: writes.filter(isAcknowledged).length,
      inDoubt: writes.filter(isInDoubt).length,
      landed: this.#landed,
      refused: writes.filter(({ outcome }) => outcome === "refused").length,
    };
  }

  /** A key that the lane overwrites with each write: it holds the last one acknowledged, or one in doubt. */
  #latest(name: string, writes: readonly Write[], present: number): void {
    if (present !== 0) this.#issued("a batch", name, present);
    const last = writes.findLast(isAcknowledged)?.seq ?? 0;
    // One in doubt may arrive late, after others were acknowledged.
    const late = writes[present - 1]?.outcome === "in doubt";
    if (late) this.#landed++;
    if (present < last && !late) this.#report("lost", `batch ${last} of ${name}: its keys hold ${present}`);
  }

  /** The writes of an append lane against its records, which are taken out of `found`. */
  #appends(name: string, writes: readonly Write[], found: Map<string, Placed<number>[]>): void {
    let before = -1;
    for (const { seq, outcome, result } of writes) {
      const parts = found.get(`${name}/${seq}`) ?? [];
      found.delete(`${name}/${seq}`);
      const what = `append ${seq} of ${name}`;
      if (parts.length === 0 && outcome === "acknowledged") this.#report("lost", what);
      if (parts.length === 0) continue;
      this.#issued("a record", name, seq);
      this.#parts(what, seq, parts);
      if (outcome === "in doubt") this.#landed++;
      if (outcome !== "acknowledged") continue;
      const offset = parts[0]?.offset as number;
      if (offset !== result) this.#report("gap", `${what} was acknowledged at offset ${result} and lies at ${offset}`);
      if (offset <= before) this.#report("gap", `${what} lies at offset ${offset}, an earlier one at ${before}`);
      before = offset;
    }
  }

  /** Parts 0 to n - 1, once each, side by side. */
  #parts(what: string, seq: number, parts: readonly Placed<number>[]): void {
    const wanted = partsOf(seq);
    if (repeated(parts.map(({ value }) => value)).length > 0)
      this.#report("twice", `${what}: ${parts.length} records of ${wanted}`);
    else if (parts.length !== wanted) this.#report("half", `${what}: ${parts.length} records of ${wanted}`);
    else if (parts.some(({ offset, value }, i) => value !== i || offset !== (parts[0]?.offset as number) + i)) {
      this.#report("gap", `${what}: its records lie at ${parts.map(({ offset }) => offset).join(", ")}`);
    }
  }

  #dense(topic: string, records: readonly Placed<unknown>[]): void {
    const wrong = records.findIndex(({ offset }, i) => offset !== i);
    if (wrong >= 0) this.#report("gap", `topic ${topic}: record ${wrong} has offset ${records[wrong]?.offset}`);
  }

  /** The balances follow from the transfers. The sum alone would not show one applied twice. */
  #balances(balances: readonly number[], transfers: ReadonlyMap<string, Transfer>): void {
    const wanted = Array.from({ length: accounts }, () => initialBalance);
    for (const { from, to, amount } of transfers.values()) {
      wanted[from] = (wanted[from] as number) - amount;
      wanted[to] = (wanted[to] as number) + amount;
    }
    if (balances.join() === wanted.join()) return;
    this.#report("half", `the balances are ${balances.join(", ")}, by the transfers ${wanted.join(", ")}`);
  }

  /** What is there was issued, and its writer was not told that it had not been applied. */
  #issued(what: string, name: string, seq: number): void {
    const write = this.#lanes.get(name)?.[seq - 1];
    if (!write) this.#report("unasked", `${what}: write ${seq} of ${name} was never issued`);
    else if (write.outcome === "refused")
      this.#report("unasked", `${what}: write ${seq} of ${name} was reported as not applied`);
  }

  #known(kind: string, names: Iterable<string>): void {
    for (const name of names)
      if (!this.#lanes.has(name)) this.#report("unasked", `${kind} ${name}, which nobody wrote`);
  }

  #of(kind: string): [string, readonly Write[]][] {
    return [...this.#lanes].filter(([name]) => name.includes(`/${kind}.`));
  }

  #report(kind: ViolationKind, what: string): void {
    this.#violations.push({ kind, what });
  }
}

function isAcknowledged({ outcome }: Write): boolean {
  return outcome === "acknowledged";
}

function isInDoubt({ outcome }: Write): boolean {
  return outcome === "in doubt";
}

function repeated<T>(items: readonly T[]): T[] {
  const seen = new Set<T>();
  return items.filter((item) => seen.has(item) || !seen.add(item));
}
