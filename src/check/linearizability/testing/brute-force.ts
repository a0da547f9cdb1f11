import type { Operation } from "../../history.ts";
import type { Model } from "../model.ts";

/**
 * Whether the history is linearizable, found by trying every order and every choice of operations of unknown outcome. Written from
 * the definition, knows nothing of the real checker, and takes exponential time.
 */
export function isLinearizableByForce(model: Model, history: readonly Operation[]): boolean {
  const judged = history
    .filter((operation) => operation.outcome !== "failed" || model.observes?.(operation))
    .map((operation) => (operation.outcome === "unknown" ? { ...operation, output: undefined } : operation));
  const parts = Map.groupBy(judged, (operation) => model.partition?.(operation));
  return [...parts.values()].every((part) => canFinish(model, model.initial, part));
}

function canFinish(model: Model, state: unknown, left: readonly Operation[]): boolean {
  if (left.every(({ outcome }) => outcome === "unknown")) return true;
  return left.some((operation) => {
    const others = left.filter((other) => other !== operation);
    const mustWait = others.some((other) => other.outcome !== "unknown" && other.returned < operation.called);
    if (mustWait) return false;
    const next = model.step(state, operation);
    return next !== undefined && canFinish(model, next, others);
  });
}
