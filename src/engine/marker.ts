import {
  createIds,
  decodeValue,
  encodeKey,
  encodeValue,
  fullJitter,
  isAshlarError,
  type Runtime,
  sleep,
} from "../core/index.ts";
import type { Driver, RawCommit, RawOutcome } from "./driver.ts";
import type { GroupCommit } from "./group-commit.ts";
import { systemPrefix } from "./namespaces.ts";

/**
 * Idempotency markers, for engines on which the answer to a commit can be lost for good: a key that the commit writes along, and only if it
 * is absent. Whoever doubts writes "refused" into it under the same condition: then either the commit was applied (the marker is there
 * and says so), or it was not and, should it still be under way, will be refused on arrival.
 *
 * Key layout: `[0xFF, "marker", id]` → "applied" | "refused", gone after `keepMs`: longer than any commit can be under way.
 */
export class Marker {
  readonly #driver: Driver;
  readonly #runtime: Runtime;
  readonly #commits: GroupCommit;
  readonly #next: () => string;

  constructor(driver: Driver, runtime: Runtime, commits: GroupCommit) {
    this.#driver = driver;
    this.#runtime = runtime;
    this.#commits = commits;
    const ids = createIds(runtime);
    this.#next = () => ids.next();
  }

  /** Like `GroupCommit.submit`, but settles an unknown outcome: "applied" if the commit took place and its results are lost. */
  async submit(commit: RawCommit, lane: string, signal: AbortSignal): Promise<RawOutcome | "applied"> {
    for (;;) {
      const key = encodeKey(["marker", this.#next()], systemPrefix);
      try {
        const outcome = await this.#commits.submit(marked(commit, key), lane, signal);
        const doubts = outcome.ok && this.#runtime.maybe("transact: doubt the answer");
        if (!doubts) return outcome;
        return (await this.#wasApplied(key, lane, signal, undefined).catch(() => false)) ? "applied" : outcome;
      } catch (error) {
        if (!isAshlarError(error, "OUTCOME_UNKNOWN") || signal.aborted) throw error;
        if (await this.#wasApplied(key, lane, signal, error)) return "applied";
      }
    }
  }

  async #wasApplied(key: Uint8Array, lane: string, signal: AbortSignal, unknown: unknown): Promise<boolean> {
    for (let failures = 0; ; failures++) {
      try {
        const outcome = await this.#commits.submit(tombstone(key), lane, signal);
        if (outcome.ok) return false;
        const [entry] = await this.#driver.getMany([key], { signal });
        return entry !== undefined && decodeValue(entry.value) === "applied";
      } catch (error) {
        if (!isAshlarError(error) || (error.code !== "OUTCOME_UNKNOWN" && error.code !== "UNAVAILABLE")) throw unknown;
      }
      await sleep(this.#runtime, fullJitter(this.#runtime, failures, { base: 5, cap: 500 }), { signal }).catch(() => {
        throw unknown;
      });
    }
  }
}

const keepMs = 15 * 60 * 1000;

/** The marker is checked last, so that the other checks keep their places; a first submission never meets it. */
function marked(commit: RawCommit, key: Uint8Array): RawCommit {
  return {
    checks: [...commit.checks, { kind: "key", key, revision: 0 }],
    mutations: [...commit.mutations, { kind: "set", key, value: encodeValue("applied"), ttl: keepMs }],
    bytes: commit.bytes + 2 * key.length,
  };
}

function tombstone(key: Uint8Array): RawCommit {
  return {
    checks: [{ kind: "key", key, revision: 0 }],
    mutations: [{ kind: "set", key, value: encodeValue("refused"), ttl: keepMs }],
    bytes: 2 * key.length,
  };
}
