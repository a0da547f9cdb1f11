import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { raceAbort, TimeoutError } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import type { Output } from "./output.ts";

/** What the exit code of `ashlar` says. */
export const exitCodes = {
  /** Done, and all is well. */
  good: 0,
  /** Done, and what was asked is not so: a key is absent, a promise is not kept, something is wrong with the machine. */
  found: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** The store could not be reached or opened, or failed. */
  unreachable: 3,
  /** The user interrupted what would have ended by itself. */
  interrupted: 130,
} as const;

/** A command of `ashlar`. */
export interface Command {
  /** The whole text of `--help`. */
  readonly help: string;
  /** @returns the exit code */
  run(args: readonly string[], context: Context): Promise<number>;
}

/** What commands may use of the process. */
export interface Context {
  readonly output: Output;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
}

/** A command line that makes no sense. Its message says what would. */
export class UsageError extends Error {}

/** Options that every command has. */
const everywhere = { url: { type: "string" }, json: { type: "boolean" } } as const satisfies ParseArgsOptionsConfig;

export interface Arguments<Option extends string> {
  /** Where the store is, if it was said. */
  readonly url: string | undefined;
  readonly json: boolean;
  /** What else was given, in order. */
  readonly rest: readonly string[];
  readonly text: (option: Option) => string | undefined;
  readonly flag: (option: Option) => boolean;
  /** A whole number of at least `least`. @throws UsageError */
  readonly count: (option: Option, least: number) => number | undefined;
}

/**
 * Takes the arguments apart. The store's URL is `--url`, or else the first argument; with ASHLAR_URL set, the first argument only if it
 * looks like a URL.
 * @throws UsageError unknown options
 */
export function parse<Option extends string>(
  args: readonly string[],
  options: Readonly<Record<Option, "string" | "boolean">>,
  { environment }: Context,
): Arguments<Option> {
  const config: ParseArgsOptionsConfig = { ...everywhere };
  for (const name in options) config[name] = { type: options[name] };
  const { values, positionals } = strictly(() =>
    parseArgs({ args: [...args], options: config, allowPositionals: true, strict: true }),
  );
  let url = values["url"] as string | undefined;
  if (url === undefined) {
    const usual = environment["ASHLAR_URL"];
    const [first] = positionals;
    url = usual === undefined || (first !== undefined && looksLikeUrl(first)) ? positionals.shift() : usual;
  }
  return {
    url,
    json: values["json"] === true,
    rest: positionals,
    text: (option) => values[option] as string | undefined,
    flag: (option) => values[option] === true,
    count: (option, least) => toCount(option, values[option] as string | undefined, least),
  };
}

function strictly<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function looksLikeUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:/i.test(text);
}

function toCount(option: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(count) && count >= least) return count;
  throw new UsageError(`--${option}: given ${JSON.stringify(text)}; allowed: a whole number of at least ${least}`);
}

/** @throws UsageError more or fewer arguments than these */
export function expectArguments(rest: readonly string[], names: readonly string[], optional = 0): void {
  if (rest.length < names.length - optional) throw new UsageError(`${names[rest.length]} is missing`);
  if (rest.length > names.length)
    throw new UsageError(`${JSON.stringify(rest[names.length])} is one argument too many`);
}

const connectMs = 15_000;

/**
 * Opens the store.
 * @throws UsageError no URL was given
 */
export async function open(url: string | undefined, { signal }: Context): Promise<Engine> {
  if (url === undefined)
    throw new UsageError("the URL of a store is missing: give it as the first argument, as --url, or in ASHLAR_URL");
  const { connect } = await import("../engine/index.ts");
  const giveUp = new AbortController();
  const limit = AbortSignal.any([signal, giveUp.signal]);
  // Unlike `AbortSignal.timeout`, this keeps the process alive until there is an answer to give.
  const timer = setTimeout(() => giveUp.abort(notInTime()), connectMs);
  try {
    return await raceAbort(connect(url, { signal: limit }), limit);
  } finally {
    clearTimeout(timer);
  }
}

function notInTime(): TimeoutError {
  return new TimeoutError(
    `the store did not answer within ${connectMs / 1000} s; is it running, and is its URL right?`,
  );
}

/** Whether the error is the user's interruption. */
export function isInterruption(error: unknown, { signal }: Context): boolean {
  return signal.aborted && error === signal.reason;
}
