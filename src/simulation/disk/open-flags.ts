import { constants } from "node:fs";
import { UnsupportedError } from "../../core/index.ts";
import { badArgument } from "./fs-error.ts";

/** What `open` was asked for. */
export interface OpenFlags {
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
  readonly create: boolean;
  readonly exclusive: boolean;
  readonly truncate: boolean;
  readonly directory: boolean;
}

const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_SYNC, O_DSYNC } = constants;

const byName = new Map<string, number>([
  ["r", O_RDONLY],
  ["r+", O_RDWR],
  ["w", O_WRONLY | O_CREAT | O_TRUNC],
  ["w+", O_RDWR | O_CREAT | O_TRUNC],
  ["a", O_WRONLY | O_CREAT | O_APPEND],
  ["a+", O_RDWR | O_CREAT | O_APPEND],
]);
for (const [name, mode] of [...byName]) {
  if (!name.startsWith("r")) {
    byName.set(`${name[0]}x${name.slice(1)}`, mode | O_EXCL);
    byName.set(`x${name}`, mode | O_EXCL);
  }
}

/**
 * @throws TypeError (ERR_INVALID_ARG_VALUE) an unknown string
 * @throws UnsupportedError O_SYNC, O_DSYNC and the string flags with "s"
 */
export function parseOpenFlags(flags: string | number | undefined): OpenFlags {
  const mode = typeof flags === "number" ? flags : byName.get(flags ?? "r");
  if (mode === undefined) {
    if (/^([ra]s|s[ra])\+?$/.test(String(flags))) throw unsupported(flags);
    throw badArgument("flags", flags);
  }
  // O_SYNC contains O_DSYNC's bit.
  if ((mode & (O_SYNC | O_DSYNC)) !== 0) throw unsupported(flags);
  const access = mode & (O_RDONLY | O_WRONLY | O_RDWR);
  return {
    read: access !== O_WRONLY,
    write: access !== O_RDONLY,
    append: (mode & O_APPEND) !== 0,
    create: (mode & O_CREAT) !== 0,
    exclusive: (mode & O_EXCL) !== 0,
    truncate: (mode & O_TRUNC) !== 0,
    directory: (mode & O_DIRECTORY) !== 0,
  };
}

function unsupported(flags: string | number | undefined): UnsupportedError {
  return new UnsupportedError(`the simulated disk has no synchronous writes (open flags ${flags}): call sync`);
}
