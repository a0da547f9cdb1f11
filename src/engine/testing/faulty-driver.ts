import { OutcomeUnknownError, type Runtime, UnavailableError } from "../../core/index.ts";
import type { ChangeSink, Driver, RawCommit, RawOutcome } from "../driver.ts";

/** How often each fault strikes, as a probability of 0 to 1. */
export interface Faults {
  /** A commit is refused before it arrives. */
  readonly refused: number;
  /** A commit is applied and its answer lost. */
  readonly answerLost: number;
  /** A commit is reported lost first and arrives later, if nothing refuses it then. */
  readonly late: number;
  /** A read fails. */
  readonly read: number;
  /** The change feed loses its place after a flush. */
  readonly reset: number;
}

/** What happened, to prove that a test met the faults it is about. */
export interface FaultCounts {
  refused: number;
  answerLost: number;
  late: number;
  read: number;
  reset: number;
}

/** A driver whose connection is bad: faults strike at random, drawn from the runtime. Commits never run twice by themselves. */
export function createFaultyDriver(
  driver: Driver,
  runtime: Runtime,
  faults: Faults,
): { driver: Driver; counts: FaultCounts } {
  const counts: FaultCounts = { refused: 0, answerLost: 0, late: 0, read: 0, reset: 0 };
  const strikes = (fault: keyof Faults): boolean => {
    if (runtime.random.next() >= faults[fault]) return false;
    counts[fault]++;
    return true;
  };
  const sinks = new Set<ChangeSink>();
  const failingRead = <T>(read: () => T): T => {
    if (strikes("read")) throw new UnavailableError("injected: the read failed");
    return read();
  };
  const commitMany = async (commits: readonly RawCommit[]): Promise<RawOutcome[]> => {
    if (strikes("refused")) throw new UnavailableError("injected: not sent");
    if (strikes("late")) {
      arriveLater(runtime, 1 + Math.floor(runtime.random.next() * 20), () => driver.commitMany(commits));
      throw new OutcomeUnknownError("injected: the answer is lost, the commit still under way");
    }
    const outcomes = await driver.commitMany(commits);
    if (strikes("reset")) for (const sink of sinks) sink.reset();
    if (strikes("answerLost")) throw new OutcomeUnknownError("injected: the answer is lost");
    return outcomes;
  };
  return {
    counts,
    driver: {
      ...driver,
      guarantees: { ...driver.guarantees, unknownOutcomes: "possible" },
      flush: { ...driver.flush, commits: 16, immediate: false },
      commitMany,
      getMany: async (keys, options) => failingRead(() => driver.getMany(keys, options)),
      list: async (range, options) => failingRead(() => driver.list(range, options)),
      revision: async () => failingRead(() => driver.revision()),
      watch: async (sink) => {
        const feed = await driver.watch(sink);
        sinks.add(sink);
        const close = async () => {
          sinks.delete(sink);
          await feed.close();
        };
        return { ...feed, close };
      },
    },
  };
}

/** Turns of the event loop later. */
function arriveLater(runtime: Runtime, turns: number, arrive: () => unknown): void {
  if (turns === 0) arrive();
  else runtime.timers.immediate(() => arriveLater(runtime, turns - 1, arrive));
}
