import type { FaultPlan } from "./fault-plan.ts";

/**
 * Says yes to `runtime.maybe` now and then. As in FoundationDB, a seed first decides for each label whether it is in play at all, so
 * that a run meets some rare paths often instead of all of them seldom.
 */
export class RarePaths {
  readonly #plan: FaultPlan;
  readonly #counts = new Map<string, { asked: number; taken: number; inPlay: boolean | undefined }>();

  constructor(plan: FaultPlan) {
    this.#plan = plan;
  }

  take(label: string): boolean {
    let count = this.#counts.get(label);
    if (!count) {
      count = { asked: 0, taken: 0, inPlay: undefined };
      this.#counts.set(label, count);
    }
    count.asked++;
    const site = this.#plan.site("rare-path", label);
    count.inPlay ??= site.dice.hits(0.5);
    if (!count.inPlay || !site.strikes()) return false;
    count.taken++;
    return true;
  }

  /** How often each label was asked about and taken. */
  get counts(): Record<string, { readonly asked: number; readonly taken: number }> {
    return Object.fromEntries([...this.#counts].map(([label, { asked, taken }]) => [label, { asked, taken }]));
  }
}
