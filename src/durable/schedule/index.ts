/** Schedules: one run for each tick of a cron pattern or an interval, over all processes; a run's writes commit with its end. */
export type { TickMessage, TroubleMessage } from "./channels.ts";
export type {
  Exception,
  Overlap,
  RunReport,
  RunRules,
  Schedule,
  ScheduleAdmin,
  ScheduleInfo,
  ScheduleOptions,
  Tick,
  TickContext,
  TickHandler,
  TickKind,
  TickRules,
  Timing,
} from "./contract.ts";
export { createSchedule, openSchedule } from "./schedule.ts";
