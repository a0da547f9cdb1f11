import { invalidArgument, raceAbort, throwIfAborted } from "../../core/index.ts";
import type { SqlSession } from "../driver.ts";
import type { SqlValue } from "./database.ts";
import type { WriterClient } from "./writer-client.ts";

/**
 * An SQL transaction in the writer's thread, in its turn among the commits.
 * @param signal gives up waiting for that turn
 */
export async function openSql(writer: WriterClient, signal: AbortSignal | undefined): Promise<SqlSession> {
  throwIfAborted(signal);
  const opening = writer.openSession();
  const session = await raceAbort(opening, signal).catch((error) => {
    // Its turn will come all the same, and must pass at once.
    opening.then((late) => writer.inSession(late, { kind: "rollback" })).catch(() => {});
    throw error;
  });
  const call = async <T>(kind: "run" | "all", text: string, parameters: readonly unknown[]): Promise<T> => {
    if (typeof text !== "string") throw invalidArgument("sql", text, "a string with one SQL statement");
    const values: SqlValue[] = toParameters(parameters);
    return await writer.inSession<T>(session, { kind, text, parameters: values });
  };
  return {
    sql: {
      run: (text, parameters = []) => call("run", text, parameters),
      all: (text, parameters = []) => call("all", text, parameters),
    },
    apply: (commit) => writer.applyInSession(session, commit),
    commit: () => writer.commitSession(session),
    rollback: () => writer.inSession(session, { kind: "rollback" }),
  };
}

/**
 * The parameters as SQLite takes them: booleans as 0 and 1, bytes as copies that fill their buffers (cloning a view would copy all of the
 * memory that it looks into).
 * @throws InvalidArgumentError a value that SQLite has no type for
 */
function toParameters(parameters: readonly unknown[]): SqlValue[] {
  if (!Array.isArray(parameters)) throw invalidArgument("parameters", parameters, "an array of values");
  return parameters.map((value, i) => {
    if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "bigint")
      return value;
    if (typeof value === "boolean") return value ? 1 : 0;
    if (value instanceof Uint8Array) return new Uint8Array(value);
    throw invalidArgument(`parameters[${i}]`, value, "null, a string, a number, a bigint, a boolean or bytes");
  });
}
