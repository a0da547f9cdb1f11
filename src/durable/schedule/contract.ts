import type { Duration } from "../../core/index.ts";
import type { Transaction } from "../../engine/index.ts";

/** When a schedule ticks: by a cron pattern, or at regular intervals. */
export type Timing =
  | {
      /**
       * Five fields (minute, hour, day of the month, month, day of the week), six with the second before them, seven with the year after them; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
       * Also `L` (last day), `W` (nearest weekday), `#` (the n-th of its kind in the month).
       */
      readonly cron: string;
      /** Name of the IANA data base. Default "UTC". */
      readonly timeZone?: string;
    }
  | {
      /** At least a tenth of a second. */
      readonly every: Duration;
      /** Ticks lie at whole intervals from here. Default: the beginning of 1970. */
      readonly start?: Date | number;
      /** Only for `except`. Default "UTC". */
      readonly timeZone?: string;
    };

/** Days in the schedule's time zone, the last included: "2026-12-25", or from one to another. */
export type Exception = string | { readonly from: string; readonly to: string };

/**
 * What becomes of a tick while the run of an earlier one has not ended. `"queue"`: it waits for its turn. `"skip"`: it is left out. `"cancel"`: the run's signal is aborted, and it is not tried again;
 * the new one begins when it has left. `"allow"`: runs go side by side.
 */
export type Overlap = "queue" | "skip" | "cancel" | "allow";

export interface TickRules {
  /** No tick on these days. At most 1000. */
  readonly except?: readonly Exception[];
  /** No tick before. */
  readonly from?: Date | number;
  /** No tick after. */
  readonly until?: Date | number;
  /** Each run is put off by a time below this: spread evenly over ticks and schedules, the same for a tick wherever it is reckoned. Default 0. */
  readonly jitter?: Duration;
  /** A tick that nobody was there to see is made up for if it is not older than this. At least "1s", or `Infinity`. Default "1m". */
  readonly catchUp?: Duration;
  /** Default "queue". */
  readonly overlap?: Overlap;
  /** So many runs wait at most; ticks beyond are left out. 1 to 100,000. Default 1000. */
  readonly maxQueued?: number;
}

export interface RunRules {
  /** Runs at a time in this process, with `overlap: "allow"`. 1 to 10,000. Default 10. */
  readonly concurrency?: number;
  /** A run that fails is tried again. Default: 3 attempts, pauses from "1s", doubled, to "1m". A run that used them up is a dead letter of the queue `schedule/<name>`. */
  readonly retry?: { readonly attempts?: number; readonly base?: Duration; readonly cap?: Duration };
  /** Time for one attempt. Default: no limit. */
  readonly timeout?: Duration;
  /** How long ends of runs are kept for `history`. Default "7d". */
  readonly retention?: Duration;
  /** How soon others go on after a process died in the middle of a run. 1 s to 1 h. Default "15s". */
  readonly lease?: Duration;
  /** How long `close` lets a run go on. Default "30s". */
  readonly drain?: Duration;
  /** Its abort closes the schedule in this process. */
  readonly signal?: AbortSignal;
}

export type ScheduleOptions = Timing & TickRules & RunRules;

export type TickKind = "scheduled" | "manual" | "backfill";

/** What a run is for. */
export interface Tick {
  /** Stable over all attempts: hand it to the outside as an idempotency key. */
  readonly id: string;
  /** The instant of the schedule, milliseconds since the epoch; of a manual run, when it was asked for. */
  readonly time: number;
  readonly kind: TickKind;
  /** 1 for the first. */
  readonly attempt: number;
  /** What `trigger` was given. */
  readonly data?: unknown;
}

export interface TickContext {
  /** What is written through it commits together with the end of the run: once, whatever happens. */
  readonly tx: Transaction;
  /** Aborted when the run is cancelled, its time is over, its lease is lost, or the drain time is over. */
  readonly signal: AbortSignal;
}

export type TickHandler = (tick: Tick, context: TickContext) => unknown;

export interface ScheduleInfo {
  readonly name: string;
  /** As it is in force. */
  readonly timing: string;
  readonly timeZone: string;
  readonly overlap: Overlap;
  readonly paused: boolean;
  /** The next tick; `undefined`: there is none. */
  readonly next: number | undefined;
  /** The latest tick that was begun. */
  readonly last: number | undefined;
  /** Ticks that were begun, that were left out because of `overlap` or `maxQueued`, and that nobody saw in time. */
  readonly ticks: { readonly begun: number; readonly skipped: number; readonly missed: number };
  /** Runs that have not ended, and that have failed for good. */
  readonly runs: { readonly open: number; readonly failed: number };
}

export interface RunReport {
  readonly id: string;
  readonly time: number;
  readonly kind: TickKind;
  readonly outcome: "done" | "failed" | "skipped" | "missed";
  readonly attempts: number;
  /** When it ended, by the engine's clock. */
  readonly ended: number;
  readonly error?: string;
}

/** For looking after a schedule, from any process. */
export interface ScheduleAdmin {
  readonly name: string;
  /**
   * The coming ticks.
   * @param count 1 to 1000
   */
  next(count?: number): Promise<readonly Date[]>;
  /** No ticks from now on; runs go on, and `trigger` still makes some. What passes meanwhile is not made up for. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** A run at once, besides the ticks. Resolves with its id when it is durable; with `tx` it is part of that transaction. */
  trigger(options?: { readonly data?: unknown; readonly tx?: Transaction }): Promise<string>;
  /**
   * Runs for the ticks of a stretch of time, both ends included, whether there were runs for them or not. Resolves with their number.
   * @throws LimitError there are more than 10,000
   */
  backfill(options: {
    readonly from: Date | number;
    readonly to: Date | number;
    /** Default "oldest". */
    readonly order?: "oldest" | "newest";
  }): Promise<number>;
  info(): Promise<ScheduleInfo>;
  /** What has become of runs and ticks, the latest first. Of what was left out or missed the latest 20 are known. */
  history(options?: { readonly limit?: number }): Promise<readonly RunReport[]>;
}

/** A schedule that this process takes part in. */
export interface Schedule extends ScheduleAdmin, AsyncDisposable {
  /** Resolves when it has been closed here; rejects if it had to give up, because the engine was closed under it. */
  readonly done: Promise<void>;
  /** Takes no more part; lets a run end (see `drain`). The schedule itself goes on in other processes, or when there is one again. */
  close(): Promise<void>;
}
