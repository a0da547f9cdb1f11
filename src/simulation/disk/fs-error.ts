/** Errors of the file system: their number on Linux, negated as Node does, and Node's words for them. */
const table = {
  ENOENT: [-2, "no such file or directory"],
  EIO: [-5, "i/o error"],
  EBADF: [-9, "bad file descriptor"],
  EBUSY: [-16, "resource busy or locked"],
  EEXIST: [-17, "file already exists"],
  ENOTDIR: [-20, "not a directory"],
  EISDIR: [-21, "illegal operation on a directory"],
  EINVAL: [-22, "invalid argument"],
  ENOSPC: [-28, "no space left on device"],
  EPERM: [-1, "operation not permitted"],
  ENAMETOOLONG: [-36, "name too long"],
  ENOTEMPTY: [-39, "directory not empty"],
} as const satisfies Record<string, readonly [errno: number, words: string]>;

export type FsErrorCode = keyof typeof table;

/** What went wrong inside the file system, before it is known for which call. */
export class FsRefusal extends Error {
  readonly code: FsErrorCode;

  constructor(code: FsErrorCode) {
    super(code);
    this.code = code;
  }
}

/** The call that an error is about. */
export interface FsCall {
  readonly syscall: string;
  readonly path?: string | undefined;
  readonly dest?: string | undefined;
}

/** An error with the message and the fields that `node:fs/promises` gives it. */
export function fsError(code: FsErrorCode, call: FsCall): NodeJS.ErrnoException {
  const [errno, words] = table[code];
  let message = `${code}: ${words}, ${call.syscall}`;
  if (call.path !== undefined) message += ` '${call.path}'`;
  if (call.dest !== undefined) message += ` -> '${call.dest}'`;
  const error = Object.assign(new Error(message), { errno, code, syscall: call.syscall });
  if (call.path !== undefined) Object.assign(error, { path: call.path });
  if (call.dest !== undefined) Object.assign(error, { dest: call.dest });
  return error;
}

/** The error that a caller gets for what was thrown inside. */
export function describeFailure(failure: unknown, call: FsCall): unknown {
  return failure instanceof FsRefusal ? fsError(failure.code, call) : failure;
}

/** The same error, said of a call that was made of several. */
export function aboutCall(error: unknown, call: FsCall): unknown {
  const code = (error as { readonly code?: unknown }).code;
  return typeof code === "string" && code in table ? fsError(code as FsErrorCode, call) : error;
}

/** Node's error for an argument that no file system can take. */
export function badArgument(name: string, given: unknown): TypeError {
  const error = new TypeError(`The argument '${name}' is invalid. Received ${String(given)}`);
  return Object.assign(error, { code: "ERR_INVALID_ARG_VALUE" });
}
