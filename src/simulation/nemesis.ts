import { createDice, type Dice } from "./dice.ts";
import { engineHost } from "./engine/engine-way.ts";
import type { FaultPlan } from "./fault-plan.ts";
import { type FaultKind, faultTable } from "./faults.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Cut } from "./network/links.ts";

/** What the nemesis can do to a world. */
export interface Victims {
  /** Machines that run programs and that this fault may befall. */
  readonly nodes: (kind: FaultKind) => readonly string[];
  /** Those that may be paused and are not. */
  readonly awake: () => readonly string[];
  /** Machines and clients whose wall clocks may be set. */
  readonly clocks: () => readonly string[];
  /** Machines, clients and the engine: all that messages go between. */
  readonly hosts: () => readonly string[];
  readonly leader: () => string | undefined;
  crash(node: string, power: boolean): void;
  restart(node: string): void;
  pause(node: string): void;
  resume(node: string): void;
  cut(cut: Cut): () => void;
  jump(host: string, ms: number): void;
  fillDisk(node: string, full: boolean): void;
  stallEngine(stalled: boolean): void;
}

export interface NemesisOptions {
  readonly seed: number;
  readonly plan: FaultPlan;
  /** Whose events the nemesis's are. */
  readonly world: Incarnation;
  readonly victims: Victims;
  readonly onFault: (machine: string, text: string) => void;
}

/** A spell that is over when this is called. */
type End = () => void;

/** Does the faults that come in spells: each kind at instants of its own, drawn in advance of what is hit. */
export class Nemesis {
  readonly #options: NemesisOptions;
  /** Spells under way, to be ended when healing begins. */
  readonly #under = new Set<End>();
  #healed = false;

  constructor(options: NemesisOptions) {
    this.#options = options;
  }

  /** Begins to do harm. */
  start(): void {
    const { plan, seed } = this.#options;
    for (const [kind, strength] of plan.strengths) {
      if (faultTable[kind].occurs === "spells")
        this.#repeat(kind, strength * 1000, createDice(seed, `nemesis ${kind}`), 0);
    }
  }

  /** Ends everything that is under way. Nothing new begins. */
  heal(): void {
    this.#healed = true;
    for (const end of this.#under) end();
    this.#under.clear();
  }

  #repeat(kind: FaultKind, meanMs: number, dice: Dice, number: number): void {
    const { world, plan } = this.#options;
    world.runtime.timers.after(dice.exponential(meanMs) + 1, () => {
      if (this.#healed) return;
      // Its own dice for each occasion: one that is left out shifts nothing for the next.
      const own = createDice(this.#options.seed, `nemesis ${kind} #${number}`);
      const spell = this.#prepare(kind, own);
      if (spell && plan.allows(kind, spell.site, number)) this.#begin(spell, own);
      this.#repeat(kind, meanMs, dice, number + 1);
    });
  }

  #begin({ site, text, begin, meanMs }: Spell, dice: Dice): void {
    const { world, onFault } = this.#options;
    onFault(site, text);
    const undo = begin();
    const end = (): void => {
      if (!this.#under.delete(end)) return;
      timer.cancel();
      undo();
    };
    this.#under.add(end);
    const timer = world.runtime.timers.after(1 + dice.exponential(meanMs), end);
  }

  #prepare(kind: FaultKind, dice: Dice): Spell | undefined {
    const { victims } = this.#options;
    const nodes = victims.nodes(kind);
    const node = nodes.length > 0 ? dice.pick(nodes) : undefined;
    switch (kind) {
      case "crash":
      case "power-loss":
        return node === undefined ? undefined : this.#crash(node, kind === "power-loss");
      case "pause":
        return this.#pause(dice);
      case "jump": {
        const clocks = victims.clocks();
        if (clocks.length === 0) return undefined;
        const host = dice.pick(clocks);
        const ms = Math.round(dice.between(-1, 1) * 10 ** dice.between(1, 6));
        return spell(host, `wall clock jumps by ${ms} ms`, 1, () => {
          victims.jump(host, ms);
          return () => {};
        });
      }
      case "disk-full":
        return node === undefined
          ? undefined
          : spell(node, "disk is full", 2_000, () => {
              victims.fillDisk(node, true);
              return () => victims.fillDisk(node, false);
            });
      case "engine-stall":
        return spell(engineHost, "answers nobody", 800, () => {
          victims.stallEngine(true);
          return () => victims.stallEngine(false);
        });
      default:
        return this.#partition(kind, dice);
    }
  }

  #crash(node: string, power: boolean): Spell {
    const { victims } = this.#options;
    return spell(node, power ? "loses power" : "crashes", 1_000, () => {
      victims.crash(node, power);
      return () => victims.restart(node);
    });
  }

  #pause(dice: Dice): Spell | undefined {
    const { victims } = this.#options;
    const awake = victims.awake();
    if (awake.length === 0) return undefined;
    const node = dice.pick(awake);
    return spell(node, "is paused", dice.pick([50, 500, 5_000]), () => {
      victims.pause(node);
      return () => victims.resume(node);
    });
  }

  #partition(kind: FaultKind, dice: Dice): Spell | undefined {
    const { victims } = this.#options;
    const hosts = [...victims.hosts()];
    const leader = victims.leader();
    const cut = hosts.length < 2 ? undefined : drawCut(kind, hosts, dice, leader);
    return cut && spell("network", cut.text, dice.pick([200, 2_000, 8_000]), () => victims.cut(cut));
  }
}

interface Spell {
  /** What is hit. */
  readonly site: string;
  readonly text: string;
  /** How long it lasts on average, in milliseconds. */
  readonly meanMs: number;
  readonly begin: () => End;
}

function spell(site: string, text: string, meanMs: number, begin: () => End): Spell {
  return { site, text, meanMs, begin };
}

/** The partition of a kind, among these machines. */
export function drawCut(
  kind: FaultKind,
  hosts: readonly string[],
  dice: Dice,
  leader: string | undefined,
): (Cut & { readonly text: string }) | undefined {
  const order = shuffled(hosts, dice);
  const sideOf = (names: readonly string[]) => new Set(names);
  const size = 1 + dice.below(order.length - 1);
  const some = sideOf(order.slice(0, size));
  const names = [...some].join(", ");
  switch (kind) {
    case "partition":
      return { text: `${names} apart from the others`, blocks: (from, to) => some.has(from) !== some.has(to) };
    case "one-way":
      return { text: `${names} not heard by the others`, blocks: (from, to) => some.has(from) && !some.has(to) };
    case "isolate": {
      const alone = leader !== undefined && hosts.includes(leader) && dice.hits(0.7) ? leader : (order[0] as string);
      return { text: `${alone} alone`, blocks: (from, to) => (from === alone) !== (to === alone) };
    }
    case "bridge": {
      const [middle, ...rest] = order;
      const half = sideOf(rest.slice(0, rest.length >> 1));
      return {
        text: `two halves, ${middle} between them`,
        blocks: (from, to) => from !== middle && to !== middle && half.has(from) !== half.has(to),
      };
    }
    case "ring": {
      // Jepsen's majorities-ring: each hears those nearest to it on a ring, a majority with itself.
      const place = new Map(order.map((name, at) => [name, at]));
      const reach = Math.ceil(Math.floor(order.length / 2) / 2);
      const distance = (a: string, b: string): number => {
        const apart = Math.abs((place.get(a) ?? 0) - (place.get(b) ?? 0));
        return Math.min(apart, order.length - apart);
      };
      return {
        text: `a ring: ${order.join(" ")}`,
        blocks: (from, to) => place.has(from) && place.has(to) && distance(from, to) > reach,
      };
    }
    default:
      return undefined;
  }
}

function shuffled(names: readonly string[], dice: Dice): string[] {
  const order = [...names];
  for (let i = order.length - 1; i > 0; i--) {
    const j = dice.below(i + 1);
    [order[i], order[j]] = [order[j] as string, order[i] as string];
  }
  return order;
}
