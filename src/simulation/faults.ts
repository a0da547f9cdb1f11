import { invalidArgument } from "../core/index.ts";
import type { Dice } from "./dice.ts";

/** What a fault kind is like. */
interface FaultTraits {
  readonly group: FaultGroup;
  /** `chance`: strength is the probability per occasion. `spells`: strength is the mean time between two, in seconds. */
  readonly occurs: "chance" | "spells";
  /** Strengths that a seed draws from, evenly on a logarithmic scale. */
  readonly range: readonly [from: number, to: number];
  readonly meaning: string;
}

export type FaultGroup = "process" | "network" | "clock" | "disk" | "engine" | "code";

/** Everything that can go wrong in a simulated world. */
export const faultTable = {
  crash: spells(
    "process",
    [0.5, 20],
    "a process dies at once; its timers, sockets and calls die with it; it restarts later",
  ),
  "power-loss": spells("process", [1, 30], "a machine dies: like a crash, and what was not synced to disk is in doubt"),
  pause: spells(
    "process",
    [0.5, 20],
    "a process stops (SIGSTOP, a long collection of garbage) and later goes on as if nothing had been",
  ),

  partition: spells("network", [1, 20], "two groups of machines do not hear each other"),
  "one-way": spells("network", [1, 20], "messages from one group to another are lost, the way back works"),
  ring: spells("network", [2, 30], "everybody hears a majority, and no two the same one"),
  bridge: spells("network", [2, 30], "two halves hear each other only through one machine"),
  isolate: spells("network", [1, 20], "one machine, the leader if the scenario names it, is cut off"),
  loss: chance("network", [0.005, 0.2], "a datagram is lost; a segment of a stream is sent again, later"),
  duplicate: chance("network", [0.005, 0.2], "a datagram arrives twice"),
  delay: chance(
    "network",
    [0.005, 0.2],
    "a message takes ten to a hundred times as long, so that later ones overtake it",
  ),
  reset: chance("network", [0.001, 0.02], "a stream is reset at both ends"),
  "half-open": chance("network", [0.001, 0.02], "one end of a stream dies and the other does not hear of it"),

  offset: chance("clock", [0.1, 1], "a machine's wall clock is wrong by up to minutes"),
  drift: chance("clock", [0.1, 1], "a machine's clocks run up to 1 % too fast or too slow"),
  jump: spells("clock", [1, 20], "a wall clock is set forward or back"),

  "disk-slow": chance("disk", [0.005, 0.1], "an operation of a disk takes ten to a hundred times as long"),
  "disk-read-error": chance("disk", [0.0005, 0.01], "a read fails with EIO"),
  "disk-write-error": chance("disk", [0.0005, 0.01], "a write fails with EIO"),
  "disk-short-write": chance("disk", [0.005, 0.1], "a write is cut short, and says so"),
  "disk-sync-error": chance("disk", [0.0005, 0.02], "fsync fails with EIO, and what was to be synced is lost"),
  "disk-full": spells("disk", [5, 60], "a disk is full for a while"),
  "torn-write": chance(
    "disk",
    [0.05, 0.5],
    "a sector that was being written when the power went is half old, half new",
  ),

  "engine-slow": chance("engine", [0.005, 0.2], "a call takes ten to a hundred times as long"),
  "engine-refused": chance("engine", [0.005, 0.2], "a call fails with UNAVAILABLE; nothing was applied"),
  "engine-request-lost": chance(
    "engine",
    [0.002, 0.1],
    "a call never arrives: a commit's outcome is unknown, and nothing was applied",
  ),
  "engine-reply-lost": chance(
    "engine",
    [0.002, 0.1],
    "a call is done and its answer lost: a commit's outcome is unknown",
  ),
  "engine-late": chance("engine", [0.001, 0.05], "a commit's outcome is unknown, and it arrives later"),
  "engine-stall": spells("engine", [2, 30], "the engine answers nobody for a while, then everybody"),
  "watch-reset": chance("engine", [0.005, 0.1], "a change feed loses its place after a commit"),

  "rare-path": chance("code", [0.05, 0.5], "`runtime.maybe(label)` says yes: code takes a path that is rare otherwise"),
} as const satisfies Record<string, FaultTraits>;

function spells(group: FaultGroup, range: readonly [number, number], meaning: string): FaultTraits {
  return { group, occurs: "spells", range, meaning };
}

function chance(group: FaultGroup, range: readonly [number, number], meaning: string): FaultTraits {
  return { group, occurs: "chance", range, meaning };
}

export type FaultKind = keyof typeof faultTable;

/** All kinds, in the order of the table. */
export const faultKinds = Object.keys(faultTable) as readonly FaultKind[];

/** The kinds that a scenario allows: all, none, or these kinds and groups of kinds. */
export type FaultMenu = "all" | "none" | readonly (FaultKind | FaultGroup)[];

/** How strong each kind is in one run; a kind that is absent does not occur. */
export type Strengths = ReadonlyMap<FaultKind, number>;

/** @throws InvalidArgumentError an unknown kind or group */
export function kindsOf(menu: FaultMenu): FaultKind[] {
  if (menu === "all") return [...faultKinds];
  if (menu === "none") return [];
  if (!Array.isArray(menu)) throw invalidArgument("faults", menu, '"all", "none", or an array of kinds and groups');
  const wanted = new Set<string>(menu);
  const groups = new Set<string>(faultKinds.map((kind) => faultTable[kind].group));
  for (const name of wanted) {
    if (!groups.has(name) && !(name in faultTable))
      throw invalidArgument("faults", name, `one of ${[...groups, ...faultKinds].join(", ")}`);
  }
  return faultKinds.filter((kind) => wanted.has(kind) || wanted.has(faultTable[kind].group));
}

/**
 * Swarm testing (Groce et al., ISSTA 2012): each seed draws which of the kinds occur at all and how strong they are. Runs with few
 * faults go deep, runs with many are rough, and some bugs show only in the absence of a fault that hides them.
 */
export function drawStrengths(
  kinds: readonly FaultKind[],
  fixed: Readonly<Partial<Record<FaultKind, number>>>,
  dice: Dice,
): Strengths {
  const density = dice.pick([0.2, 0.5, 0.5, 0.8, 1]);
  const strengths = new Map<FaultKind, number>();
  for (const kind of kinds) {
    const [from, to] = faultTable[kind].range;
    const occurs = dice.hits(density);
    const strength = from * (to / from) ** dice.next();
    const given = fixed[kind];
    if (given !== undefined) {
      if (given > 0) strengths.set(kind, given);
    } else if (occurs) strengths.set(kind, strength);
  }
  return strengths;
}
