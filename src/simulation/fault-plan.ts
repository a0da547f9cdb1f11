import { createDice, type Dice } from "./dice.ts";
import type { FaultKind, Strengths } from "./faults.ts";
import type { Label, Trace } from "./trace.ts";

/** A fault that struck. */
export interface StruckFault {
  /** Names it among all faults of the run, the same in each replay: kind, place, and a number. */
  readonly id: string;
  readonly kind: FaultKind;
  /** Where: a node, a link, a label. */
  readonly site: string;
  /** Milliseconds since the beginning. */
  readonly at: number;
}

/** A kind of fault at one place. */
export interface FaultSite {
  /** Whether it strikes on this occasion. */
  strikes(): boolean;
  /** Chance for how it strikes; drawn from after `strikes` only, so that what is left out shifts nothing. */
  readonly dice: Dice;
}

export interface FaultPlanOptions {
  readonly seed: number;
  readonly strengths: Strengths;
  /** Only these may strike: what shrinking has left. Default: all. */
  readonly only?: ReadonlySet<string> | undefined;
  readonly trace: Trace;
  readonly now: () => number;
}

/**
 * Decides which faults strike. Each kind at each place has its own dice, so a fault that is left out, or a place that is not there, changes no
 * other decision by itself: that is what makes shrinking work.
 */
export class FaultPlan {
  readonly strengths: Strengths;
  readonly struck: StruckFault[] = [];
  /** Nothing strikes any more. */
  healed = false;
  readonly #options: FaultPlanOptions;
  readonly #sites = new Map<string, FaultSite>();

  constructor(options: FaultPlanOptions) {
    this.strengths = options.strengths;
    this.#options = options;
  }

  /** A fault of a `chance` kind at a place. */
  site(kind: FaultKind, place: string): FaultSite {
    const name = `${kind} ${place}`;
    let site = this.#sites.get(name);
    if (!site) {
      site = this.#create(kind, place, name);
      this.#sites.set(name, site);
    }
    return site;
  }

  /** Whether a fault whose time has come strikes; for the kinds that come in spells. */
  allows(kind: FaultKind, place: string, number: number): boolean {
    return (
      !this.healed &&
      this.#record(kind, place, `${kind} ${place} #${number}`, this.#options.trace.label(`fault ${kind} ${place}`))
    );
  }

  #create(kind: FaultKind, place: string, name: string): FaultSite {
    const { seed, trace } = this.#options;
    const strength = this.strengths.get(kind) ?? 0;
    const occasions = createDice(seed, `occasion ${name}`);
    const dice = createDice(seed, `fault ${name}`);
    if (strength === 0) return { strikes: () => false, dice };
    const label = trace.label(`fault ${name}`);
    let hits = 0;
    const strikes = (): boolean => {
      if (this.healed || !occasions.hits(strength)) return false;
      return this.#record(kind, place, `${name} #${hits++}`, label);
    };
    return { strikes, dice };
  }

  #record(kind: FaultKind, site: string, id: string, label: Label): boolean {
    const { only, trace, now } = this.#options;
    if (only && !only.has(id)) return false;
    trace.note(label, now());
    this.struck.push({ id, kind, site, at: now() });
    return true;
  }
}
