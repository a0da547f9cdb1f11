import { InvalidArgumentError, invalidArgument } from "../../core/index.ts";
import type { History, Operation } from "../history.ts";

/** A get or set that counts: all but gets without an answer and operations that failed. */
export interface Access {
  readonly operation: Operation;
  readonly client: string;
  readonly key: string;
  /** Position in the session of its client, from 0. */
  readonly position: number;
  readonly isSet: boolean;
  /**
   * The version that was set or got: the number of the access that set it; -1 is the version before all sets. Absent: a
   * get of a value that nobody set, or whose set failed.
   */
  version: number | undefined;
}

export interface SessionHistory {
  /** By number, in the order of the calls. */
  readonly accesses: readonly Access[];
  /** The numbers of the accesses of each client, in their order. */
  readonly sessions: ReadonlyMap<string, readonly number[]>;
}

/**
 * @throws InvalidArgumentError an operation that is no get or set, a value set twice to a key, or a client with
 * operations that overlap
 */
export function sessionHistoryOf(history: History): SessionHistory {
  const accesses: Access[] = [];
  const sessions = new Map<string, number[]>();
  const setters = new Map<string, number>();
  const ends = new Map<string, Operation>();
  for (const operation of [...history].sort((a, b) => a.called - b.called)) {
    const { id, client, name, key = "", input, outcome } = operation;
    if (name !== "get" && name !== "set")
      throw invalidArgument(`history, operation ${id}, name`, name, '"get" or "set"');
    checkSequential(operation, ends);
    if (outcome === "failed" || (name === "get" && outcome === "unknown")) continue;
    const number = accesses.length;
    const session = sessions.get(client) ?? [];
    sessions.set(client, session);
    if (name === "set") {
      if (input === undefined || input === null)
        throw invalidArgument(`history, operation ${id}, input`, input, "a value; null is that of a key never set");
      const value = versionName(key, input);
      if (setters.has(value))
        throw new InvalidArgumentError(
          `history, operation ${id}: ${JSON.stringify(input)} is set to ${JSON.stringify(key)} a second time; ` +
            "sessions can be judged only if the values set to a key are unique",
        );
      setters.set(value, number);
    }
    const isSet = name === "set";
    accesses.push({
      operation,
      client,
      key,
      position: session.length,
      isSet,
      version: isSet ? number : undefined,
    });
    session.push(number);
  }
  for (const access of accesses) {
    const { operation, isSet, key } = access;
    if (isSet) continue;
    const got = operation.output ?? null;
    access.version = setters.get(versionName(key, got)) ?? (got === null ? -1 : undefined);
  }
  return { accesses, sessions };
}

function versionName(key: string, value: unknown): string {
  return JSON.stringify([key, value]);
}

/** An operation of unknown outcome does not end; its client may go on all the same. */
function checkSequential(operation: Operation, ends: Map<string, Operation>): void {
  const { client, id, called } = operation;
  const before = ends.get(client);
  if (before && before.returned >= called)
    throw new InvalidArgumentError(
      `history: operations ${before.id} and ${id} of client ${JSON.stringify(client)} overlap; ` +
        "sessions must be sequential",
    );
  if (Number.isFinite(operation.returned)) ends.set(client, operation);
}
