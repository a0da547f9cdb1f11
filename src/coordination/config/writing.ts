import {
  ConflictError,
  createIds,
  decodeValue,
  encodeValue,
  type Ids,
  isAshlarError,
  limitExceeded,
  OutcomeUnknownError,
  raceAbort,
  type StandardSchema,
  throwIfAborted,
  validate,
  withDeadline,
} from "../../core/index.ts";
import { type Engine, EngineClock, type Transaction } from "../../engine/index.ts";
import type { ChangeOptions, Revision } from "./contract.ts";
import type { Settings } from "./options.ts";
import { currentKey, historyBelow, historyKey, type Stored, toStored } from "./record.ts";

/** What a change makes of what is there; `before` as it stands in the store. */
export type Make = (before: Stored | undefined, tx: Transaction) => Promise<{ value: unknown; rolledBackTo?: number }>;

const graceMs = 1000;
/** Old versions that one commit deletes at most: more than one only after `history` was made smaller. */
const trimmedAtOnce = 32;

/** The commits of a configuration: each moves the present version into the history, puts the new one in its place, and forgets what is too old. */
export class Writing {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #schema: StandardSchema<unknown>;
  readonly #settings: Settings;
  readonly #clock: EngineClock;
  readonly #ids: Ids;

  /** @param engine in the scope of configurations */
  constructor(engine: Engine, name: string, schema: StandardSchema<unknown>, settings: Settings) {
    this.#engine = engine;
    this.#name = name;
    this.#schema = schema;
    this.#settings = settings;
    this.#clock = new EngineClock(engine, engine.runtime);
    this.#ids = createIds(engine.runtime);
  }

  async change(make: Make, options: ChangeOptions): Promise<Stored> {
    const { signal } = options;
    throwIfAborted(signal);
    const id = this.#ids.next();
    const now = await raceAbort(this.#clock.now(), signal);
    let stored: Stored | undefined;
    try {
      return await this.#engine.transact(
        async (tx) => {
          stored = await this.#next(tx, make, { options, id, now });
          return stored;
        },
        signal ? { signal } : {},
      );
    } catch (error) {
      if (!isAshlarError(error, "OUTCOME_UNKNOWN") || !stored || signal?.aborted) throw error;
      if (await this.#stands(stored).catch(() => false)) return stored;
      throw new OutcomeUnknownError(
        `configuration ${JSON.stringify(this.#name)}: the answer to the commit of version ${stored.version} was lost, and it is not there (yet); look into the history before setting it again`,
        { cause: error, details: { name: this.#name, version: stored.version } },
      );
    }
  }

  /** The versions below this one, latest first. */
  async *earlier(version: number, limit?: number, signal?: AbortSignal): AsyncGenerator<Stored> {
    const options = { reverse: true, ...(limit !== undefined && { limit }), ...(signal && { signal }) };
    for await (const { value } of this.#engine.kv.list(historyBelow(this.#name, version), options))
      yield toStored(value, this.#name);
  }

  async present(signal?: AbortSignal): Promise<Stored | undefined> {
    const entry = await this.#engine.kv.get(currentKey(this.#name), signal ? { signal } : {});
    return entry && toStored(entry.value, this.#name);
  }

  async history(limit: number, before: number, signal: AbortSignal | undefined): Promise<Revision[]> {
    const present = await this.present(signal);
    if (!present) return [];
    const revisions = present.version < before ? [toRevision(present)] : [];
    if (revisions.length === limit) return revisions;
    // What was present a moment ago may be history by now: it is left out there.
    const below = Math.min(present.version, before);
    for await (const stored of this.earlier(below, limit - revisions.length, signal))
      revisions.push(toRevision(stored));
    return revisions;
  }

  async #next(
    tx: Transaction,
    make: Make,
    { options, id, now }: { readonly options: ChangeOptions; readonly id: string; readonly now: number },
  ): Promise<Stored> {
    const { author, reason, expectedVersion } = options;
    const present = await tx.get(currentKey(this.#name));
    const before = present === undefined ? undefined : toStored(present, this.#name);
    const actual = before?.version ?? 0;
    if (expectedVersion !== undefined && expectedVersion !== actual) throw this.#conflict(expectedVersion, actual);
    // Written, and thereby copied, before a function gets it into its hands.
    if (before) tx.set(historyKey(this.#name, before.version), before);
    const made = await make(before, tx);
    await validate(this.#schema, this.#copyOf(made.value), this.#name);
    const stored: Stored = {
      id,
      version: actual + 1,
      // The engine's clock may be set back; the history's times do not go back.
      time: Math.max(now, before?.time ?? 0),
      value: this.#copyOf(made.value),
      ...(author !== undefined && { author }),
      ...(reason !== undefined && { reason }),
      ...(made.rolledBackTo !== undefined && { rolledBackTo: made.rolledBackTo }),
    };
    tx.set(currentKey(this.#name), stored);
    // From the oldest on, whatever other processes keep: so what is left has no gaps.
    const old = historyBelow(this.#name, Math.max(0, stored.version - this.#settings.history));
    for await (const { key } of tx.list(old, { limit: trimmedAtOnce })) tx.delete(key);
    return stored;
  }

  /** What is stored is what will be read, whatever becomes of the object that was given. */
  #copyOf(value: unknown): unknown {
    const bytes = encodeValue(value, "value");
    const { maxBytes } = this.#settings;
    if (bytes.length > maxBytes) throw limitExceeded("value", bytes.length, maxBytes, "bytes");
    return decodeValue(bytes);
  }

  #conflict(expected: number, actual: number): ConflictError {
    return new ConflictError(
      `configuration ${JSON.stringify(this.#name)} is at version ${actual}, not ${expected}; read it again, and decide anew`,
      { details: { name: this.#name, expected, actual } },
    );
  }

  /** Whether what this process wrote is there, as the present version or as an earlier one. */
  async #stands({ id, version }: Stored): Promise<boolean> {
    using limit = withDeadline(this.#engine.runtime, { deadlineMs: graceMs, name: "config" });
    const keys = [currentKey(this.#name), historyKey(this.#name, version)];
    const found = await raceAbort(this.#engine.kv.getMany<Stored>(keys, { signal: limit.signal }), limit.signal);
    return found.some((entry) => entry?.value.id === id);
  }
}

function toRevision({ id: _id, ...revision }: Stored): Revision {
  return revision;
}
