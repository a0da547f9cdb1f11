/**
 * Whether a history of transactions could have come from running them one after another in an order that respects real time (strict
 * serialisability), decided from the history alone. Every value written is unique, so a read tells whose writes it saw; lists that are only appended to tell
 * the order of their writes. The graph of what must come before what has a cycle if and only if there is no such order. After Kingsbury and
 * Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB 2020), for histories without lost answers.
 */
export interface TransactionRecord {
  readonly id: string;
  /** When it was called and when it had returned, on one counter. */
  readonly called: number;
  readonly returned: number;
  readonly operations: readonly Operation[];
}

export type Operation =
  /** Put the value at the end of a list. */
  | { readonly append: string; readonly value: string }
  /** Saw these values in the list, those that it had appended itself before included. */
  | { readonly list: string; readonly saw: readonly string[] }
  /** Put a member into a set, under a key that no read named. */
  | { readonly insert: string; readonly value: string }
  /** Saw these members in the set, by reading a range. */
  | { readonly range: string; readonly saw: readonly string[] };

/** The lists and sets in the end. */
export interface FinalState {
  readonly lists: Readonly<Record<string, readonly string[]>>;
  readonly sets: Readonly<Record<string, readonly string[]>>;
}

/** Returns what is wrong, or `undefined`. */
export function findAnomaly(transactions: readonly TransactionRecord[], final: FinalState): string | undefined {
  return new Dependencies(transactions, final).findAnomaly();
}

interface Edge {
  readonly to: string;
  readonly why: string;
}

class Dependencies {
  readonly #transactions: readonly TransactionRecord[];
  readonly #final: FinalState;
  /** Who wrote a value, by list or set and value. */
  readonly #writers = new Map<string, string>();
  readonly #edges = new Map<string, Edge[]>();
  readonly #problems: string[] = [];

  constructor(transactions: readonly TransactionRecord[], final: FinalState) {
    this.#transactions = transactions;
    this.#final = final;
  }

  findAnomaly(): string | undefined {
    this.#findWriters();
    this.#orderWrites();
    for (const { id, operations } of this.#transactions) {
      const own = new Map<string, string[]>();
      for (const operation of operations) {
        if ("append" in operation) own.set(operation.append, [...(own.get(operation.append) ?? []), operation.value]);
        else if ("list" in operation) this.#listRead(id, operation.list, operation.saw, own.get(operation.list) ?? []);
        else if ("range" in operation) this.#rangeRead(id, operation.range, operation.saw);
      }
    }
    this.#realTime();
    return this.#problems[0] ?? this.#cycle();
  }

  #findWriters(): void {
    for (const { id, operations } of this.#transactions) {
      for (const operation of operations) {
        if ("append" in operation) this.#wrote(id, "list", operation.append, operation.value);
        else if ("insert" in operation) this.#wrote(id, "set", operation.insert, operation.value);
      }
    }
    for (const name of this.#writers.keys()) {
      const [kind, target, value] = JSON.parse(name) as [string, string, string];
      const held = (kind === "list" ? this.#final.lists : this.#final.sets)[target] ?? [];
      const times = held.filter((each) => each === value).length;
      if (times !== 1)
        this.#problems.push(`${value} was written to the ${kind} ${target} once and is there ${times} times`);
    }
  }

  #wrote(id: string, kind: string, target: string, value: string): void {
    const name = JSON.stringify([kind, target, value]);
    if (this.#writers.has(name))
      throw new Error(`${value} was written twice: the history is not one that can be judged`);
    this.#writers.set(name, id);
  }

  /** The writer, or `undefined` with a problem noted: a value from nowhere, such as from a transaction that failed. */
  #writer(kind: string, target: string, value: string): string | undefined {
    const writer = this.#writers.get(JSON.stringify([kind, target, value]));
    if (writer === undefined)
      this.#problems.push(`${value} in the ${kind} ${target} was written by no transaction that took place`);
    return writer;
  }

  #orderWrites(): void {
    for (const [list, values] of Object.entries(this.#final.lists)) {
      for (const [i, value] of values.entries()) {
        const writer = this.#writer("list", list, value);
        const before = i > 0 ? this.#writer("list", list, values[i - 1] as string) : undefined;
        this.#edge(before, writer, `appended to ${list} before`);
      }
    }
    for (const [set, values] of Object.entries(this.#final.sets))
      for (const value of values) this.#writer("set", set, value);
  }

  /** @param own what the reader itself had put there */
  #listRead(id: string, list: string, saw: readonly string[], own: readonly string[]): void {
    const seen = saw.slice(0, Math.max(0, saw.length - own.length));
    if (own.some((value, i) => saw[seen.length + i] !== value)) {
      this.#problems.push(`${id} saw [${saw}] in ${list}, which does not end with its own [${own}]`);
      return;
    }
    const final = this.#final.lists[list] ?? [];
    if (seen.some((value, i) => final[i] !== value)) {
      this.#problems.push(`${id} saw [${saw}] in ${list}, which is no beginning of [${final}]`);
      return;
    }
    const last = seen.at(-1);
    if (last !== undefined)
      this.#edge(this.#writer("list", list, last), id, `wrote ${last}, which was seen in ${list} by`);
    const missed = final[seen.length];
    if (missed !== undefined)
      this.#edge(id, this.#writer("list", list, missed), `did not see ${missed} in ${list}, appended by`);
  }

  #rangeRead(id: string, set: string, saw: readonly string[]): void {
    for (const value of saw)
      this.#edge(this.#writer("set", set, value), id, `inserted ${value}, which was seen in ${set} by`);
    for (const value of this.#final.sets[set] ?? []) {
      if (!saw.includes(value))
        this.#edge(id, this.#writer("set", set, value), `did not see ${value} in ${set}, inserted by`);
    }
  }

  #realTime(): void {
    for (const before of this.#transactions) {
      for (const after of this.#transactions) {
        if (before.returned < after.called) this.#edge(before.id, after.id, "had returned before the call of");
      }
    }
  }

  #edge(from: string | undefined, to: string | undefined, why: string): void {
    if (from === undefined || to === undefined || from === to) return;
    const edges = this.#edges.get(from);
    if (edges) edges.push({ to, why });
    else this.#edges.set(from, [{ to, why }]);
  }

  /** A cycle of what must come before what, told as a story. */
  #cycle(): string | undefined {
    const finished = new Set<string>();
    const path: { id: string; why: string }[] = [];
    const visit = (id: string): string | undefined => {
      const at = path.findIndex((step) => step.id === id);
      if (at >= 0)
        return `${path
          .slice(at)
          .map((step) => `${step.id} ${step.why}`)
          .join(" ")} ${id}`;
      if (finished.has(id)) return undefined;
      for (const { to, why } of this.#edges.get(id) ?? []) {
        path.push({ id, why });
        const found = visit(to);
        if (found !== undefined) return found;
        path.pop();
      }
      finished.add(id);
      return undefined;
    };
    for (const { id } of this.#transactions) {
      const found = visit(id);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
