import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { ClosedError, InvalidStateError, systemRuntime, TimeoutError, type Timer } from "../../core/index.ts";
import type { RawCommit } from "../driver.ts";
import type { Database } from "./database.ts";
import { decodeCommits, encodeOutcomes } from "./frames.ts";
import { Ledger } from "./ledger.ts";
import { UserSql } from "./user-sql.ts";
import { type Request, type Response, type SessionCall, toWire, type WriterData } from "./wire.ts";

/** Rows of a topic trimmed in one transaction: 32 MiB at most. */
const trimRows = 1000;

/** The body of the writer's thread: requests in their order; while an SQL session is open, only its own. */
class Writer {
  readonly #port: MessagePort;
  readonly #data: WriterData;
  readonly #ledger: Ledger;
  readonly #waiting: Request[] = [];
  #session: OpenSession | undefined;
  /** Sessions that took too long and whose owner has not heard of it yet. */
  readonly #overdue = new Set<number>();
  #sql: { readonly database: Database; readonly sql: UserSql } | undefined;
  #current = 0;
  #closing = false;

  constructor(port: MessagePort, data: WriterData) {
    this.#port = port;
    this.#data = data;
    this.#ledger = new Ledger({
      file: data.file,
      beforeCommit: () => Atomics.store(data.committing, 0, this.#current),
    });
  }

  handle(request: Request): void {
    if (request.kind === "in-session") {
      this.#answer(request.id, () => this.#inSession(request.session, request.call));
      this.#catchUp();
    } else if (request.kind === "close") this.#close(request.id);
    else if (this.#session) this.#waiting.push(request);
    else this.#perform(request);
  }

  #catchUp(): void {
    while (!this.#session) {
      const next = this.#waiting.shift();
      if (!next) return;
      this.#perform(next);
    }
  }

  #perform(request: Request): void {
    this.#answer(request.id, () => {
      switch (request.kind) {
        case "flush":
          return encodeOutcomes(this.#ledger.flush(decodeCommits(request.frame), request.now));
        case "trim":
          return this.#ledger.trim(request.topic, request.before, trimRows);
        case "sweep":
          return this.#ledger.sweep(request.limit, request.now);
        case "open-session":
          if (this.#closing) throw new ClosedError("the engine was closed before the SQL transaction could begin");
          return this.#openSession(request.id);
        default:
          throw new InvalidStateError(`the writer got the unexpected request ${request.kind}`);
      }
    });
  }

  #answer(id: number, work: () => unknown): void {
    this.#current = id;
    try {
      const value = work();
      this.#respond({ id, value }, value instanceof Uint8Array ? [value.buffer as ArrayBuffer] : []);
    } catch (error) {
      this.#respond({ id, error: toWire(error) });
    }
  }

  #respond(response: Response, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(response, transfer);
  }

  #openSession(id: number): void {
    const database = this.#ledger.begin();
    if (this.#sql?.database !== database) this.#sql = { database, sql: new UserSql(database, this.#data.file) };
    const timer = systemRuntime.timers.after(this.#data.sessionMs, () => this.#expire());
    this.#session = { id, database, sql: this.#sql.sql, timer };
  }

  #inSession(id: number, call: SessionCall): unknown {
    const session = this.#assertOpen(id);
    switch (call.kind) {
      case "run":
        return session.sql.run(call.text, call.parameters);
      case "all":
        return session.sql.all(call.text, call.parameters);
      case "apply": {
        const [commit] = decodeCommits(call.frame);
        return encodeOutcomes([this.#ledger.apply(commit as RawCommit, call.now)]);
      }
      case "commit":
        this.#endSession();
        return this.#ledger.commit();
      case "rollback":
        this.#endSession();
        return this.#ledger.rollback();
    }
  }

  #assertOpen(id: number): OpenSession {
    if (this.#overdue.delete(id)) throw tooLong(this.#data.sessionMs);
    const session = this.#session;
    if (session?.id !== id) throw new InvalidStateError("the SQL transaction has ended");
    if (session.database.inTransaction) return session;
    this.#endSession();
    throw new InvalidStateError(
      "the SQL transaction was rolled back by an earlier statement; nothing of it was applied",
    );
  }

  #expire(): void {
    const id = this.#endSession();
    if (id !== undefined) this.#overdue.add(id);
    this.#ledger.rollback();
    this.#catchUp();
  }

  #endSession(): number | undefined {
    const session = this.#session;
    session?.timer.cancel();
    this.#session = undefined;
    return session?.id;
  }

  #close(id: number): void {
    this.#closing = true;
    this.#endSession();
    this.#ledger.rollback();
    this.#catchUp();
    this.#answer(id, () => this.#ledger.close());
    this.#port.close();
  }
}

interface OpenSession {
  /** The id of the request that opened it. */
  readonly id: number;
  readonly database: Database;
  readonly sql: UserSql;
  readonly timer: Timer;
}

function tooLong(ms: number): TimeoutError {
  return new TimeoutError(
    `the SQL transaction took longer than ${ms} ms and was rolled back, since no other write can happen meanwhile; keep it short, or open the engine with a larger sqlTimeout`,
    { details: { sessionMs: ms } },
  );
}

function main(port: MessagePort): void {
  let writer: Writer;
  try {
    writer = new Writer(port, workerData as WriterData);
  } catch (error) {
    port.postMessage({ id: 0, error: toWire(error) } satisfies Response);
    return;
  }
  port.on("message", (request: Request) => writer.handle(request));
  port.postMessage({ id: 0, value: undefined } satisfies Response);
}

if (parentPort) main(parentPort);
