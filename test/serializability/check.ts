import type { Step, Transacted } from "./history.ts";

/**
 * What is wrong with the history if every transaction that committed took effect at one instant between its call and its answer (strict
 * serialisability); empty if nothing is. After "Elle" (Kingsbury and Alvaro, VLDB 2020): the order of a key's versions
 * follows from the lists read; from it follow the edges of Adya's serialisation graph; a cycle is an anomaly.
 *
 *   ww: appended right after what the other appended        wr: read what the other appended last
 *   rw: read the version that the other's append replaced   rt: ended before the other began
 *
 * Complete for keys whose last state some transaction read; a transaction of unknown outcome counts once its value was read.
 */
export function anomaliesOf(history: readonly Transacted[]): string[] {
  const writers = writersOf(history);
  const anomalies = [...misreads(history, writers)];
  const orders = new Map<string, readonly number[]>();
  for (const [key, reads] of readsByKey(history)) orders.set(key, orderOf(key, reads, anomalies));
  anomalies.push(...unread(history, orders));
  if (anomalies.length > 0) return anomalies;
  const edges = new Edges();
  dependencies(history, writers, orders, edges);
  realTime(history, edges);
  return cycles(edges);
}

type EdgeKind = "ww" | "wr" | "rw" | "rt";

/** From node to node, with why. A node is a transaction's id or an instant. */
class Edges {
  readonly from = new Map<string, Map<string, string>>();

  add(from: string, to: string, kind: EdgeKind, why = ""): void {
    if (from === to) return;
    const targets = this.from.get(from) ?? new Map<string, string>();
    this.from.set(from, targets);
    if (!targets.has(to)) targets.set(to, `${kind}${why && ` ${why}`}`);
  }
}

interface Writer {
  readonly transaction: Transacted;
  /** Whether the transaction appended again to the key afterwards. */
  readonly intermediate: boolean;
}

/** Who appended a value, by `key value`. @throws Error the workload gave one value out twice */
function writersOf(history: readonly Transacted[]): Map<string, Writer> {
  const writers = new Map<string, Writer>();
  for (const transaction of history) {
    const appends = transaction.steps.filter((step) => step.kind === "append");
    for (const [i, { key, value }] of appends.entries()) {
      if (writers.has(`${key} ${value}`)) throw new Error(`${key} got the value ${value} from two transactions`);
      const intermediate = appends.slice(i + 1).some((later) => later.key === key);
      writers.set(`${key} ${value}`, { transaction, intermediate });
    }
  }
  return writers;
}

/** Reads of what no committed transaction wrote as its last word, or not even appended once. */
function* misreads(history: readonly Transacted[], writers: ReadonlyMap<string, Writer>): Generator<string> {
  for (const { id, outcome, steps } of history) {
    if (outcome !== "committed") continue;
    for (const [i, step] of steps.entries()) {
      if (step.kind !== "read") continue;
      const { key, values } = step;
      if (new Set(values).size < values.length) yield `${id} read ${show(step)}: a value twice`;
      for (const value of values) {
        const writer = writers.get(`${key} ${value}`);
        if (!writer) yield `${id} read ${show(step)}: nobody appended ${value}`;
        else if (writer.transaction.outcome === "aborted") yield `${id} read ${show(step)}: ${value} was aborted (G1a)`;
      }
      const last = writers.get(`${key} ${values.at(-1)}`);
      if (last?.intermediate && last.transaction.id !== id)
        yield `${id} read ${show(step)}: an intermediate state (G1b)`;
      const own = steps.slice(0, i).filter((earlier) => earlier.kind === "append" && earlier.key === key);
      const tail = values.slice(values.length - own.length);
      if (own.some((earlier, at) => earlier.kind === "append" && earlier.value !== tail[at])) {
        yield `${id} read ${show(step)}: not what it had itself appended`;
      }
    }
  }
}

/** All lists read of each key, by transactions that committed. */
function readsByKey(history: readonly Transacted[]): Map<string, (readonly number[])[]> {
  const found = new Map<string, (readonly number[])[]>();
  for (const { outcome, steps } of history) {
    for (const step of steps) {
      if (step.kind !== "read" || outcome !== "committed") continue;
      const reads = found.get(step.key) ?? [];
      found.set(step.key, reads);
      reads.push(step.values);
    }
  }
  return found;
}

/** The longest list read. Every other one is a beginning of it, or two reads saw different pasts. */
function orderOf(key: string, reads: readonly (readonly number[])[], anomalies: string[]): readonly number[] {
  const longest = reads.reduce((a, b) => (b.length > a.length ? b : a), []);
  for (const values of reads) {
    if (values.every((value, i) => value === longest[i])) continue;
    anomalies.push(`${key} was read as ${values.join(" ")} and as ${longest.join(" ")}: neither begins the other`);
  }
  return longest;
}

/** Acknowledged appends that the longest list lacks. The workload reads every key at its end. */
function* unread(history: readonly Transacted[], orders: ReadonlyMap<string, readonly number[]>): Generator<string> {
  for (const { id, outcome, steps } of history) {
    if (outcome !== "committed") continue;
    for (const step of steps) {
      if (step.kind === "append" && !orders.get(step.key)?.includes(step.value)) {
        yield `${id} appended ${step.value} to ${step.key}, and no read shows it: lost`;
      }
    }
  }
}

function dependencies(
  history: readonly Transacted[],
  writers: ReadonlyMap<string, Writer>,
  orders: ReadonlyMap<string, readonly number[]>,
  edges: Edges,
): void {
  const writerOf = (key: string, value: number | undefined): string | undefined =>
    writers.get(`${key} ${value}`)?.transaction.id;
  for (const [key, order] of orders) {
    for (const [i, value] of order.entries()) {
      const [before, after] = [writerOf(key, order[i - 1]), writerOf(key, value)];
      if (before !== undefined && after !== undefined) edges.add(before, after, "ww", key);
    }
  }
  for (const { id, outcome, steps } of history) {
    if (outcome !== "committed") continue;
    for (const step of steps) {
      if (step.kind !== "read") continue;
      const { key, values } = step;
      const seen = writerOf(key, values.at(-1));
      if (seen !== undefined) edges.add(seen, id, "wr", key);
      // Its own appends aside, the next version is somebody else's.
      const next = orders
        .get(key)
        ?.slice(values.length)
        .map((value) => writerOf(key, value))
        .find((writer) => writer !== id);
      if (next !== undefined) edges.add(id, next, "rw", key);
    }
  }
}

/**
 * Who ended before another began comes first. Instants become nodes of their own, in a chain, so that there are as many edges as
 * transactions and not as many as pairs.
 */
function realTime(history: readonly Transacted[], edges: Edges): void {
  const committed = history.filter(({ outcome }) => outcome === "committed");
  const ends = committed.toSorted((a, b) => a.ended - b.ended);
  for (const [i, { id }] of ends.entries()) {
    edges.add(id, `@${i}`, "rt");
    edges.add(`@${i}`, `@${i + 1}`, "rt");
  }
  let ended = 0;
  for (const { id, began } of history.toSorted((a, b) => a.began - b.began)) {
    while (ended < ends.length && (ends[ended] as Transacted).ended < began) ended++;
    if (ended > 0) edges.add(`@${ended - 1}`, id, "rt");
  }
}

/** A shortest cycle in each strongly connected component. */
function cycles(edges: Edges): string[] {
  return components(edges).map((component) => showCycle(shortestCycle(component, edges), edges));
}

/** Strongly connected components of more than one node (Tarjan 1972, with a stack of its own). */
function components(edges: Edges): Set<string>[] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const path: string[] = [];
  const onPath = new Set<string>();
  const found: Set<string>[] = [];
  const enter = (node: string) => {
    index.set(node, index.size);
    low.set(node, index.get(node) as number);
    path.push(node);
    onPath.add(node);
    return { node, targets: (edges.from.get(node) ?? new Map<string, string>()).keys() };
  };
  const lower = (node: string, to: number) => low.set(node, Math.min(low.get(node) as number, to));
  const leave = (node: string) => {
    if (low.get(node) !== index.get(node)) return;
    const component = new Set(path.splice(path.lastIndexOf(node)));
    for (const each of component) onPath.delete(each);
    if (component.size > 1) found.push(component);
  };
  for (const root of edges.from.keys()) {
    if (index.has(root)) continue;
    const stack = [enter(root)];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { value: target, done } = top.targets.next();
      if (done) {
        stack.pop();
        leave(top.node);
        const caller = stack.at(-1);
        if (caller) lower(caller.node, low.get(top.node) as number);
      } else if (!index.has(target)) stack.push(enter(target));
      else if (onPath.has(target)) lower(top.node, index.get(target) as number);
    }
  }
  return found;
}

/** By breadth-first search from each of the component's transactions. */
function shortestCycle(component: ReadonlySet<string>, edges: Edges): string[] {
  let best: string[] = [];
  for (const start of component) {
    if (start.startsWith("@")) continue;
    const cameFrom = new Map<string, string>();
    const queue = [start];
    for (const node of queue) {
      for (const target of edges.from.get(node)?.keys() ?? []) {
        if (!component.has(target) || cameFrom.has(target)) continue;
        cameFrom.set(target, node);
        queue.push(target);
      }
      if (cameFrom.has(start)) break;
    }
    const cycle = [start];
    for (let node = cameFrom.get(start) as string; node !== start; node = cameFrom.get(node) as string)
      cycle.unshift(node);
    cycle.unshift(start);
    if (best.length === 0 || cycle.length < best.length) best = cycle;
  }
  return best;
}

function showCycle(cycle: readonly string[], edges: Edges): string {
  let text = cycle[0] as string;
  for (let i = 1; i < cycle.length; i++) {
    const node = cycle[i] as string;
    if (node.startsWith("@")) continue;
    text += ` -${edges.from.get(cycle[i - 1] as string)?.get(node)}-> ${node}`;
  }
  return `a cycle: ${text}`;
}

function show(step: Step): string {
  return step.kind === "read" ? `${step.key} = ${step.values.join(" ")}` : `${step.key} + ${step.value}`;
}
