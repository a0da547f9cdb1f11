/**
 * The part of the package `pg` that the engine uses, so that a pool or a client of any version of it (or a wrapper) can be passed in and the
 * package itself is loaded only if none is.
 */
export interface PgPool {
  connect(): Promise<PgPoolClient>;
  readonly options?: { readonly max?: number | undefined };
}

/** A client checked out of a pool: nobody else uses it until `release`. */
export interface PgPoolClient extends PgClient {
  /** With `true` or an error the connection is closed instead of going back to the pool. */
  release(discard?: boolean | Error): void;
  /** The server's process, as it said when the connection was made. A pooler says something else. */
  readonly processID?: number | null | undefined;
  /** Whether the open connection keeps the process alive. */
  ref?(): void;
  unref?(): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "notification", listener: (message: PgNotification) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "notification", listener: (message: PgNotification) => void): unknown;
}

/** An open connection. */
export interface PgClient {
  query(query: PgQuery): Promise<PgResult | PgResult[]>;
}

export interface PgQuery {
  readonly text: string;
  /** Prepares the statement under this name, once for each connection. */
  readonly name?: string;
  readonly values?: unknown[];
  readonly rowMode: "array";
  /** Left out: `pg`'s own conversion of values by their types. */
  readonly types?: { getTypeParser(oid: number, format?: string): (text: string) => unknown };
}

export interface PgResult {
  readonly rows: unknown[][];
  readonly command: string;
  readonly rowCount: number | null;
  readonly fields: readonly { readonly name: string }[];
}

export interface PgNotification {
  readonly channel: string;
  readonly payload?: string | undefined;
}

/** A value of a row as the server wrote it, in its text form. */
export type Field = string | null;
export type Row = Field[];

/** Leaves every value as text: what the engine reads it decodes itself. */
export const asText = { getTypeParser: () => (text: string) => text };
