import type { Operation } from "../history.ts";
import type { Model } from "../linearizability/model.ts";
import { byKey, field, isAnswered, isInteger, knownName, malformed } from "./arguments.ts";
import { canonical } from "./canonical.ts";

/**
 * The content of a log: its last record, and the log before it. Equal contents are one object with one id, so that a long log
 * is as cheap to compare as a number.
 */
export interface LogState {
  readonly id: number;
  readonly length: number;
  readonly record: string;
  readonly before: LogState | undefined;
  /** An earlier content, so that any of them is a logarithmic number of steps away (Myers: random-access stack, 1983). */
  readonly jump: LogState | undefined;
  readonly append: (record: string) => LogState;
}

/**
 * A log of records with dense offsets from 0. With keys: a log for each.
 *
 * | name     | input                                              | output                        |
 * | -------- | -------------------------------------------------- | ----------------------------- |
 * | `append` | the record                                         | its offset, or absent         |
 * | `read`   | an offset, absent for 0, or `{"from": …, "limit": …}` | an array of all records from there on, at most `limit` of them |
 */
export const log: Model<LogState> = {
  name: "log",
  get initial() {
    return emptyLog();
  },
  validate(operation) {
    knownName(operation, ["append", "read"]);
    const { name, input, output, outcome } = operation;
    if (name === "append") {
      if (input === undefined) throw malformed(operation, "input", "a record");
      if (output !== undefined && output !== null && !isInteger(output))
        throw malformed(operation, "output", "an offset");
      return;
    }
    const { from, limit } = rangeOf(operation);
    if (!isInteger(from) || from < 0 || !(limit === Infinity || (isInteger(limit) && limit >= 0)))
      throw malformed(operation, "input", 'an offset, or {"from": …, "limit": …}');
    if (outcome === "ok" && !Array.isArray(output)) throw malformed(operation, "output", "an array of records");
  },
  partition: byKey,
  step(state, operation) {
    const { name, input, output } = operation;
    if (name === "append") {
      return isInteger(output) && output !== state.length ? undefined : state.append(canonical(input));
    }
    if (!isAnswered(operation)) return undefined;
    const { from, limit } = rangeOf(operation);
    const end = Math.min(state.length, from + limit);
    const records = output as unknown[];
    if (records.length !== Math.max(0, end - from)) return undefined;
    if (records.length === 0) return state;
    let at: LogState | undefined = contentAt(state, end);
    for (let i = records.length - 1; i >= 0; i--, at = at?.before) {
      if (at?.record !== canonical(records[i])) return undefined;
    }
    return state;
  },
  key: ({ id }) => id,
  isRead: ({ name }) => name === "read",
  showState(state) {
    const last: string[] = [];
    for (let at: LogState | undefined = state; at?.before && last.length < 5; at = at.before) last.unshift(at.record);
    return `${state.length} records${last.length > 0 ? `, the last of them ${last.join(", ")}` : ""}`;
  },
};

function rangeOf({ input }: Operation): { from: number; limit: number } {
  if (input === undefined || input === null) return { from: 0, limit: Infinity };
  if (typeof input !== "object") return { from: input as number, limit: Infinity };
  return { from: (field(input, "from") ?? 0) as number, limit: (field(input, "limit") ?? Infinity) as number };
}

function emptyLog(): LogState {
  let ids = 0;
  const create = (record: string, before: LogState | undefined): LogState => {
    const after = new Map<string, LogState>();
    const state: LogState = {
      id: ids++,
      length: before ? before.length + 1 : 0,
      record,
      before,
      jump: before && jumpFrom(before),
      append(next) {
        const known = after.get(next);
        if (known) return known;
        const made = create(next, state);
        after.set(next, made);
        return made;
      },
    };
    return state;
  };
  return create("", undefined);
}

function jumpFrom(before: LogState): LogState {
  const once = before.jump;
  const twice = once?.jump;
  return once && twice && before.length - once.length === once.length - twice.length ? twice : before;
}

function contentAt(state: LogState, length: number): LogState {
  let at = state;
  while (at.length > length) {
    const { jump, before } = at;
    const next = jump && jump.length >= length ? jump : before;
    if (!next) break;
    at = next;
  }
  return at;
}
