import type { Operation } from "../history.ts";
import type { GraphBuilder } from "./dependency-graph.ts";

/** Edges by time between the transactions that count: by client and altogether. Linear in their number. */
export function addPrecedence(graph: GraphBuilder, operations: readonly Operation[], counts: readonly boolean[]): void {
  const all = [...operations.keys()].filter((node) => counts[node]);
  for (const nodes of Map.groupBy(all, (node) => operations[node]?.client).values())
    addOrder(graph, operations, nodes, "process");
  addOrder(graph, operations, all, "realtime");
}

/**
 * From each that returned to all that were called later: through a chain of inner nodes, one for each moment at which
 * something had returned since the last call. An unknown outcome has no return, so nothing follows it.
 */
function addOrder(
  graph: GraphBuilder,
  operations: readonly Operation[],
  nodes: readonly number[],
  kind: "process" | "realtime",
): void {
  const events: { at: number; node: number; isCall: boolean }[] = [];
  for (const node of nodes) {
    const operation = operations[node];
    if (!operation) continue;
    events.push({ at: operation.called, node, isCall: true });
    if (Number.isFinite(operation.returned)) events.push({ at: operation.returned, node, isCall: false });
  }
  // At the same position nothing is before anything else: calls first.
  events.sort((a, b) => a.at - b.at || Number(b.isCall) - Number(a.isCall));
  let past: number | undefined;
  let returned: number[] = [];
  for (const { node, isCall } of events) {
    if (!isCall) {
      returned.push(node);
      continue;
    }
    if (returned.length > 0) {
      const moment = graph.addNode();
      if (past !== undefined) graph.addEdge(past, moment, "inner", -1);
      for (const each of returned) graph.addEdge(each, moment, kind, -1);
      past = moment;
      returned = [];
    }
    if (past !== undefined) graph.addEdge(past, node, "inner", -1);
  }
}
