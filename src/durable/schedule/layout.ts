import type { Key } from "../../core/index.ts";
import type { TickKind } from "./contract.ts";
import type { Definition } from "./definition.ts";

/**
 * Keys of a schedule, below `["schedule", name]`. Its runs are jobs of the queue `schedule/<name>`.
 *
 * | key | value | |
 * |---|---|---|
 * | `["state"]` | `State` | what is in force, and how far it has got |
 * | `["ran", time, id]` | `Ran` | a run that ended well, for a time |
 *
 * Invariant: every tick up to `after` was begun, skipped or missed, once; none behind it was. The job of a tick is added in the commit that moves `after` to it or past it, and that commit holds only if the
 * state is as it was: of all the processes that try, one begins the tick.
 */
export const keys = {
  state: ["state"] as Key,
  ran: (time: number, id: string): Key => ["ran", time, id],
};

export interface State {
  readonly definition: Definition;
  readonly after: number;
  readonly paused: boolean;
  readonly last?: number;
  readonly begun: number;
  readonly skipped: number;
  readonly missed: number;
  /** The latest that were not begun. */
  readonly left: readonly LeftOut[];
}

export interface LeftOut {
  readonly time: number;
  readonly outcome: "skipped" | "missed";
  readonly at: number;
}

export interface Ran {
  readonly kind: TickKind;
  readonly attempts: number;
  readonly ended: number;
}

/** The job of a run. */
export interface RunData {
  readonly time: number;
  readonly kind: TickKind;
  readonly data?: unknown;
}
