import { fullJitter, isAshlarError, type Key, keyName, type Timer } from "../../core/index.ts";
import type { Check, Mutation } from "../../engine/index.ts";
import { shardMapChannels } from "./channels.ts";
import type { MapHost } from "./host.ts";
import type { ShardEntry, WantedEntry } from "./keys.ts";
import { isShown, livingMembers, plan, type Step } from "./plan.ts";

/** Steps of one commit: each needs up to seven checks and writes, and a hundred are allowed. */
const perCommit = 12;

export interface BalancerOptions {
  readonly member: string;
  /** Milliseconds. */
  readonly ttl: number;
  /** Milliseconds. */
  readonly settle: number;
}

/**
 * Distributes the shards. Every member could: whatever is written is checked against what it was decided on, so two who do it at the same time do no harm. The eldest member does it at
 * once, the others one after the other later, if there is still something to do then: no election is needed.
 */
export class Balancer {
  readonly #host: MapHost;
  readonly #options: BalancerOptions;
  readonly #ignore: () => void;
  #timer: Timer | undefined;
  /** When the timer is due, by the monotonic clock. */
  #dueAt = 0;
  #acting = false;
  #failures = 0;
  #closed = false;

  constructor(host: MapHost, options: BalancerOptions) {
    this.#host = host;
    this.#options = options;
    this.#ignore = host.onChange(() => this.#consider());
    this.#consider();
  }

  close(): void {
    this.#closed = true;
    this.#ignore();
    this.#timer?.cancel();
  }

  /** There may be something to do: looks after a while, so that changes that come together are answered together. */
  #consider(): void {
    if (this.#closed || this.#acting) return;
    const { runtime } = this.#host.root;
    const { settle, ttl, member } = this.#options;
    const rank = [...livingMembers(this.#host.input).keys()].indexOf(member);
    // Who does not see itself yet sees too little.
    if (rank < 0) return;
    const pause = this.#failures === 0 ? 0 : fullJitter(runtime, this.#failures, { base: 20, cap: 1000 });
    const turn = runtime.maybe("shard map: balance out of turn") ? 0 : (rank * ttl) / 3;
    const delay = settle + turn + pause;
    const dueAt = runtime.clock.monotonic() + delay;
    // Whoever stood before this member may be gone: its turn may have come nearer, and never goes farther away.
    if (this.#timer && this.#dueAt <= dueAt) return;
    this.#timer?.cancel();
    this.#dueAt = dueAt;
    this.#timer = runtime.timers.after(
      delay,
      () => {
        this.#timer = undefined;
        void this.#act();
      },
      { ref: false },
    );
  }

  async #act(): Promise<void> {
    if (this.#closed) return;
    this.#acting = true;
    let again = false;
    try {
      // A lease of which nothing is known yet may have ended long ago.
      const steps = this.#host.liveness.known ? plan(this.#host.input) : [];
      again = steps.length > 0;
      const written: Promise<boolean>[] = [];
      for (let i = 0; i < steps.length; i += perCommit) written.push(this.#write(steps.slice(i, i + perCommit)));
      const refused = (await Promise.all(written)).includes(false);
      if (again) this.#announce(steps);
      // What was decided on has changed and the feed has not shown it yet: no use to ask at once.
      this.#failures = refused ? this.#failures + 1 : 0;
    } catch (error) {
      again = isAshlarError(error) && (error.retryable || error.code === "OUTCOME_UNKNOWN");
      this.#failures++;
    } finally {
      this.#acting = false;
      if (again) this.#consider();
    }
  }

  /** Resolves with whether all of it was done, when that can be seen. */
  async #write(steps: readonly Step[]): Promise<boolean> {
    if (await this.#commit(steps)) {
      await this.#host.until(() => steps.every((step) => isShown(this.#host.state, step)));
      return true;
    }
    // One that has become wrong must not hold up the others.
    if (steps.length > 1) for (const step of steps) await this.#commit([step]);
    return false;
  }

  async #commit(steps: readonly Step[]): Promise<boolean> {
    const batch = this.#toBatch(steps);
    return batch.mutations.length > 0 && (await this.#host.root.kv.tryCommit(batch)).ok;
  }

  #toBatch(steps: readonly Step[]): { readonly checks: Check[]; readonly mutations: Mutation[] } {
    const checks = new Map<string, Check>();
    const mutations: Mutation[] = [];
    const check = (given: Exclude<Check, { readonly range: unknown }>): void =>
      void checks.set(keyName(given.key), given);
    let assigned = false;
    for (const step of steps) assigned = this.#add(step, check, mutations) || assigned;
    if (assigned) mutations.push({ add: this.#host.keys.version, delta: 1 });
    return { checks: [...checks.values()], mutations };
  }

  /** What has become wrong since it was decided on is left out. Returns whether the step gives a shard to a new owner. */
  #add(step: Step, check: (given: { readonly key: Key } & CheckOfKey) => void, mutations: Mutation[]): boolean {
    const { keys, leases, state } = this.#host;
    if (step.kind === "bury") {
      const seen = state.members.get(step.member);
      if (!seen) return false;
      check({ key: keys.member(step.member), version: seen.version });
      check({ key: leases.keyOf(seen.value.lease), version: undefined });
      mutations.push({ delete: keys.member(step.member) });
      return false;
    }
    const { shard } = step;
    const seen = state.shards.get(shard);
    const wanted = state.wanted.get(shard);
    const epoch = seen?.value.epoch ?? 0;
    if (epoch !== step.epoch) return false;
    check({ key: keys.shard(shard), version: seen?.version });
    if (step.kind === "withdraw") {
      check({ key: keys.wanted(shard), version: wanted?.version });
      mutations.push({ delete: keys.wanted(shard) });
      return false;
    }
    const { to } = step;
    // A member that was made void or has left since is given nothing: its entry is at another version, or gone.
    const member = state.members.get(to.member);
    if (!member || member.value.void) return false;
    check({ key: keys.member(to.member), version: member.version });
    check({ key: leases.keyOf(to.lease), present: true });
    if (step.kind === "ask") {
      mutations.push({ set: keys.wanted(shard), value: { ...to, epoch } satisfies WantedEntry });
      return false;
    }
    if (seen?.value.owner) check({ key: leases.keyOf(seen.value.owner.lease), version: undefined });
    mutations.push({ set: keys.shard(shard), value: { owner: to, epoch: epoch + 1 } satisfies ShardEntry });
    // What was wanted of the one before is over.
    if (wanted) mutations.push({ delete: keys.wanted(shard) });
    return true;
  }

  #announce(steps: readonly Step[]): void {
    if (!shardMapChannels.rebalanced.hasSubscribers) return;
    const count = (kind: Step["kind"]): number => steps.filter((step) => step.kind === kind).length;
    shardMapChannels.rebalanced.publish({ map: this.#host.name, assigned: count("assign"), asked: count("ask") });
  }
}

type CheckOfKey = Exclude<Check, { readonly range: unknown }>;
