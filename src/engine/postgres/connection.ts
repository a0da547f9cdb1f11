import {
  ClosedError,
  OutcomeUnknownError,
  type Runtime,
  TimeoutError,
  throwIfAborted,
  UnavailableError,
} from "../../core/index.ts";
import { asText, type PgPool, type PgPoolClient, type PgResult, type Row } from "./client.ts";
import { AnswerLost, classify, connectError, StatementFailed, statementError } from "./server-errors.ts";

/** A statement and the name under which connections keep it prepared. Invariant: equal names mean equal texts, in every program. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export interface ConnectionOptions {
  /** "Postgres at localhost:5432": for messages. */
  readonly where: string;
  readonly runtime: Runtime;
  /** Milliseconds that a statement may take. */
  readonly timeout: number;
  /** Milliseconds that getting a connection may take. */
  readonly connectTimeout: number;
}

/** The pool, with time limits and with errors that say whether anything was applied. */
export class Connections {
  readonly where: string;
  readonly runtime: Runtime;
  readonly timeout: number;
  readonly #pool: PgPool;
  readonly #connectTimeout: number;
  #prepare = false;
  #closed = false;

  constructor(pool: PgPool, options: ConnectionOptions) {
    this.#pool = pool;
    this.where = options.where;
    this.runtime = options.runtime;
    this.timeout = options.timeout;
    this.#connectTimeout = options.connectTimeout;
  }

  /** Whether statements are prepared under names: not before it is known that connections keep them, nor once one turned out not to. */
  get prepare(): boolean {
    return this.#prepare;
  }

  startPreparing(): void {
    this.#prepare = true;
  }

  forgoPreparing(): void {
    this.#prepare = false;
  }

  /** From now on there are no more connections to be had. */
  close(): void {
    this.#closed = true;
  }

  /**
   * A connection for one's own use until it is released.
   * @throws UnavailableError, InvalidArgumentError the server cannot be reached or does not let us in
   */
  async acquire(): Promise<Lease> {
    if (this.#closed) throw new ClosedError(`the engine on ${this.where} is closed`);
    const { promise, resolve, reject } = Promise.withResolvers<PgPoolClient>();
    let late = false;
    const timer = this.runtime.timers.after(this.#connectTimeout, () => {
      late = true;
      reject(
        new UnavailableError(
          `${this.where}: no connection within ${this.#connectTimeout} ms; check that the server answers, and that connections are not held for long`,
        ),
      );
    });
    this.#pool.connect().then((client) => (late ? client.release() : resolve(client)), reject);
    try {
      return new Lease(await promise, this);
    } catch (error) {
      throw connectError(error, this.where);
    } finally {
      timer.cancel();
    }
  }

  /**
   * Runs a statement that only reads, or that does no more when it runs twice. A connection that broke is no reason to fail: it is
   * asked once more on another.
   */
  async ask(statement: Statement, values: unknown[], signal?: AbortSignal): Promise<Row[]> {
    for (let attempt = 1; ; attempt++) {
      throwIfAborted(signal);
      const lease = await this.acquire();
      try {
        const rows = await lease.run(statement, values);
        lease.release();
        return rows;
      } catch (error) {
        lease.settle(error);
        if (error instanceof AnswerLost && !error.timedOut && attempt === 1) continue;
        throw this.toAshlar(error);
      }
    }
  }

  /** Runs a statement, once: for what must not happen twice. */
  async tell(statement: Statement, values: unknown[]): Promise<void> {
    const lease = await this.acquire();
    try {
      await lease.run(statement, values);
      lease.release();
    } catch (error) {
      lease.settle(error);
      if (error instanceof AnswerLost)
        throw new OutcomeUnknownError(`${this.where}: the answer was lost: ${error.message}`, { cause: error.cause });
      throw this.toAshlar(error);
    }
  }

  /** The error of something that had no effect. */
  toAshlar(error: unknown): unknown {
    if (error instanceof StatementFailed) return statementError(error, this.where);
    if (!(error instanceof AnswerLost)) return error;
    return error.timedOut
      ? new TimeoutError(`${this.where}: ${error.message}`, { cause: error.cause })
      : new UnavailableError(`${this.where}: the connection broke: ${error.message}`, { cause: error.cause });
  }
}

/** A connection in one's own hands. Errors are `StatementFailed` (rolled back) or `AnswerLost`; after the latter the connection is gone. */
export class Lease {
  readonly client: PgPoolClient;
  readonly #connections: Connections;
  #ended = false;
  /** Why the connection broke while nobody asked it anything. */
  #broken: Error | undefined;
  /** Rejects the present exchange. */
  #giveUp: ((error: AnswerLost) => void) | undefined;

  constructor(client: PgPoolClient, connections: Connections) {
    this.client = client;
    this.#connections = connections;
    // Without a listener, an error of a connection that is checked out would end the process.
    client.on("error", this.#onError);
  }

  get broken(): boolean {
    return this.#ended || this.#broken !== undefined;
  }

  /** Runs a statement whose result is read as text. */
  async run(statement: Statement, values: unknown[]): Promise<Row[]> {
    if (!this.#connections.prepare) return await this.runUnprepared(statement, values);
    try {
      return await this.#rows({ ...statement, values });
    } catch (error) {
      if (!(error instanceof StatementFailed && isUnprepared(error))) throw error;
      this.#connections.forgoPreparing();
      return await this.runUnprepared(statement, values).catch((second) => {
        // Inside a transaction the first error has ended it; the whole of it may be tried again.
        throw second instanceof StatementFailed && second.state === "25P02" ? error : second;
      });
    }
  }

  /** For connections of others, on which names should not be left behind. */
  runUnprepared(statement: Statement, values: unknown[]): Promise<Row[]> {
    return this.#rows({ text: statement.text, values });
  }

  /** Runs one or more statements without parameters, in one message; resolves with the rows of the last one. */
  simple(text: string): Promise<Row[]> {
    return this.#rows({ text });
  }

  /** Runs one or more statements without parameters, in one message; resolves with the rows of each. */
  async simpleAll(text: string): Promise<Row[][]> {
    const result = await this.exchange(() => this.client.query({ text, rowMode: "array", types: asText }));
    return (Array.isArray(result) ? result : [result]).map(({ rows }) => rows as Row[]);
  }

  async #rows(query: { text: string; name?: string; values?: unknown[] }): Promise<Row[]> {
    const result = await this.exchange(() => this.client.query({ ...query, rowMode: "array", types: asText }));
    const last = Array.isArray(result) ? (result.at(-1) as PgResult) : result;
    return last.rows as Row[];
  }

  /** One exchange with the server, within the time that a statement may take; then the connection is closed, whatever the server still does. */
  exchange<T>(send: () => Promise<T>): Promise<T> {
    const { timeout, runtime } = this.#connections;
    return new Promise((resolve, reject) => {
      if (this.#broken) {
        reject(classify(this.#broken));
        return;
      }
      this.#giveUp = reject;
      const timer = runtime.timers.after(timeout, () => {
        reject(new AnswerLost(`no answer within ${timeout} ms`, undefined, true));
        this.discard();
      });
      send().then(
        (result) => {
          timer.cancel();
          resolve(result);
        },
        (error) => {
          timer.cancel();
          const known = classify(error);
          // Whatever the connection is still in the middle of, nobody else is to get it.
          if (known instanceof AnswerLost) this.#broken ??= known;
          reject(known);
        },
      );
    });
  }

  /** Gives the connection back. Harmless when repeated. */
  release(): void {
    this.#end(this.#broken);
  }

  /** Closes the connection, whatever is still under way on it. Harmless when repeated. */
  discard(): void {
    this.#giveUp?.(new AnswerLost("the connection was given up", undefined));
    this.#end(true);
  }

  /** Gives the connection back after an error: to the pool if the server is still there, else it is closed. */
  settle(error: unknown): void {
    if (error instanceof AnswerLost) this.discard();
    else this.release();
  }

  #end(discard: boolean | Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.client.release(discard);
    this.client.removeListener("error", this.#onError);
    // The pool listens from here on, but for a connection that it closes: whose error, should one still come, concerns nobody.
    if (discard) this.client.on("error", ignore);
  }

  readonly #onError = (error: Error): void => {
    this.#broken ??= error;
  };
}

/** A pooler that lends connections by transaction may not know a name that another connection prepared, or know it already. */
function isUnprepared({ state }: StatementFailed): boolean {
  return state === "26000" || state === "42P05";
}

function ignore(): void {}
