import type { Checker, CheckResult } from "../checker.ts";
import type { Operation } from "../history.ts";
import { type Access, sessionHistoryOf } from "./session-history.ts";

/** The names of Bouajjani, Enea, Guerraoui and Hamza. */
export type CausalPattern = "ThinAirRead" | "CyclicCO" | "WriteCOInitRead" | "WriteCORead";

/**
 * Whether gets and sets are causally consistent: each client's operations in their order, and a set before the gets
 * that return it, and whatever follows from both; and no get returns what a set that is causally between has replaced.
 * Decided by the absence of four patterns, which is exact for values that are unique per key: Bouajjani, Enea,
 * Guerraoui and Hamza, "On Verifying Causal Consistency" (POPL 2017), theorem for CC. It is their weak form: clients
 * may see concurrent sets in different orders, and one client may see them change places.
 * - ThinAirRead: a get of a value that nobody set;
 * - CyclicCO: causality goes round in a circle;
 * - WriteCOInitRead: a get of null after, causally, a set of the key;
 * - WriteCORead: a get of a value although another set of the key is causally after it and before the get.
 *
 * A set of unknown outcome may take effect late, so its client's later operations do not follow it. The operations and
 * options of the history are those of `sessions`. Time and memory grow with the operations times the clients.
 * @throws InvalidArgumentError from `check`: as `sessions`
 */
export function causal(): Checker {
  const name = "causal consistency";
  return {
    name,
    check(history): CheckResult {
      const found = new CausalOrder(sessionHistoryOf(history).accesses).findPattern();
      if (!found) {
        const summary = `the ${history.length} operations are causally consistent`;
        return { check: name, verdict: "ok", summary, explanation: [], operations: [] };
      }
      const operations = [...new Set(found.accesses.map(({ operation }) => operation))];
      operations.sort((a: Operation, b: Operation) => a.called - b.called);
      const { pattern, summary, explanation } = found;
      return { check: name, verdict: "violated", summary: `${pattern}: ${summary}`, explanation, operations };
    },
  };
}

interface Found {
  readonly pattern: CausalPattern;
  readonly summary: string;
  readonly explanation: readonly string[];
  readonly accesses: readonly Access[];
}

class CausalOrder {
  readonly #accesses: readonly Access[];
  /** By access: what directly follows. */
  readonly #next: number[][];
  /**
   * Causality is kept as one number per column: clients, and sets of unknown outcome that were seen, which nothing of
   * their client follows.
   */
  readonly #columns: number[];
  readonly #places: number[];
  #width = 0;
  /** By access and column: how many of the column's accesses are causally before it or are itself. */
  #clocks = new Int32Array();
  /** By column and key: its sets in their order. */
  readonly #sets = new Map<string, Map<number, number[]>>();

  constructor(accesses: readonly Access[]) {
    this.#accesses = accesses;
    this.#next = accesses.map(() => []);
    this.#columns = accesses.map(() => -1);
    this.#places = accesses.map(() => 0);
    this.#link();
  }

  findPattern(): Found | undefined {
    for (const access of this.#accesses) {
      if (access.version !== undefined) continue;
      const summary = `${tell(access)}, which nobody set`;
      return { pattern: "ThinAirRead", summary, explanation: [summary], accesses: [access] };
    }
    const order = this.#topologicalOrder();
    if (order.length < this.#accesses.length) return this.#cycle(order);
    this.#computeClocks(order);
    for (const [number, access] of this.#accesses.entries()) {
      const found = access.isSet ? undefined : this.#judge(number, access);
      if (found) return found;
    }
    return undefined;
  }

  #link(): void {
    const seen = new Set(this.#accesses.flatMap(({ isSet, version }) => (isSet ? [] : version)));
    const columns = new Map<string, { column: number; last: number | undefined; count: number }>();
    for (const [number, access] of this.#accesses.entries()) {
      const session = columns.get(access.client) ?? { column: this.#width++, last: undefined, count: 0 };
      columns.set(access.client, session);
      if (session.last !== undefined) this.#next[session.last]?.push(number);
      if (!access.isSet && access.version !== undefined && access.version >= 0)
        this.#next[access.version]?.push(number);
      const isLate = access.operation.outcome !== "ok";
      if (isLate && !seen.has(number)) continue;
      this.#columns[number] = isLate ? this.#width++ : session.column;
      this.#places[number] = isLate ? 1 : ++session.count;
      if (!isLate) session.last = number;
      if (access.isSet) this.#addSet(access.key, this.#columns[number] ?? 0, number);
    }
  }

  #addSet(key: string, column: number, number: number): void {
    const byColumn = this.#sets.get(key) ?? new Map<number, number[]>();
    this.#sets.set(key, byColumn);
    const sets = byColumn.get(column);
    if (sets) sets.push(number);
    else byColumn.set(column, [number]);
  }

  /** Kahn's algorithm; what lies on a cycle or after one is left out. */
  #topologicalOrder(): number[] {
    const waiting = new Int32Array(this.#accesses.length);
    for (const next of this.#next) for (const to of next) waiting[to] = (waiting[to] ?? 0) + 1;
    const order = [...this.#accesses.keys()].filter((number) => waiting[number] === 0);
    for (let i = 0; i < order.length; i++) {
      for (const to of this.#next[order[i] ?? 0] ?? []) {
        const left = (waiting[to] ?? 0) - 1;
        waiting[to] = left;
        if (left === 0) order.push(to);
      }
    }
    return order;
  }

  #computeClocks(order: readonly number[]): void {
    const width = this.#width;
    const clocks = new Int32Array(this.#accesses.length * width);
    for (const number of order) {
      const column = this.#columns[number] ?? -1;
      if (column >= 0) clocks[number * width + column] = this.#places[number] ?? 0;
      for (const to of this.#next[number] ?? []) {
        for (let i = 0; i < width; i++) {
          const known = clocks[number * width + i] ?? 0;
          if (known > (clocks[to * width + i] ?? 0)) clocks[to * width + i] = known;
        }
      }
    }
    this.#clocks = clocks;
  }

  #isBefore(a: number, b: number): boolean {
    return a !== b && (this.#clocks[b * this.#width + (this.#columns[a] ?? 0)] ?? 0) >= (this.#places[a] ?? 0);
  }

  /**
   * In each column the last set before the get decides: what is causally before an earlier one is before it as well.
   */
  #judge(get: number, access: Access): Found | undefined {
    const { key, version = -1 } = access;
    for (const [column, sets] of this.#sets.get(key) ?? []) {
      const known = this.#clocks[get * this.#width + column] ?? 0;
      const last = lastUpTo(sets, (number) => (this.#places[number] ?? 0) <= known);
      if (last === undefined || last === version) continue;
      if (version >= 0 && !this.#isBefore(version, last)) continue;
      const from = version >= 0 ? this.#path(version, last) : [last];
      const path = [...from, ...this.#path(last, get).slice(1)];
      const accesses = path.flatMap((number) => this.#accesses[number] ?? []);
      const replaced = this.#accesses[last];
      return {
        pattern: version >= 0 ? "WriteCORead" : "WriteCOInitRead",
        summary: `${tell(access)}, though causally before it ${replaced ? tell(replaced) : ""}`,
        explanation: story(accesses),
        accesses,
      };
    }
    return undefined;
  }

  #cycle(order: readonly number[]): Found {
    const done = new Set(order);
    // Each that is left has a predecessor that is left: going back, one comes round.
    const before = new Map<number, number>();
    for (const [from, next] of this.#next.entries()) {
      if (!done.has(from)) for (const to of next) before.set(to, from);
    }
    const visited = new Set<number>();
    let at = this.#accesses.findIndex((_, number) => !done.has(number));
    for (; !visited.has(at); at = before.get(at) ?? at) visited.add(at);
    const cycle = [at];
    for (let i = before.get(at) ?? at; i !== at; i = before.get(i) ?? at) cycle.unshift(i);
    const accesses = [at, ...cycle].flatMap((number) => this.#accesses[number] ?? []);
    const summary = `causality goes round through ${cycle.length} operations`;
    return { pattern: "CyclicCO", summary, explanation: story(accesses), accesses };
  }

  /** A shortest chain of causes, both ends included. */
  #path(from: number, to: number): number[] {
    const cameFrom = new Map<number, number>([[from, from]]);
    const queue = [from];
    for (let i = 0; i < queue.length && !cameFrom.has(to); i++) {
      for (const next of this.#next[queue[i] ?? 0] ?? []) {
        if (cameFrom.has(next)) continue;
        cameFrom.set(next, queue[i] ?? 0);
        queue.push(next);
      }
    }
    const path = [to];
    for (let at = to; at !== from; ) {
      at = cameFrom.get(at) ?? from;
      path.unshift(at);
    }
    return path;
  }
}

/** The last item of those that fulfil a condition, which are a beginning of the list. */
function lastUpTo(items: readonly number[], holds: (item: number) => boolean): number | undefined {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle] ?? 0)) low = middle + 1;
    else high = middle;
  }
  return items[low - 1];
}

/** A long chain is cut in the middle. */
function story(accesses: readonly Access[]): string[] {
  const lines = accesses.map((access, i) => (i === 0 ? tell(access) : `then ${tell(access)}`));
  if (lines.length <= 24) return lines;
  return [...lines.slice(0, 12), `then ${lines.length - 24} more, each because of the one before`, ...lines.slice(-12)];
}

function tell({ operation, key, isSet, client }: Access): string {
  const value = JSON.stringify((isSet ? operation.input : operation.output) ?? null);
  const did = isSet ? `set ${value} to` : `got ${value} from`;
  return `client ${client} ${did} ${JSON.stringify(key)} (operation ${operation.id})`;
}
