import { InvalidStateError, type Runtime, type StandardSchema, validate } from "../../core/index.ts";
import { type ConfigMessage, changed, invalid as invalidChannel } from "./channels.ts";
import type { Current, Invalid, Stale } from "./contract.ts";
import { freezeDeeply } from "./freeze.ts";
import { type Stored, toStored } from "./record.ts";

/** What a view needs of the store, and what it was made with. */
export interface ViewOptions<T> {
  readonly name: string;
  readonly schema: StandardSchema<T>;
  readonly runtime: Runtime;
  readonly staleAfter: number;
  /** The value while nothing was set. */
  readonly defaults: (() => Promise<{ readonly value: T }>) | undefined;
  /** The earlier versions, latest first. */
  earlier(than: number): AsyncIterable<Stored>;
}

/**
 * The configuration as this process knows it.
 *
 * Invariants: the version of `current` never decreases; `current` satisfies the schema.
 */
export class View<T> {
  readonly #options: ViewOptions<T>;
  #current: Current<T> | undefined;
  #invalid: Invalid | undefined;
  /** The latest version that was looked at, fit or not. */
  #seen = -1;
  /** By both clocks of this process: when the engine was asked what it then answered. */
  #confirmed: { readonly monotonic: number; readonly wall: number };
  #applying: Promise<unknown> = Promise.resolve();
  readonly #listeners = new Set<() => void>();
  #defaultsError: unknown;
  readonly #loaded = Promise.withResolvers<void>();
  #isLoaded = false;

  constructor(options: ViewOptions<T>) {
    this.#options = options;
    this.#confirmed = this.#now();
  }

  /** Resolves when the engine has answered once. */
  get loaded(): Promise<void> {
    return this.#loaded.promise;
  }

  get current(): Current<T> | undefined {
    return this.#current;
  }

  get invalid(): Invalid | undefined {
    return this.#invalid;
  }

  get stale(): Stale | undefined {
    const forMs = this.#options.runtime.clock.monotonic() - this.#confirmed.monotonic;
    return forMs > this.#options.staleAfter ? { since: this.#confirmed.wall, forMs } : undefined;
  }

  /** Calls the function after each change of `current`, until the result is called. */
  listen(fn: () => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  /** Why `defaults` do not serve. */
  get defaultsError(): unknown {
    return this.#defaultsError;
  }

  /** @throws InvalidStateError there is none */
  assertCurrent(): Current<T> {
    if (this.#current) return this.#current;
    const name = JSON.stringify(this.#options.name);
    if (!this.#isLoaded)
      throw new InvalidStateError(`configuration ${name} has not been read yet: await its \`ready\` first`);
    throw new InvalidStateError(
      this.#invalid
        ? `configuration ${name}: what is stored does not satisfy the schema, no earlier version does, and there are no \`defaults\``
        : `configuration ${name}: nothing was set, and there are no \`defaults\``,
      { cause: this.#invalid?.error },
    );
  }

  /** The engine, asked at that moment, has answered with this; `undefined`: nothing was set. */
  confirm(value: unknown, asked: { readonly monotonic: number; readonly wall: number }): Promise<void> {
    if (asked.monotonic > this.#confirmed.monotonic) this.#confirmed = asked;
    return this.apply(value);
  }

  /** Makes what is stored current, if it is later than what was seen and fits. One after another, for schemas may take their time. */
  apply(value: unknown): Promise<void> {
    const applied = this.#applying.then(() => this.#apply(value));
    this.#applying = applied.catch(() => {});
    return applied;
  }

  #now(): { monotonic: number; wall: number } {
    const { clock } = this.#options.runtime;
    return { monotonic: clock.monotonic(), wall: clock.now() };
  }

  async #apply(value: unknown): Promise<void> {
    if (value === undefined) await this.#applyNothing();
    else await this.#applyStored(value);
    this.#isLoaded = true;
    this.#loaded.resolve();
  }

  async #applyNothing(): Promise<void> {
    if (this.#seen >= 0) return;
    await this.#applyDefaults();
    this.#seen = 0;
  }

  async #applyDefaults(): Promise<void> {
    try {
      const made = await this.#options.defaults?.();
      if (made) this.#replace({ value: made.value, version: 0, time: undefined });
    } catch (error) {
      this.#defaultsError = error;
    }
  }

  async #applyStored(value: unknown): Promise<void> {
    let version: number | undefined;
    try {
      const stored = toStored(value, this.#options.name);
      if (stored.version <= this.#seen) return;
      version = stored.version;
      this.#replace(await this.#fit(stored));
      this.#invalid = undefined;
    } catch (error) {
      await this.#refuse(version, error);
    }
    if (version !== undefined) this.#seen = version;
  }

  async #fit({ id: _id, value, ...rest }: Stored): Promise<Current<T>> {
    return { ...rest, value: await validate(this.#options.schema, value, this.#options.name) };
  }

  /** What is known stays. A process that knows nothing yet takes the latest earlier version that fits. */
  async #refuse(version: number | undefined, error: unknown): Promise<void> {
    const news = this.#invalid?.version !== version || this.#invalid === undefined;
    this.#invalid = { version, error };
    if (news) this.#tell(invalidChannel, { version: version ?? 0, error });
    if (this.#current) return;
    if (version !== undefined) {
      for await (const earlier of this.#options.earlier(version)) {
        const fit = await this.#fit(earlier).catch(() => undefined);
        if (!fit) continue;
        this.#replace(fit);
        return;
      }
    }
    await this.#applyDefaults();
  }

  #replace(current: Current<T>): void {
    this.#current = Object.freeze({ ...current, value: freezeDeeply(current.value) });
    this.#tell(changed, { version: current.version });
    for (const listener of [...this.#listeners]) listener();
  }

  #tell(channel: typeof changed, message: Omit<ConfigMessage, "name">): void {
    if (channel.hasSubscribers) channel.publish({ name: this.#options.name, ...message } satisfies ConfigMessage);
  }
}
