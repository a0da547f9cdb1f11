import { type AshlarError, errorCodes, isAshlarError, UnavailableError } from "../../core/index.ts";
import type { SqlValue } from "./database.ts";
import { isSqliteError } from "./faults.ts";

/** Given to the writer's thread when it starts. */
export interface WriterData {
  readonly file: string;
  /** How long an SQL session may hold the writer, in milliseconds. */
  readonly sessionMs: number;
  /**
   * One integer shared by the threads: the id of the request whose COMMIT was begun last. Should the thread die, only the outcome of that
   * request is unknown, if it has not been answered.
   */
  readonly committing: Int32Array<SharedArrayBuffer>;
}

/** Frames are those of `frames.ts`. `now`: the engine's clock; `undefined`: the writer reads the system's when it has the lock. */
export type Request =
  | {
      readonly kind: "flush";
      readonly id: number;
      readonly frame: Uint8Array<ArrayBuffer>;
      readonly now: number | undefined;
    }
  | { readonly kind: "trim"; readonly id: number; readonly topic: Uint8Array; readonly before: number }
  | { readonly kind: "sweep"; readonly id: number; readonly limit: number; readonly now: number | undefined }
  | { readonly kind: "open-session"; readonly id: number }
  | { readonly kind: "in-session"; readonly id: number; readonly session: number; readonly call: SessionCall }
  | { readonly kind: "close"; readonly id: number };

/** What may be asked of an open SQL session, which is named by the id of the request that opened it. */
export type SessionCall =
  | { readonly kind: "run" | "all"; readonly text: string; readonly parameters: readonly SqlValue[] }
  | { readonly kind: "apply"; readonly frame: Uint8Array<ArrayBuffer>; readonly now: number | undefined }
  | { readonly kind: "commit" | "rollback" };

/** The first response, with id 0, says that the writer is ready, or why not. */
export type Response =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: WireError };

/** An error on its way between threads: cloning keeps neither classes nor fields. */
export type WireError =
  | {
      readonly kind: "ashlar";
      readonly code: string;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: "sqlite"; readonly message: string; readonly errcode: number; readonly errstr: string }
  | { readonly kind: "defect"; readonly message: string; readonly stack: string | undefined };

export function toWire(error: unknown): WireError {
  if (isAshlarError(error)) {
    return { kind: "ashlar", code: error.code, message: error.message, details: error.details };
  }
  if (isSqliteError(error)) {
    return { kind: "sqlite", message: error.message, errcode: error.errcode, errstr: error.errstr };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { kind: "defect", message, stack };
}

export function fromWire(error: WireError): Error {
  switch (error.kind) {
    case "ashlar":
      return revive(error.code, error.message, error.details);
    case "sqlite":
      return Object.assign(new Error(error.message), {
        code: "ERR_SQLITE_ERROR",
        errcode: error.errcode,
        errstr: error.errstr,
      });
    case "defect":
      return Object.assign(new Error(error.message), { stack: error.stack });
  }
}

function revive(code: string, message: string, details: Readonly<Record<string, unknown>>): AshlarError {
  const known = errorCodes.find((candidate) => candidate.code === code);
  return known ? new known.class(message, { details }) : new UnavailableError(message, { details });
}
