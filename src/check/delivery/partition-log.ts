import { InvalidArgumentError } from "../../core/index.ts";
import type { Checker, CheckResult } from "../checker.ts";
import type { History, Operation } from "../history.ts";

/**
 * What a partitioned log promises, over histories of any length: an offset has one record; an append that was acknowledged is at its offset; appends have offsets in their order in real
 * time; a reader gets records in order, without gaps, and an append that had returned before a read began is within what the read passed. In time linear in the history, where
 * `linearizable(log)` decides everything, and more slowly.
 *
 * | name     | key       | input                          | output |
 * | -------- | --------- | ------------------------------ | ------ |
 * | `append` | the topic | the record: JSON               | its offset |
 * | `poll`   | the topic | the offset to read from        | an array of `[offset, record]`; empty at the end of the log |
 *
 * @throws InvalidArgumentError (from `check`) a malformed operation
 */
export function partitionLog(): Checker {
  const name = "partition log";
  return {
    name,
    check(history) {
      for (const topic of Map.groupBy(history, ({ key }) => key ?? "").values()) {
        const found = judge(topic);
        if (found) return { check: name, verdict: "violated", ...found };
      }
      return {
        check: name,
        verdict: "ok",
        summary: `${history.length} operations agree`,
        explanation: [],
        operations: [],
      };
    },
  };
}

type Found = Pick<CheckResult, "summary" | "explanation" | "operations">;

function judge(topic: History): Found | undefined {
  const records = new Map<number, { readonly text: string; readonly by: Operation }>();
  const appends = topic.filter((operation) => validate(operation).name === "append" && operation.outcome === "ok");
  const polls = topic.filter(({ name, outcome }) => name === "poll" && outcome === "ok");
  for (const append of appends) {
    const offset = append.output as number;
    const other = records.get(offset);
    if (other) return found(`offset ${offset} was given twice`, [other.by, append]);
    records.set(offset, { text: JSON.stringify(append.input), by: append });
  }
  return (
    findDisagreement(polls, records) ??
    findStrange(topic, polls) ??
    findDisorder(appends) ??
    findGap(polls) ??
    findMissed(appends, polls)
  );
}

function validate(operation: Operation): Operation {
  const { id, name, input, output, outcome } = operation;
  const wrong = (what: string): never => {
    throw new InvalidArgumentError(`history, id ${id}: ${what}`);
  };
  if (name !== "append" && name !== "poll") wrong(`given the name ${name}; allowed: "append", "poll"`);
  if (name === "poll" && !isOffset(input)) wrong(`given the input ${JSON.stringify(input)}; allowed: an offset`);
  if (outcome !== "ok") return operation;
  if (name === "append" && !isOffset(output)) wrong(`given the output ${JSON.stringify(output)}; allowed: an offset`);
  const isPage = Array.isArray(output) && output.every((pair) => Array.isArray(pair) && isOffset(pair[0]));
  if (name === "poll" && !isPage)
    wrong(`given the output ${JSON.stringify(output)}; allowed: an array of [offset, record]`);
  return operation;
}

function isOffset(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function pairsOf({ output }: Operation): readonly (readonly [number, unknown])[] {
  return output as readonly (readonly [number, unknown])[];
}

/** Two who were told different records for one offset. Fills in what only readers know. */
function findDisagreement(
  polls: History,
  records: Map<number, { readonly text: string; readonly by: Operation }>,
): Found | undefined {
  for (const poll of polls) {
    for (const [offset, record] of pairsOf(poll)) {
      const text = JSON.stringify(record);
      const known = records.get(offset);
      if (known && known.text !== text)
        return found(`offset ${offset} holds ${known.text} and ${text}`, [known.by, poll]);
      if (!known) records.set(offset, { text, by: poll });
    }
  }
  return undefined;
}

/** A record that nobody appended, or whose append surely failed. */
function findStrange(topic: History, polls: History): Found | undefined {
  const possible = new Map<string, Operation[]>();
  for (const operation of topic) {
    if (operation.name !== "append") continue;
    const text = JSON.stringify(operation.input);
    possible.set(text, [...(possible.get(text) ?? []), operation]);
  }
  for (const poll of polls) {
    for (const [, record] of pairsOf(poll)) {
      const appends = possible.get(JSON.stringify(record)) ?? [];
      if (appends.some(({ outcome, called }) => outcome !== "failed" && called < poll.returned)) continue;
      const why = appends.length === 0 ? "which nobody appended" : "whose append had failed or not begun";
      return found(`${JSON.stringify(record)} was read, ${why}`, [...appends.slice(0, 1), poll]);
    }
  }
  return undefined;
}

/** An append that had returned before another one was called, and has the greater offset. */
function findDisorder(appends: History): Found | undefined {
  const byOffset = appends.toSorted((a, b) => (a.output as number) - (b.output as number));
  let latest: Operation | undefined;
  for (const append of byOffset) {
    if (latest && append.returned < latest.called)
      return found(`offset ${append.output} was given before offset ${latest.output}`, [append, latest]);
    if (!latest || append.called > latest.called) latest = append;
  }
  return undefined;
}

/** A page that does not begin where it was to begin, or skips. */
function findGap(polls: History): Found | undefined {
  for (const poll of polls) {
    let next = poll.input as number;
    for (const [offset] of pairsOf(poll)) {
      if (offset !== next) return found(`a read came to offset ${offset} instead of ${next}`, [poll]);
      next++;
    }
  }
  return undefined;
}

/** An empty page below an offset whose append had returned before the read began. */
function findMissed(appends: History, polls: History): Found | undefined {
  const byReturn = appends.toSorted((a, b) => a.returned - b.returned);
  const byCall = polls.toSorted((a, b) => a.called - b.called);
  let highest: Operation | undefined;
  let at = 0;
  for (const poll of byCall) {
    for (let append = byReturn[at]; append && append.returned < poll.called; append = byReturn[++at]) {
      if (!highest || (append.output as number) > (highest.output as number)) highest = append;
    }
    if (highest && pairsOf(poll).length === 0 && (poll.input as number) <= (highest.output as number))
      return found(`a read from offset ${poll.input} found nothing, though offset ${highest.output} had been given`, [
        highest,
        poll,
      ]);
  }
  return undefined;
}

function found(summary: string, operations: readonly Operation[]): Found {
  const explanation = operations.map(
    ({ client, name, key, input, output }) =>
      `${client}: ${[name, key, JSON.stringify(input)].filter((part) => part !== undefined).join(" ")} → ${JSON.stringify(output)}`,
  );
  return { summary, explanation, operations };
}
