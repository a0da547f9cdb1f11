import assert from "node:assert/strict";
import type { Check, Engine, Entry, Version } from "../../src/engine/index.ts";
import { isAshlarError } from "../../src/index.ts";
import { type KnownCheck, Oracle, type Stamp } from "./oracle.ts";
import { resolveCheck, type Step } from "./steps.ts";

/** What a call came to, with versions as the numbers of the commits that wrote them. */
type Outcome = unknown;

/**
 * Plays the steps, one after another, by clients of one store who take turns, and asks the oracle as well: every outcome must be equal.
 * @throws AssertionError one is not
 */
export async function play(steps: readonly Step[], clients: readonly Engine[]): Promise<Tally> {
  const oracle = new Oracle();
  const player = new Player(clients);
  const tally = { applied: 0, refused: 0, failed: 0 };
  for (const [index, step] of steps.entries()) {
    const checks = step.call === "commit" ? step.checks.map((plan) => resolveCheck(plan, oracle)) : [];
    const wanted = ask(oracle, step, checks);
    if (step.call === "commit") tally[kindOf(wanted)]++;
    const found = await player.play(index, step, checks, oracle.commits);
    assert.deepStrictEqual(found, wanted, `step ${index}: ${step.call}`);
  }
  return tally;
}

/** What became of the commits. */
export interface Tally {
  applied: number;
  refused: number;
  failed: number;
}

function kindOf(outcome: Outcome): keyof Tally {
  const { ok } = outcome as { ok?: boolean };
  return ok === undefined ? "failed" : ok ? "applied" : "refused";
}

function ask(oracle: Oracle, step: Step, checks: readonly KnownCheck[]): Outcome {
  switch (step.call) {
    case "commit":
      return oracle.commit(checks, step.mutations);
    case "get":
      return oracle.get(step.key);
    case "getMany":
      return step.keys.map((key) => oracle.get(key));
    case "list":
      return oracle.list(step.range, step.options);
    case "read":
      return oracle.read(step.topic, step.options.from, step.options.limit);
    case "bounds":
      return oracle.bounds(step.topic);
    case "trim":
      return oracle.trim(step.topic, step.before);
  }
}

/** The clients of the store, who take turns. */
class Player {
  readonly #clients: readonly Engine[];
  /** Invariant: each version was given to one commit, so that the two maps are inverse. */
  readonly #versions = new Map<Stamp, Version>();
  readonly #stamps = new Map<Version, Stamp>();

  constructor(clients: readonly Engine[]) {
    this.#clients = clients;
  }

  async play(index: number, step: Step, checks: readonly KnownCheck[], stamp: Stamp): Promise<Outcome> {
    const { kv, log } = this.#clients[index % this.#clients.length] as Engine;
    switch (step.call) {
      case "commit":
        return await this.#commit(kv, step, checks, stamp);
      case "get":
        return this.#known(await kv.get(step.key));
      case "getMany":
        return (await kv.getMany(step.keys)).map((entry) => this.#known(entry));
      case "list":
        return (await Array.fromAsync(kv.list(step.range, step.options))).map((entry) => this.#known(entry));
      case "read":
        return (await log.read(step.topic, step.options)).map(({ offset, value }) => ({ offset, value }));
      case "bounds":
        return await log.bounds(step.topic);
      case "trim":
        return await log.trim(step.topic, step.before);
    }
  }

  async #commit(
    kv: Engine["kv"],
    { mutations }: Step & { call: "commit" },
    checks: readonly KnownCheck[],
    stamp: Stamp,
  ): Promise<Outcome> {
    try {
      const outcome = await kv.tryCommit({ checks: checks.map((check) => this.#check(check)), mutations });
      if (!outcome.ok) return outcome;
      const { ok, version, adds, offsets } = outcome;
      // A commit that writes nothing has no version of its own.
      if (mutations.length > 0) {
        assert.ok(!this.#stamps.has(version), `the version ${version} was given twice`);
        this.#versions.set(stamp, version);
        this.#stamps.set(version, stamp);
      }
      return { ok, adds, offsets };
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      return { error: error.code };
    }
  }

  #check(check: KnownCheck): Check {
    const versionOf = (stamp: Stamp) => this.#versions.get(stamp) as Version;
    if (!("range" in check))
      return { key: check.key, version: check.version === undefined ? undefined : versionOf(check.version) };
    return {
      range: check.range,
      entries: check.entries.map(({ key, version }) => ({ key, version: versionOf(version) })),
    };
  }

  #known(entry: Entry | undefined): Outcome {
    if (!entry) return undefined;
    const { version, ...rest } = entry;
    return { ...rest, version: this.#stamps.get(version) ?? `unknown: ${version}` };
  }
}
