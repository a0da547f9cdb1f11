import {
  ClosedError,
  createCloser,
  type Duration,
  decodeValue,
  encodeValue,
  InvalidStateError,
  invalidArgument,
  linkSignals,
  raceAbort,
  type StandardSchema,
  toMilliseconds,
  validate,
  withDeadline,
} from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { type ConfigMessage, written } from "./channels.ts";
import type { ChangeOptions, Config, Current, Invalid, Revision, Stale } from "./contract.ts";
import { follow } from "./following.ts";
import { type ConfigOptions, checkChange, type Settings, toLimit, toName, toSettings, toVersion } from "./options.ts";
import { historyKey, type Stored, toStored } from "./record.ts";
import { View } from "./view.ts";
import { Watching } from "./watching.ts";
import { type Make, Writing } from "./writing.ts";

/**
 * A configuration in the namespace of the engine: one value, which every process that gives the same name watches from now on.
 * @param name 1 to 500 characters
 * @throws InvalidArgumentError a bad option; `defaults` that do not satisfy the schema (from `ready` if the schema is asynchronous)
 */
export function createConfig<T, Input = T>(
  engine: Engine,
  name: string,
  options: ConfigOptions<T, Input>,
): Config<T, Input> {
  const settings = toSettings(engine, options as ConfigOptions<unknown, unknown>);
  return new EngineConfig<T, Input>(engine.scope("config"), toName(name), settings, options);
}

class EngineConfig<T, Input> implements Config<T, Input> {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #schema: StandardSchema<T>;
  readonly #defaults: (() => Promise<{ readonly value: T }>) | undefined;
  readonly #writing: Writing;
  readonly #view: View<T>;
  readonly #closing = new AbortController();
  readonly #following: Promise<void>;
  readonly #closer = createCloser(async () => {
    this.#closing.abort(closedError());
    await this.#following;
  }, "the configuration");

  constructor(engine: Engine, name: string, settings: Settings, options: ConfigOptions<T, Input>) {
    this.#engine = engine;
    this.#name = name;
    this.#schema = options.schema as StandardSchema<T>;
    this.#defaults = "defaults" in options ? this.#checked(options.defaults) : undefined;
    this.#writing = new Writing(engine, name, this.#schema, settings);
    const { staleAfter } = settings;
    this.#view = new View<T>({
      name,
      schema: this.#schema,
      runtime: engine.runtime,
      staleAfter,
      defaults: this.#defaults,
      earlier: (than) => this.#writing.earlier(than),
    });
    this.#following = follow({ engine, name, view: this.#view, staleAfter, signal: this.#closing.signal }).then(() =>
      // Also when the engine was closed: nothing will change any more.
      this.#closing.abort(closedError()),
    );
  }

  async ready(options: { readonly timeout?: Duration; readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#closer.assertOpen();
    const { timeout = Number.POSITIVE_INFINITY, signal } = options;
    const deadlineMs = timeout === Number.POSITIVE_INFINITY ? timeout : toMilliseconds(timeout, "timeout");
    using limit = withDeadline(this.#engine.runtime, { deadlineMs, signal, name: `configuration ${this.#name}` });
    using ended = linkSignals(limit.signal, this.#closing.signal);
    await raceAbort(this.#view.loaded, ended.signal);
    if (!this.#view.current && this.#view.defaultsError !== undefined) throw this.#view.defaultsError;
  }

  get(): T {
    return this.#view.assertCurrent().value;
  }

  current(): Current<T> {
    return this.#view.assertCurrent();
  }

  get stale(): Stale | undefined {
    return this.#view.stale;
  }

  get invalid(): Invalid | undefined {
    return this.#view.invalid;
  }

  set(value: Input, options: ChangeOptions = {}): Promise<Current<T>> {
    return this.#change(async () => ({ value }), options);
  }

  async update(
    fn: (value: T, version: number) => Input | Promise<Input>,
    options: ChangeOptions = {},
  ): Promise<Current<T>> {
    if (typeof fn !== "function") throw invalidArgument("fn", fn, "a function");
    return await this.#change(async (before) => {
      if (before) {
        const value = await validate(this.#schema, before.value, `the present version of ${this.#name}`);
        return { value: await fn(value, before.version) };
      }
      const made = await this.#defaults?.();
      if (made) return { value: await fn(made.value, 0) };
      throw new InvalidStateError(
        `configuration ${JSON.stringify(this.#name)}: nothing was set that could be updated, and there are no \`defaults\``,
      );
    }, options);
  }

  async rollback(version: number, options: ChangeOptions = {}): Promise<Current<T>> {
    toVersion(version, "version");
    return await this.#change(async (before, tx) => {
      const kept = before?.version === version ? before : await tx.get(historyKey(this.#name, version));
      if (kept === undefined) throw invalidArgument("version", version, "a version that the history still holds");
      return { value: toStored(kept, this.#name).value, rolledBackTo: version };
    }, options);
  }

  async history(
    options: { readonly limit?: number; readonly before?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Revision[]> {
    this.#closer.assertOpen();
    const { limit = 20, before, signal } = options;
    const below = before === undefined ? Number.MAX_SAFE_INTEGER : toVersion(before, "before");
    return await this.#writing.history(toLimit(limit), below, signal);
  }

  watch({ signal }: { readonly signal?: AbortSignal } = {}): AsyncIterableIterator<Current<T>> {
    this.#closer.assertOpen();
    return new Watching(this.#view, { after: -1, closing: this.#closing.signal, signal });
  }

  onChange(
    fn: (current: Current<T>, previous: Current<T> | undefined) => void | Promise<void>,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Disposable {
    this.#closer.assertOpen();
    if (typeof fn !== "function") throw invalidArgument("fn", fn, "a function");
    const left = new AbortController();
    void this.#call(fn, left.signal, signal);
    return { [Symbol.dispose]: () => left.abort() };
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What is read first is no change. */
  async #call(
    fn: (current: Current<T>, previous: Current<T> | undefined) => void | Promise<void>,
    left: AbortSignal,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    using ended = linkSignals(this.#closing.signal, left, signal);
    let previous = this.#view.current;
    if (!previous) {
      await raceAbort(this.#view.loaded, ended.signal).catch(() => {});
      previous = this.#view.current;
    }
    const watching = new Watching(this.#view, { after: previous?.version ?? -1, closing: ended.signal });
    for await (const current of watching) {
      await fn(current, previous);
      previous = current;
    }
  }

  async #change(make: Make, options: ChangeOptions): Promise<Current<T>> {
    this.#closer.assertOpen();
    checkChange(options);
    const { id: _id, ...stored } = await this.#commit(make, options);
    return { ...stored, value: await validate(this.#schema, stored.value, this.#name) };
  }

  /** What this process has set, it knows. */
  async #commit(make: Make, options: ChangeOptions): Promise<Stored> {
    const stored = await this.#writing.change(make, options);
    if (written.hasSubscribers) written.publish({ name: this.#name, version: stored.version } satisfies ConfigMessage);
    await this.#view.apply(stored);
    return stored;
  }

  /** Defaults are checked at once where the schema allows it, and given out as copies. */
  #checked(defaults: unknown): () => Promise<{ readonly value: T }> {
    const bytes = encodeValue(defaults, "defaults");
    const result = this.#schema["~standard"].validate(decodeValue(bytes));
    if (!(result instanceof Promise) && result.issues !== undefined)
      throw invalidArgument("defaults", defaults, `what satisfies the schema: ${result.issues[0]?.message ?? ""}`);
    return async () => ({ value: await validate(this.#schema, decodeValue(bytes), "defaults") });
  }
}

function closedError(): ClosedError {
  return new ClosedError("the configuration, or its engine, is closed: open it anew to use it again");
}
