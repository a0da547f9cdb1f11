import { Fan, type GraphBuilder } from "./dependency-graph.ts";
import { type Findings, show } from "./findings.ts";
import type { Key, Transaction, Value, Workload } from "./micro-operations.ts";

/** What is known of a version of a register. */
interface Version {
  readonly key: Key;
  /** The number of its write; -1 is the version before all writes. */
  readonly write: number;
  readonly readers: Set<number>;
  /** Transactions that wrote the key later, with the number of their last write to it. */
  readonly later: Map<number, number>;
  /** Those of `later` that had read this version before: in any serial order, only one can. */
  readonly updaters: Set<number>;
}

/**
 * Infers the dependencies of transactions on registers. A register does not tell what it held before, so the order of
 * versions is known only where it is certain: nothing was written before the first read of null, and what a transaction
 * wrote to a key is after what it had read of it. Weaker than lists: blind writes are in no order, and cycles through
 * them are not seen.
 */
export class ReadWriteRegister {
  readonly #workload: Workload;
  readonly #graph: GraphBuilder;
  readonly #findings: Findings;
  readonly #versions = new Map<Key, Map<number, Version>>();
  /** By number of the transaction: whether it is taken to have taken place. */
  readonly committed: boolean[];

  constructor(workload: Workload, graph: GraphBuilder, findings: Findings) {
    this.#workload = workload;
    this.#graph = graph;
    this.#findings = findings;
    this.committed = workload.transactions.map(({ operation }) => operation.outcome === "ok");
  }

  infer(): void {
    const { transactions, writes } = this.#workload;
    for (const [node, transaction] of transactions.entries())
      if (transaction.operation.outcome === "ok") this.#judge(node, transaction);
    for (const [number, { key, by, isLast }] of writes.entries())
      if (isLast && this.committed[by]) this.#version(key, -1).later.set(by, number);
    for (const versions of this.#versions.values()) for (const version of versions.values()) this.#order(version);
  }

  #version(key: Key, write: number): Version {
    let ofKey = this.#versions.get(key);
    if (!ofKey) {
      ofKey = new Map();
      this.#versions.set(key, ofKey);
    }
    let version = ofKey.get(write);
    if (!version) {
      version = { key, write, readers: new Set(), later: new Map(), updaters: new Set() };
      ofKey.set(write, version);
    }
    return version;
  }

  #order({ key, write, readers, later, updaters }: Version): void {
    const { transactions, writes } = this.#workload;
    const writer = writes[write]?.by;
    const fan = new Fan(this.#graph, [...later.keys()], [...later.values()]);
    if (writer !== undefined && this.committed[writer]) {
      fan.connect(writer, "ww");
      for (const reader of readers) this.#graph.addEdge(writer, reader, "wr", write);
    }
    for (const reader of readers) fan.connect(reader, "rw");
    if (updaters.size < 2) return;
    const value = writes[write]?.value;
    const version = value === undefined ? "null" : show(value);
    const ids = [...updaters].slice(0, 4).map((node) => transactions[node]?.operation.id);
    this.#findings.add(
      "lost-update",
      [...updaters].slice(0, 4),
      `${updaters.size} transactions read ${show(key)} as ${version} and then wrote it: ${ids.join(", ")}`,
    );
  }

  #judge(node: number, { micro, operation }: Transaction): void {
    const { writes } = this.#workload;
    const own = new Map<Key, Value>();
    const read = new Map<Key, Version>();
    for (const each of micro) {
      const written = own.get(each.key);
      if ("write" in each) {
        own.set(each.key, writes[each.write]?.value ?? "");
        const version = read.get(each.key);
        if (!version) continue;
        version.later.set(node, each.write);
        version.updaters.add(node);
        continue;
      }
      const saw = each.saw?.[0];
      const text = `transaction ${operation.id} read ${show(each.key)} as ${saw === undefined ? "null" : show(saw)}`;
      if (written !== undefined) {
        if (saw !== written)
          this.#findings.add("internal", [node], `${text}, though it had itself written ${show(written)}`);
        continue;
      }
      const write = saw === undefined ? -1 : this.#source(node, each.key, saw, text);
      if (write === undefined) continue;
      const version = this.#version(each.key, write);
      const earlier = read.get(each.key);
      if (earlier && earlier !== version)
        this.#findings.add("non-repeatable-read", [node], `${text}, which it had read differently before`);
      read.set(each.key, version);
      version.readers.add(node);
    }
  }

  /** The number of the write that a read saw, unless it cannot be a version that others may see. */
  #source(node: number, key: Key, saw: Value, text: string): number | undefined {
    const { transactions, writes, find } = this.#workload;
    const number = find(key, saw);
    const write = writes[number ?? -1];
    if (!write) {
      this.#findings.add("garbage-read", [node], `${text}: nobody wrote it`);
      return undefined;
    }
    const { operation } = transactions[write.by] ?? {};
    if (write.by === node) {
      this.#findings.add("internal", [node], `${text}, which it wrote only later`);
      return undefined;
    }
    if (operation?.outcome === "failed") {
      this.#findings.add("G1a", [node, write.by], `${text}: transaction ${operation.id}, which wrote it, had failed`);
      return undefined;
    }
    this.committed[write.by] = true;
    if (!write.isLast)
      this.#findings.add("G1b", [node, write.by], `${text}: transaction ${operation?.id} wrote it again afterwards`);
    return number;
  }
}
