import { Fan, type GraphBuilder } from "./dependency-graph.ts";
import { type Findings, show } from "./findings.ts";
import type { Key, Transaction, Value, Workload, Write } from "./micro-operations.ts";

/** What is known of a list. */
interface List {
  readonly key: Key;
  /** The longest that was read: the order of the appends. Nobody saw what comes after it, if anything does. */
  order: readonly Value[];
  /** The numbers of the writes in `order`; -1 is a value that nobody wrote. */
  writes: number[];
  /** By position: the first write from there on that took place, or -1. */
  next: number[];
  /** Whether something in `order` is wrong: twice there, from nowhere, or of a transaction that failed. */
  isSuspect: boolean;
  /** Those that were seen in a list that contradicts `order`: nothing is known of where they are. */
  readonly astray: Set<number>;
  /** Those that took place but were not seen: after all of `order`. */
  tail: Fan | undefined;
  /** By the number of elements read: those that read so many and appended afterwards. */
  readonly updaters: Map<number, Set<number>>;
}

/**
 * Infers the dependencies of transactions on lists that are only ever appended to: such a list tells all writes before
 * it, in their order (Kingsbury and Alvaro, section 4). All that is inferred must hold in any order in which
 * transactions could have been run.
 */
export class ListAppend {
  readonly #workload: Workload;
  readonly #graph: GraphBuilder;
  readonly #findings: Findings;
  readonly #lists = new Map<Key, List>();
  /** By number of the write: its position in the order of its list; -1 if nobody saw it there. */
  readonly #positions: Int32Array;
  /** By number of the transaction: whether it is taken to have taken place. */
  readonly committed: boolean[];

  constructor(workload: Workload, graph: GraphBuilder, findings: Findings) {
    this.#workload = workload;
    this.#graph = graph;
    this.#findings = findings;
    this.#positions = new Int32Array(workload.writes.length).fill(-1);
    this.committed = workload.transactions.map(({ operation }) => operation.outcome === "ok");
  }

  infer(): void {
    this.#findOrders();
    this.#findCommitted();
    this.#orderWrites();
    for (const [node, transaction] of this.#workload.transactions.entries()) {
      if (this.committed[node]) this.#checkAppends(node, transaction);
      if (transaction.operation.outcome === "ok") this.#judge(node, transaction);
    }
    for (const { key, updaters } of this.#lists.values()) {
      for (const [seen, nodes] of updaters) {
        if (nodes.size < 2) continue;
        const who = [...nodes];
        this.#findings.add(
          "lost-update",
          who.slice(0, 4),
          `${nodes.size} transactions read ${show(key)} with the same ${seen} elements and then ` +
            `appended to it: ${names(this.#workload, who)}`,
        );
      }
    }
  }

  #list(key: Key): List {
    let list = this.#lists.get(key);
    if (!list) {
      list = {
        key,
        order: [],
        writes: [],
        next: [],
        isSuspect: false,
        astray: new Set(),
        tail: undefined,
        updaters: new Map(),
      };
      this.#lists.set(key, list);
    }
    return list;
  }

  #findOrders(): void {
    for (const { micro, operation } of this.#workload.transactions) {
      for (const each of micro) {
        const list = this.#list(each.key);
        if (operation.outcome !== "ok" || !("saw" in each) || !each.saw) continue;
        if (each.saw.length > list.order.length) list.order = each.saw;
      }
    }
    const { transactions, writes, find } = this.#workload;
    for (const list of this.#lists.values()) {
      list.writes = list.order.map((value) => find(list.key, value) ?? -1);
      const isWrong = (write: number) => transactions[writes[write]?.by ?? -1]?.operation.outcome !== "ok";
      list.isSuspect = list.writes.some(isWrong) || new Set(list.order).size < list.order.length;
    }
  }

  /** A transaction of unknown outcome took place if some of what it wrote was seen by one that did. */
  #findCommitted(): void {
    const see = (write: number) => {
      const by = this.#workload.writes[write]?.by;
      if (by !== undefined && this.#workload.transactions[by]?.operation.outcome === "unknown")
        this.committed[by] = true;
    };
    for (const list of this.#lists.values()) list.writes.forEach(see);
    for (const { micro, operation } of this.#workload.transactions) {
      if (operation.outcome !== "ok") continue;
      for (const each of micro) {
        if (!("saw" in each) || !each.saw) continue;
        const list = this.#list(each.key);
        if (isPrefix(each.saw, list.order)) continue;
        for (const value of each.saw) {
          const write = this.#workload.find(each.key, value);
          if (write === undefined) continue;
          list.astray.add(write);
          see(write);
        }
      }
    }
  }

  #orderWrites(): void {
    const tails = new Map<List, Map<number, number>>();
    for (const { writes } of this.#lists.values())
      for (const [i, write] of writes.entries()) if (write >= 0) this.#positions[write] = i;
    for (const [number, { key, by }] of this.#workload.writes.entries()) {
      const list = this.#list(key);
      if (!this.committed[by] || (this.#positions[number] ?? -1) >= 0 || list.astray.has(number)) continue;
      const tail = tails.get(list) ?? new Map<number, number>();
      if (!tail.has(by)) tail.set(by, number);
      tails.set(list, tail);
    }
    for (const list of this.#lists.values()) {
      let next = -1;
      for (let i = list.writes.length - 1; i >= 0; i--) {
        const write = list.writes[i] ?? -1;
        if (this.#committedBy(write) !== undefined) {
          const [from, to] = [this.#committedBy(write), this.#committedBy(next)];
          if (from !== undefined && to !== undefined) this.#graph.addEdge(from, to, "ww", next);
          next = write;
        }
        list.next[i] = next;
      }
      const tail = tails.get(list);
      if (!tail) continue;
      list.tail = new Fan(this.#graph, [...tail.keys()], [...tail.values()]);
      const last = this.#lastCommitted(list.writes);
      if (last !== undefined) list.tail.connect(last.by, "ww");
    }
  }

  #committedBy(write: number): number | undefined {
    const by = this.#workload.writes[write]?.by;
    return by !== undefined && this.committed[by] ? by : undefined;
  }

  #lastCommitted(writes: readonly number[]): Write | undefined {
    const last = writes.findLast((write) => this.#committedBy(write) !== undefined);
    return last === undefined ? undefined : this.#workload.writes[last];
  }

  /** That the order of appends within a transaction is that in the list. */
  #checkAppends(node: number, { micro, operation }: Transaction): void {
    const positions = new Map<Key, number>();
    for (const each of micro) {
      if (!("write" in each)) continue;
      const list = this.#list(each.key);
      const at = this.#positions[each.write] ?? -1;
      const before = positions.get(each.key);
      const position = at < 0 ? Infinity : at;
      if (before !== undefined && position < before && !list.astray.has(each.write)) {
        const value = this.#workload.writes[each.write]?.value ?? "";
        const problem =
          before === Infinity ? "but not what it had appended before" : "before what it had appended earlier";
        this.#findings.add(
          "incompatible-order",
          [node],
          `${show(each.key)} has ${show(value)} of transaction ${operation.id}, ${problem}: ${show(list.order)}`,
        );
      }
      positions.set(each.key, Math.max(before ?? -1, position));
    }
  }

  #judge(node: number, transaction: Transaction): void {
    const own = new Map<Key, Value[]>();
    const read = new Map<Key, number>();
    for (const each of transaction.micro) {
      const appended = own.get(each.key) ?? [];
      if ("write" in each) {
        const seen = read.get(each.key);
        if (seen !== undefined && appended.length === 0) {
          const updaters = this.#list(each.key).updaters;
          updaters.set(seen, (updaters.get(seen) ?? new Set()).add(node));
        }
        own.set(each.key, [...appended, this.#workload.writes[each.write]?.value ?? ""]);
        continue;
      }
      const list = this.#list(each.key);
      const saw = each.saw ?? [];
      this.#checkInternal(node, list, saw, appended);
      const isKnown = isPrefix(saw, list.order);
      if (!isKnown) this.#contradicted(node, list, saw);
      if (isKnown) read.set(each.key, saw.length);
      else read.delete(each.key);
      this.#checkSources(node, list, saw, isKnown);
      this.#depend(node, list, saw, isKnown);
    }
  }

  /** A read must end with what the transaction has appended so far, and have nothing that it will append later. */
  #checkInternal(node: number, list: List, saw: readonly Value[], appended: readonly Value[]): void {
    const why = this.#contradictsItself(node, list.key, saw, appended);
    if (why === undefined) return;
    const id = this.#workload.transactions[node]?.operation.id;
    this.#findings.add("internal", [node], `transaction ${id} read ${show(list.key)} as ${show(saw)}, ${why}`);
  }

  #contradictsItself(node: number, key: Key, saw: readonly Value[], appended: readonly Value[]): string | undefined {
    const start = saw.length - appended.length;
    if (start < 0 || appended.some((value, i) => saw[start + i] !== value))
      return `though it had itself appended ${show(appended)}`;
    for (const each of this.#workload.transactions[node]?.micro ?? []) {
      if (!("write" in each) || each.key !== key) continue;
      const value = this.#workload.writes[each.write]?.value ?? "";
      if (!appended.includes(value) && saw.includes(value)) return `with ${show(value)}, which it appended only later`;
    }
    return undefined;
  }

  #contradicted(node: number, list: List, saw: readonly Value[]): void {
    const id = this.#workload.transactions[node]?.operation.id;
    if (new Set(saw).size < saw.length) return;
    this.#findings.add(
      "incompatible-order",
      [node],
      `transaction ${id} read ${show(list.key)} as ${show(saw)}, elsewhere it was read as ` +
        `${show(list.order)}: neither begins with the other`,
    );
  }

  #checkSources(node: number, list: List, saw: readonly Value[], isKnown: boolean): void {
    const { transactions, writes } = this.#workload;
    const id = transactions[node]?.operation.id;
    const read = `transaction ${id} read ${show(list.key)} as ${show(saw)}`;
    const numbers = isKnown ? list.writes : saw.map((value) => this.#workload.find(list.key, value) ?? -1);
    const isSuspect = !isKnown || list.isSuspect;
    if (isSuspect && new Set(saw).size < saw.length)
      this.#findings.add("duplicate-elements", [node], `${read}, with an element that was appended once`);
    for (let i = 0; isSuspect && i < saw.length; i++) {
      const write = writes[numbers[i] ?? -1];
      const value = show(saw[i] ?? "");
      if (!write) this.#findings.add("garbage-read", [node], `${read}: nobody appended ${value}`);
      else if (transactions[write.by]?.operation.outcome === "failed")
        this.#findings.add(
          "G1a",
          [node, write.by],
          `${read}: transaction ${transactions[write.by]?.operation.id}, which appended ${value}, had failed`,
        );
    }
    const last = writes[numbers[saw.length - 1] ?? -1];
    if (last && !last.isLast && last.by !== node)
      this.#findings.add(
        "G1b",
        [node, last.by],
        `${read}: transaction ${transactions[last.by]?.operation.id} appended more to it after ${show(last.value)}`,
      );
  }

  #depend(node: number, list: List, saw: readonly Value[], isKnown: boolean): void {
    const numberAt = (i: number) => (isKnown ? list.writes[i] : this.#workload.find(list.key, saw[i] ?? "")) ?? -1;
    let end = saw.length;
    while (end > 0 && this.#workload.writes[numberAt(end - 1)]?.by === node) end--;
    for (let i = end - 1; i >= 0; i--) {
      const writer = this.#committedBy(numberAt(i));
      if (writer === undefined) continue;
      this.#graph.addEdge(writer, node, "wr", numberAt(i));
      break;
    }
    if (!isKnown) return;
    const missed = list.next[end] ?? -1;
    const writer = this.#committedBy(missed);
    if (writer !== undefined) this.#graph.addEdge(node, writer, "rw", missed);
    else list.tail?.connect(node, "rw");
  }
}

function isPrefix(values: readonly Value[], of: readonly Value[]): boolean {
  if (values.length > of.length) return false;
  for (let i = 0; i < values.length; i++) if (values[i] !== of[i]) return false;
  return true;
}

function names({ transactions }: Workload, nodes: readonly number[]): string {
  const ids = nodes.slice(0, 4).map((node) => transactions[node]?.operation.id);
  return `${ids.join(", ")}${nodes.length > 4 ? " …" : ""}`;
}
