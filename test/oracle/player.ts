import assert from "node:assert/strict";
import type { Check, Engine, Entry, Version } from "../../src/engine/index.ts";
import { isAshlarError } from "../../src/index.ts";
import { resolveCheck, type Step } from "./steps.ts";
import { type Outcome, World } from "./world.ts";

/**
 * Plays the steps, one after another, by clients of one store who take turns, and in the oracle's world as well: every outcome must be
 * equal, with versions told apart by which commit wrote them.
 * @throws AssertionError one is not
 */
export async function play(steps: readonly Step[], clients: readonly Engine[]): Promise<Tally> {
  const world = new World();
  const player = new Player(clients);
  const tally = { applied: 0, refused: 0, failed: 0 };
  for (const [index, step] of steps.entries()) {
    const checks = step.call === "commit" ? step.checks.map((plan) => resolveCheck(plan, world)) : [];
    const wanted = ask(world, step, checks);
    if (step.call === "commit") tally[kindOf(wanted as Outcome)]++;
    const found = await player.play(index, step, checks, world.versionOf(world.commits));
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
  if ("error" in outcome) return "failed";
  return outcome.ok ? "applied" : "refused";
}

function ask(world: World, step: Step, checks: readonly Check[]): unknown {
  switch (step.call) {
    case "commit":
      return world.commit({ checks, mutations: step.mutations });
    case "get":
      return world.get(step.key);
    case "getMany":
      return step.keys.map((key) => world.get(key));
    case "list":
      return world.list(step.range, step.options);
    case "read":
      return world.read(step.topic, step.options.from, step.options.limit);
    case "bounds":
      return world.bounds(step.topic);
    case "trim":
      return world.trim(step.topic, step.before);
  }
}

/** The clients of the store, who take turns. */
class Player {
  readonly #clients: readonly Engine[];
  /** The store's version of each commit, by the oracle's. Invariant: no two are equal, and the other map is the inverse. */
  readonly #versions = new Map<Version, Version>();
  readonly #oracles = new Map<Version, Version>();

  constructor(clients: readonly Engine[]) {
    this.#clients = clients;
  }

  /** @param next the oracle's version of this step's commit, if it is one that writes */
  async play(index: number, step: Step, checks: readonly Check[], next: Version): Promise<unknown> {
    const { kv, log } = this.#clients[index % this.#clients.length] as Engine;
    switch (step.call) {
      case "commit":
        return await this.#commit(kv, step, checks, next);
      case "get":
        return this.#entry(await kv.get(step.key));
      case "getMany":
        return (await kv.getMany(step.keys)).map((entry) => this.#entry(entry));
      case "list":
        return (await Array.fromAsync(kv.list(step.range, step.options))).map((entry) => this.#entry(entry));
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
    checks: readonly Check[],
    next: Version,
  ): Promise<Outcome> {
    try {
      const outcome = await kv.tryCommit({ checks: checks.map((check) => this.#check(check)), mutations });
      if (!outcome.ok) return outcome;
      const { ok, version, adds, offsets } = outcome;
      // A commit that writes nothing has no version of its own.
      if (mutations.length > 0) {
        assert.ok(!this.#oracles.has(version), `the version ${version} was given twice`);
        this.#versions.set(next, version);
        this.#oracles.set(version, next);
      }
      return { ok, adds, offsets };
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      return { error: error.code };
    }
  }

  /** The oracle's check, with the store's versions. */
  #check(check: Check): Check {
    const version = (oracles: Version) => this.#versions.get(oracles) as Version;
    if ("range" in check) {
      return {
        range: check.range,
        entries: check.entries.map((entry) => ({ ...entry, version: version(entry.version) })),
      };
    }
    if ("present" in check) return check;
    return { key: check.key, version: check.version === undefined ? undefined : version(check.version) };
  }

  /** The store's entry, with the oracle's version. */
  #entry(entry: Entry | undefined): unknown {
    return entry && { ...entry, version: this.#oracles.get(entry.version) ?? `unknown: ${entry.version}` };
  }
}
