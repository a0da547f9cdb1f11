import {
  type AshlarError,
  ConflictError,
  InvalidArgumentError,
  InvalidStateError,
  isAshlarError,
  TimeoutError,
  UnavailableError,
  UnsupportedError,
} from "../../core/index.ts";

/** The server answered a statement with an error after which the transaction is surely rolled back. */
export class StatementFailed extends Error {
  /** SQLSTATE: five characters, Appendix A of the Postgres manual. */
  readonly state: string;

  constructor(cause: Error, state: string) {
    super(cause.message, { cause });
    this.state = state;
  }
}

/** No answer came, or one that leaves open whether the transaction was committed. */
export class AnswerLost extends Error {
  /** Given up after the statement's time, as opposed to a connection that broke. */
  readonly timedOut: boolean;

  constructor(message: string, cause: unknown, timedOut = false) {
    super(message, { cause });
    this.timedOut = timedOut;
  }
}

/**
 * Classes of SQLSTATE after which an implicit transaction is surely rolled back. Not among them: 08 (connection), 57P (shutdown), 58 and XX (the
 * server itself), after which the commit may have been on its way; nor 40003, which says so.
 */
const rolledBack = /^(?:0A|0L|0P|2[1-9]|2[BDF]|3[4589]|3[BDF]|40(?!003)|42|44|53|54|55|57014|72|AS|F0|HV|P0)/;

/** What has become of a statement that failed. */
export function classify(error: unknown): StatementFailed | AnswerLost {
  if (error instanceof StatementFailed || error instanceof AnswerLost) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const state = sqlState(cause);
  if (state !== undefined && rolledBack.test(state)) return new StatementFailed(cause, state);
  return new AnswerLost(cause.message, cause);
}

/** The SQLSTATE of an error that the server sent. Errors of the socket have a `code` too (EPIPE), but no severity. */
export function sqlState(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("severity" in error)) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === "string" && code.length === 5 ? code : undefined;
}

/** Why no connection could be had. `where` names the server. Never holds the password. */
export function connectError(error: unknown, where: string): AshlarError {
  if (isAshlarError(error)) return error;
  const state = sqlState(error);
  const { message, code } = firstOf(error);
  const options = { cause: error };
  if (state === "28P01" || state === "28000")
    return new InvalidArgumentError(
      `${where} refuses the log-in: ${message} (${state}); check user and password`,
      options,
    );
  if (state === "3D000")
    return new InvalidArgumentError(
      `${where}: ${message} (${state}); create it, or correct the database's name`,
      options,
    );
  if (state === "42501")
    return new InvalidArgumentError(`${where}: ${message} (${state}); grant the role CONNECT on the database`, options);
  if (state === "53300")
    return new UnavailableError(
      `${where} has no connection left: ${message}; use fewer connections or raise max_connections`,
      options,
    );
  if (state !== undefined)
    return new UnavailableError(`${where} does not accept connections: ${message} (${state})`, options);
  if (/must be a string|password.*(missing|required)|SASL/i.test(message)) {
    return new InvalidArgumentError(
      `${where} asks for a password that was not given or is not accepted: ${message}`,
      options,
    );
  }
  if (/SSL/.test(message)) return new InvalidArgumentError(`${where}: ${message}; check sslmode in the URL`, options);
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return new UnavailableError(`${where}: the host name cannot be resolved; check it`, options);
  return new UnavailableError(
    `${where} cannot be reached: ${message}; check host and port, and that the server runs and listens there`,
    options,
  );
}

/** An error that the server gave to a statement of ours, none of whose effects remain. */
export function statementError(error: StatementFailed, where: string): AshlarError {
  const { state, message } = error;
  const options = { cause: error.cause, details: { sqlState: state } };
  if (state.startsWith("40") || (state === "23505" && /changes_pkey/.test(message))) {
    // Under a stricter isolation level the transaction's snapshot turned out to be too old.
    return new ConflictError(`${where}: another transaction came between: ${message} (${state})`, {
      cause: error.cause,
      details: { sqlState: state, reason: "reread" },
    });
  }
  if (state === "57014")
    return new TimeoutError(`${where}: the statement was cancelled: ${message} (${state})`, options);
  if (state === "26000" || state === "42P05")
    return new UnavailableError(
      `${where}: the pooler does not follow prepared statements; they are not used any more (${state})`,
      options,
    );
  if (state === "25P02")
    return new InvalidStateError(
      `${where}: an earlier statement of this SQL transaction failed; roll it back`,
      options,
    );
  if (state === "25006")
    return new UnavailableError(`${where} is read-only: ${message} (${state}); connect to the primary`, options);
  if (state === "42501")
    return new UnsupportedError(
      `${where}: ${message} (${state}); grant the role what it needs, or let its owner create the schema`,
      options,
    );
  if (/^(42883|42P01|3F000)$/.test(state))
    return new UnavailableError(`${where}: ${message} (${state}); was the schema dropped meanwhile?`, options);
  return new UnavailableError(`${where}: ${message} (${state})`, options);
}

/** Trying several addresses of a host fails with several errors; the first tells enough. */
function firstOf(error: unknown): { message: string; code: unknown } {
  const first = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  if (!(first instanceof Error)) return { message: String(first), code: undefined };
  const { code } = first as { code?: unknown };
  return { message: first.message || String(code), code };
}
