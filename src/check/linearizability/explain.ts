import type { Operation } from "../history.ts";
import { minimise } from "./minimise.ts";
import type { Model } from "./model.ts";
import { Search } from "./search.ts";
import type { Entry } from "./timeline.ts";

/** Why a part of a history is not linearizable. */
export interface Explanation {
  readonly summary: string;
  readonly explanation: readonly string[];
  readonly operations: readonly Operation[];
  readonly longest: readonly Operation[];
  readonly stuck: readonly { readonly operation: Operation; readonly why: string }[];
}

const searchedAtMost = 300_000;
const rememberedAtMost = 200_000;
const linesAtMost = 24;

/** The smallest counterexample that can be found with bounded work, and its story. */
export function explain(
  model: Model,
  part: { readonly name: string | undefined; readonly entries: readonly Entry[] },
): Explanation {
  const entries = minimise(model, part.entries).toSorted((a, b) => a.operation.called - b.operation.called);
  const search = new Search(model, entries, { steps: searchedAtMost, memory: rememberedAtMost }, false);
  search.run(searchedAtMost);
  const { order, state } = search.longest;
  const placed = new Set(order);
  const rest = entries.filter((entry) => !placed.has(entry));
  const stuck = rest.map((entry) => ({ operation: entry.operation, why: whyNot(model, state, entry, rest) }));
  const where = part.name === undefined ? "" : ` of ${part.name}`;
  const count = part.entries.length;
  const suffice = entries.length < count ? `; ${entries.length} of them suffice to see it` : "";
  return {
    summary: `the ${count} operations${where} have no legal order${suffice}`,
    explanation: story(model, entries, order, state, stuck),
    operations: entries.map(({ operation }) => operation),
    longest: order.map(({ operation }) => operation),
    stuck,
  };
}

/** The operation in one line, as the client who called it and what it was. */
export function describeOperation(model: Model, operation: Operation): string {
  if (model.describe) return `${operation.client}: ${model.describe(operation)}`;
  const { client, name, key, input, output, outcome } = operation;
  const asked = [name, key, input === undefined ? undefined : JSON.stringify(input)];
  const answer = output === undefined ? "" : ` → ${JSON.stringify(output)}`;
  const doubt = outcome === "ok" ? "" : ` (${outcome})`;
  return `${client}: ${asked.filter((part) => part !== undefined).join(" ")}${answer}${doubt}`;
}

function show(model: Model, state: unknown): string {
  return model.showState?.(state) ?? String(model.key(state));
}

function whyNot(model: Model, state: unknown, { operation, optional }: Entry, rest: readonly Entry[]): string {
  const earlier = rest.find((other) => !other.optional && other.operation.returned < operation.called)?.operation;
  if (earlier) return `must wait for ${describeOperation(model, earlier)}, which had ended before it began`;
  if (model.step(state, operation) === undefined) return `is not possible where the state is ${show(model, state)}`;
  return optional ? "does not help" : "is possible, but leaves no way to go on";
}

function story(
  model: Model,
  entries: readonly Entry[],
  order: readonly Entry[],
  state: unknown,
  stuck: readonly { readonly operation: Operation; readonly why: string }[],
): string[] {
  const describe = ({ operation }: Entry): string => describeOperation(model, operation);
  const begin =
    order.length === 0
      ? [`at first the state is ${show(model, state)}, and nothing can come next`]
      : [`a longest legal order: ${shorten(order.map(describe))}; then the state is ${show(model, state)}`];
  const ends = stuck.map(({ operation, why }) => `${describeOperation(model, operation)} ${why}`);
  const precedences = entries.flatMap((later) =>
    immediatelyBefore(entries, later).map(
      (earlier) => `${describe(later)} had begun after ${describe(earlier)} had ended`,
    ),
  );
  const lines = [...begin, ...ends, ...precedences];
  if (lines.length <= linesAtMost) return lines;
  return [...lines.slice(0, linesAtMost - 1), `and ${lines.length - linesAtMost + 1} lines more`];
}

/** Those that had ended before it began, without those that had ended before another of these began. */
function immediatelyBefore(entries: readonly Entry[], { operation: later }: Entry): Entry[] {
  const before = entries.filter(({ operation, optional }) => !optional && operation.returned < later.called);
  const latestCall = Math.max(...before.map(({ operation }) => operation.called));
  return before.filter(({ operation }) => operation.returned >= latestCall);
}

function shorten(texts: readonly string[]): string {
  if (texts.length <= 12) return texts.join(", ");
  return `${texts.length - 10} operations, then ${texts.slice(-10).join(", ")}`;
}
