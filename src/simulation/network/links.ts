import { createDice, type Dice } from "../dice.ts";
import type { FaultPlan, FaultSite } from "../fault-plan.ts";
import type { Label, Trace } from "../trace.ts";

/** Says which messages do not get through: one active partition. */
export interface Cut {
  blocks(from: string, to: string): boolean;
}

/** The way from one machine to another. */
export interface Link {
  readonly from: string;
  readonly to: string;
  readonly label: Label;
  /** Milliseconds that a message takes, spikes included. */
  latency(): number;
  /** Whether nothing gets through now. */
  readonly cut: boolean;
  readonly loss: FaultSite;
  readonly duplicate: FaultSite;
  readonly reset: FaultSite;
  readonly halfOpen: FaultSite;
  readonly dice: Dice;
  /** To be called when something has arrived; `undefined` if nobody wants to know. */
  readonly arrived: ((sentAt: number, what: string) => void) | undefined;
}

export interface LinksOptions {
  readonly seed: number;
  readonly plan: FaultPlan;
  readonly trace: Trace;
  /** Shortest and mean latency of a link in milliseconds; each link draws its own mean from half to twice this. */
  readonly latency: readonly [shortest: number, mean: number];
  /** Told of every message that arrives. */
  readonly onArrival?: ((from: string, to: string, sentAt: number, what: string) => void) | undefined;
}

/** All ways between machines, and what cuts them. */
export class Links {
  readonly #options: LinksOptions;
  /** By sender, then by receiver. */
  readonly #links = new Map<string, Map<string, Link>>();
  readonly #cuts = new Set<Cut>();

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  /** Cuts what it blocks until the function that this returns is called. */
  cut(cut: Cut): () => void {
    this.#cuts.add(cut);
    return () => void this.#cuts.delete(cut);
  }

  /** Whether a message sent now would get through, faults of chance aside. A machine always hears itself. */
  reaches(from: string, to: string): boolean {
    if (from === to) return true;
    for (const cut of this.#cuts) if (cut.blocks(from, to)) return false;
    return true;
  }

  link(from: string, to: string): Link {
    let links = this.#links.get(from);
    if (!links) {
      links = new Map();
      this.#links.set(from, links);
    }
    let link = links.get(to);
    if (!link) {
      link = this.#create(from, to, `${from}→${to}`);
      links.set(to, link);
    }
    return link;
  }

  #create(from: string, to: string, name: string): Link {
    const { seed, plan, trace, onArrival } = this.#options;
    const dice = createDice(seed, `link ${name}`);
    const [shortest, usual] = from === to ? [0.01, 0.05] : this.#options.latency;
    const mean = usual * dice.between(0.5, 2);
    const spike = plan.site("delay", name);
    const links = this;
    return {
      from,
      to,
      label: trace.label(`message ${name}`),
      latency: () => {
        const usually = shortest + dice.exponential(Math.max(0, mean - shortest));
        return spike.strikes() ? usually * spike.dice.between(10, 100) : usually;
      },
      get cut() {
        return !links.reaches(from, to);
      },
      loss: plan.site("loss", name),
      duplicate: plan.site("duplicate", name),
      reset: plan.site("reset", name),
      halfOpen: plan.site("half-open", name),
      dice,
      arrived: onArrival && ((sentAt, what) => onArrival(from, to, sentAt, what)),
    };
  }
}
