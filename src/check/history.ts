import { InvalidArgumentError, invalidArgument } from "../core/index.ts";

/**
 * What clients asked of a system and what it answered. The order of events is the order in which they were recorded by one
 * observer; wherever one operation ended before another began, the system must have run them in this order.
 */
export type History = readonly Operation[];

/** One call of one client. Everything in it is JSON, so a history can be kept in a file and come from any language. */
export interface Operation {
  /** Position in the history: operations are numbered in the order of their calls, from 0. */
  readonly id: number;
  /** Who called: a session. Session guarantees are about the operations of one client. */
  readonly client: string;
  /** What was asked: "get", "set", "cas", "transact" …; the models say which names they know. */
  readonly name: string;
  /** What it was about, where the system consists of independent parts, such as the key; absent: one whole. */
  readonly key?: string;
  readonly input?: unknown;
  /** What came back. Only with `outcome: "ok"`, or with a failure that tells something. */
  readonly output?: unknown;
  /**
   * `ok`: it happened and was answered. `failed`: it surely did not happen. `unknown`: it may have happened, at any time after
   * the call, or never: its answer was lost, or its client died.
   */
  readonly outcome: "ok" | "failed" | "unknown";
  /** Position of the call among all events of the history. */
  readonly called: number;
  /** Position of the return; `Infinity` if its outcome is unknown. */
  readonly returned: number;
  /** Milliseconds on the recorder's clock at the call and, if it returned, at the return. For people; no checker uses them. */
  readonly time?: readonly [called: number, returned?: number];
}

/** A line of a history file. An `invoke` without a later event of the same id is an operation of unknown outcome. */
export type HistoryEvent =
  | {
      readonly event: "invoke";
      readonly id: number;
      readonly client: string;
      readonly name: string;
      readonly key?: string;
      readonly input?: unknown;
      readonly time?: number;
    }
  | {
      readonly event: "ok" | "failed" | "unknown";
      readonly id: number;
      readonly output?: unknown;
      readonly time?: number;
    };

/**
 * Joins events to operations, in the order of their calls.
 * @throws InvalidArgumentError an id called twice, answered twice or never called
 */
export function fromEvents(events: Iterable<HistoryEvent>): Operation[] {
  const operations = new Map<number, Operation>();
  let position = 0;
  for (const event of events) {
    const at = position++;
    const known = operations.get(event.id);
    if (event.event === "invoke") {
      if (known) throw new InvalidArgumentError(`history: the id ${event.id} was called twice`);
      const { id, client, name, key, input, time } = event;
      operations.set(id, {
        id: operations.size,
        client,
        name,
        ...(key !== undefined && { key }),
        ...(input !== undefined && { input }),
        outcome: "unknown",
        called: at,
        returned: Infinity,
        ...(time !== undefined && { time: [time] as const }),
      });
      continue;
    }
    if (!known) throw new InvalidArgumentError(`history: the id ${event.id} is answered but was not called`);
    if (known.outcome !== "unknown" || known.returned !== Infinity || known.output !== undefined)
      throw new InvalidArgumentError(`history: the id ${event.id} was answered twice`);
    const time = known.time && event.time !== undefined ? ([known.time[0], event.time] as const) : known.time;
    operations.set(event.id, {
      ...known,
      outcome: event.event,
      ...(event.output !== undefined && { output: event.output }),
      returned: event.event === "unknown" ? Infinity : at,
      ...(time && { time }),
    });
  }
  return [...operations.values()];
}

/** The events of the operations, in their order: the inverse of `fromEvents`. */
export function toEvents(history: History): HistoryEvent[] {
  const at: { position: number; event: HistoryEvent }[] = [];
  for (const { id, client, name, key, input, output, outcome, called, returned, time } of history) {
    at.push({
      position: called,
      event: {
        event: "invoke",
        id,
        client,
        name,
        ...(key !== undefined && { key }),
        ...(input !== undefined && { input }),
        ...(time && { time: time[0] }),
      },
    });
    // Whatever is not answered, or was told to be unknown at a moment that does not matter, has no second event.
    if (outcome === "unknown") continue;
    at.push({
      position: returned,
      event: {
        event: outcome,
        id,
        ...(output !== undefined && { output }),
        ...(time?.[1] !== undefined && { time: time[1] }),
      },
    });
  }
  return at.sort((a, b) => a.position - b.position).map(({ event }) => event);
}

/** The history as JSON lines, one event each, ending with a line break. */
export function formatHistory(history: History): string {
  return toEvents(history)
    .map((event) => `${JSON.stringify(event)}\n`)
    .join("");
}

/**
 * Reads JSON lines. Empty lines are skipped; a last line without a line break that is no JSON is taken for the
 * torn end of a recorder that died.
 * @throws InvalidArgumentError a line that is no event, with its number and what is wrong with it
 */
export function parseHistory(text: string): Operation[] {
  const lines = text.split("\n");
  const events: HistoryEvent[] = [];
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const torn = i === lines.length - 1;
    const parsed = parseJson(line);
    if (parsed === undefined && torn) break;
    events.push(toEvent(parsed, `history line ${i + 1}`));
  }
  return fromEvents(events);
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function toEvent(parsed: unknown, where: string): HistoryEvent {
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw invalidArgument(where, parsed, "a JSON object");
  const given = parsed as Record<string, unknown>;
  if (!Number.isSafeInteger(given["id"])) throw invalidArgument(`${where}, id`, given["id"], "an integer");
  if (given["time"] !== undefined && typeof given["time"] !== "number")
    throw invalidArgument(`${where}, time`, given["time"], "a number of milliseconds");
  switch (given["event"]) {
    case "invoke":
      for (const field of ["client", "name"])
        if (typeof given[field] !== "string") throw invalidArgument(`${where}, ${field}`, given[field], "a string");
      if (given["key"] !== undefined && typeof given["key"] !== "string")
        throw invalidArgument(`${where}, key`, given["key"], "a string");
      break;
    case "ok":
    case "failed":
    case "unknown":
      break;
    default:
      throw invalidArgument(`${where}, event`, given["event"], '"invoke", "ok", "failed" or "unknown"');
  }
  return given as HistoryEvent;
}
