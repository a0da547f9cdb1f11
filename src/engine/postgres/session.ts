import {
  ConflictError,
  InvalidArgumentError,
  InvalidStateError,
  throwIfAborted,
  UnavailableError,
} from "../../core/index.ts";
import type { Sql } from "../contract.ts";
import type { Driver, RawCommit, RawOutcome, SqlSession } from "../driver.ts";
import { asText, type PgClient, type PgResult, type Row } from "./client.ts";
import { planFlush } from "./commit.ts";
import type { Connections, Lease, Statement } from "./connection.ts";
import type { Gate } from "./gate.ts";
import type { Names } from "./names.ts";
import { readHeader } from "./outcome-header.ts";
import { AnswerLost, classify, StatementFailed, statementError } from "./server-errors.ts";
import type { Statements } from "./statements.ts";
import { parseIntegers } from "./wire.ts";
import type { Writer } from "./writer.ts";

/** What sessions need of the driver that they belong to. */
export interface SessionContext {
  readonly connections: Connections;
  readonly statements: Statements;
  readonly names: Names;
  readonly writer: Writer;
  /** How many sessions may be open at once: each holds a connection, and reads need some too. */
  readonly gate: Gate;
  /** Sessions on connections of the engine's own that are open. */
  readonly open: Set<{ abandon(): void }>;
}

/** Runs statements on one connection. Errors are `StatementFailed` or `AnswerLost`. */
interface Executor {
  /** As the user wrote it, with `pg`'s conversion of values. */
  user(text: string, parameters: readonly unknown[]): Promise<PgResult>;
  own(statement: Statement, values: unknown[]): Promise<Row[]>;
}

const contexts = new WeakMap<Driver, SessionContext>();

/** Lets `sessionOn` find what belongs to the driver. */
export function registerDriver(driver: Driver, context: SessionContext): void {
  contexts.set(driver, context);
}

/**
 * A session on a connection on which the user has begun a transaction: what is applied commits with it. `commit` and `rollback` of the
 * session do nothing, the transaction is the user's to end; until then it holds up all other commits, so it should end soon.
 *
 * The transaction may have any isolation level. Under a stricter one than READ COMMITTED, `apply` fails with `ConflictError` if others have
 * committed since its snapshot.
 * @throws InvalidArgumentError not a driver made by `createPostgresDriver`
 */
export function sessionOn(driver: Driver, client: PgClient): SqlSession {
  const context = contexts.get(driver);
  if (context === undefined)
    throw new InvalidArgumentError(
      "engine: not a Postgres engine, so it cannot take part in a transaction of a Postgres client",
    );
  if (typeof client?.query !== "function")
    throw new InvalidArgumentError("client: allowed is an open client of the package pg, or one checked out of a pool");
  const executor: Executor = {
    user: (text, parameters) =>
      attempt(() => client.query({ text, values: [...parameters], rowMode: "array" })).then(lastOf),
    own: (statement, values) =>
      attempt(() => client.query({ text: statement.text, values, rowMode: "array", types: asText })).then(
        (result) => lastOf(result).rows as Row[],
      ),
  };
  return {
    sql: sqlOn(executor, context),
    apply: async (commit) => (await applyOn(executor, context, commit)).outcome,
    commit: async () => {},
    rollback: async () => {},
  };
}

/** Begins a transaction on a connection of the engine's own. */
export async function openSession(context: SessionContext, signal: AbortSignal | undefined): Promise<SqlSession> {
  throwIfAborted(signal);
  const leave = await context.gate.enter(signal);
  let lease: Lease | undefined;
  try {
    lease = await context.connections.acquire();
    // A client that stops in the middle must not hold up everybody else's commits for ever.
    await lease.simple(
      `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(context.connections.timeout)}`,
    );
    return new OwnSession(context, lease, leave);
  } catch (error) {
    lease?.discard();
    leave();
    throw context.connections.toAshlar(error);
  }
}

class OwnSession implements SqlSession {
  readonly sql: Sql;
  readonly #context: SessionContext;
  readonly #lease: Lease;
  readonly #leave: () => void;
  readonly #executor: Executor;
  /** Statements under way. */
  #running = 0;
  /** Whether the user's own statements may have written. */
  #used = false;
  /** The flush by which a lost answer to COMMIT is settled. */
  #flush: { readonly id: Buffer; readonly known: number } | undefined;
  #ended = false;

  constructor(context: SessionContext, lease: Lease, leave: () => void) {
    this.#context = context;
    this.#lease = lease;
    this.#leave = leave;
    this.#executor = {
      user: (text, parameters) => {
        this.#used = true;
        return this.#run(() =>
          lease.exchange(() => lease.client.query({ text, values: [...parameters], rowMode: "array" })),
        ).then(lastOf);
      },
      own: (statement, values) => this.#run(() => lease.run(statement, values)),
    };
    this.sql = sqlOn(this.#executor, context);
    context.open.add(this);
  }

  /** Ends it without a word; the server rolls back. */
  abandon(): void {
    this.#lease.discard();
    this.#end();
  }

  async apply(commit: RawCommit): Promise<RawOutcome> {
    const { outcome, flush } = await applyOn(this.#executor, this.#context, commit);
    this.#flush = flush ?? this.#flush;
    return outcome;
  }

  async commit(): Promise<void> {
    this.#assertOpen();
    try {
      await this.#mark();
      const { command } = lastOf(
        await this.#lease.exchange(() => this.#lease.client.query({ text: "COMMIT", rowMode: "array" })),
      );
      this.#end();
      if (command === "ROLLBACK")
        throw new InvalidStateError(
          `${this.#context.connections.where}: a statement of the SQL transaction failed, so it was rolled back`,
        );
    } catch (error) {
      this.abandon();
      if (!(error instanceof AnswerLost)) throw userError(error, this.#context.connections);
      await this.#settle(error);
    }
  }

  async rollback(): Promise<void> {
    if (this.#ended) return;
    // Behind a statement that is still running a ROLLBACK would wait; without its connection the server rolls back as well.
    if (this.#running === 0) await this.#lease.simple("ROLLBACK").catch(() => this.#lease.discard());
    this.#end();
  }

  /** Where only the user's own statements wrote there is no flush yet by which a lost answer could be settled: adds an empty one. */
  async #mark(): Promise<void> {
    if (this.#flush || !this.#used) return;
    const [row] = await this.#lease.simple("SELECT txid_current_if_assigned()");
    if (row?.[0] == null) return;
    const { statements } = this.#context;
    this.#flush = (
      await flushOn(this.#executor, this.#context, statements.write, [1, ...Array<null>(10).fill(null)])
    ).flush;
  }

  async #settle(lost: AnswerLost): Promise<void> {
    const { writer, connections } = this.#context;
    // Nothing was written, so nothing can have been lost.
    if (!this.#flush) return;
    const settled = await writer.settle(this.#flush.id, this.#flush.known, lost);
    if (settled.length === 0)
      throw new UnavailableError(
        `${connections.where}: the connection broke before the SQL transaction was committed: ${lost.message}`,
        { cause: lost.cause },
      );
  }

  async #run<T>(send: () => Promise<T>): Promise<T> {
    this.#assertOpen();
    this.#running++;
    try {
      return await send();
    } finally {
      this.#running--;
    }
  }

  #assertOpen(): void {
    if (this.#ended) throw new InvalidStateError("the SQL transaction has ended");
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#context.open.delete(this);
    if (this.#running > 0) this.#lease.discard();
    else this.#lease.release();
    this.#leave();
  }
}

interface Applied {
  readonly outcome: RawOutcome;
  /** Present if something was written. */
  readonly flush: { readonly id: Buffer; readonly known: number } | undefined;
}

/** Applies a commit within the transaction of the connection, which from then on holds up other commits until it ends. */
async function applyOn(executor: Executor, context: SessionContext, commit: RawCommit): Promise<Applied> {
  const plan = planFlush([commit], context.statements, { lock: commit.checks.length > 0 });
  if (!plan.writes) {
    const [row] = await within(context, () => executor.own(plan.statement, plan.values));
    return { outcome: plan.decode(parseIntegers(row?.[0]))[0] as RawOutcome, flush: undefined };
  }
  const { returned, flush } = await flushOn(executor, context, plan.statement, plan.values);
  const outcome = plan.decode(returned)[0] as RawOutcome;
  return { outcome, flush: outcome.ok && commit.mutations.length > 0 ? flush : undefined };
}

async function flushOn(executor: Executor, context: SessionContext, statement: Statement, values: unknown[]) {
  const { statements, names, writer } = context;
  const id = writer.ids.next();
  const [row] = await within(context, () => executor.own(statement, [id, ...values]));
  const returned = parseIntegers(row?.[0]);
  const { base, listened } = readHeader(returned);
  // Said within the transaction, so it is heard when that commits, whoever commits it.
  if (listened) await within(context, () => executor.own(statements.notify, [names.changesChannel, [String(base)]]));
  return { returned, flush: { id, known: base } };
}

async function within<T>({ connections }: SessionContext, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw connections.toAshlar(error);
  }
}

function sqlOn(executor: Executor, { connections }: SessionContext): Sql {
  const ask = async (text: string, parameters: readonly unknown[] = []): Promise<PgResult> => {
    try {
      return await executor.user(text, parameters);
    } catch (error) {
      throw userError(error, connections);
    }
  };
  return {
    run: async (text, parameters) => ({ changes: (await ask(text, parameters)).rowCount ?? 0 }),
    all: async <Row>(text: string, parameters?: readonly unknown[]) => {
      const { rows, fields } = await ask(text, parameters);
      return rows.map((row) => Object.fromEntries(fields.map(({ name }, i) => [name, row[i]]))) as Row[];
    },
  };
}

/** An error of the user's own statement is the server's, as `pg` gives it, unless the transaction should be tried again. */
function userError(error: unknown, connections: Connections): unknown {
  if (!(error instanceof StatementFailed)) return connections.toAshlar(error);
  const known = statementError(error, connections.where);
  return known instanceof ConflictError ? known : error.cause;
}

async function attempt<T>(send: () => Promise<T>): Promise<T> {
  try {
    return await send();
  } catch (error) {
    throw classify(error);
  }
}

function lastOf(result: PgResult | PgResult[]): PgResult {
  return Array.isArray(result) ? (result.at(-1) as PgResult) : result;
}
