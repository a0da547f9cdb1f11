import { decodeKey, type KeyPart, type MaybePromise, UnavailableError } from "../../../core/index.ts";
import type { Driver, RawCommit, RawOutcome } from "../../../engine/index.ts";

/** Decides what becomes of commits that were handed over together; `pass` hands them on. */
export type Intercept = (
  commits: readonly RawCommit[],
  pass: () => MaybePromise<RawOutcome[]>,
) => MaybePromise<RawOutcome[]>;

/** A connection to a store that a test listens to, cuts, or holds up. */
export interface TappedDriver {
  readonly driver: Driver;
  /** Commits that arrived. */
  commits: number;
  /** Reads of keys and of ranges that arrived. */
  reads: number;
  /** True: whatever is asked is surely not done. */
  away: boolean;
  intercept: Intercept | undefined;
}

/** @param options `doubt`: the engine says of itself that answers may be lost */
export function tapDriver(driver: Driver, options: { readonly doubt?: boolean } = {}): TappedDriver {
  const reach = (): void => {
    if (tapped.away) throw new UnavailableError("injected: the connection is cut");
  };
  const read = <T>(fn: () => T): T => {
    reach();
    tapped.reads++;
    return fn();
  };
  const tapped: TappedDriver = {
    commits: 0,
    reads: 0,
    away: false,
    intercept: undefined,
    driver: {
      ...driver,
      ...(options.doubt && { guarantees: { ...driver.guarantees, unknownOutcomes: "possible" as const } }),
      // A commit that is held up does not hold up the others.
      flush: { ...driver.flush, inFlight: 64 },
      commitMany(commits) {
        reach();
        const pass = () => {
          tapped.commits += commits.length;
          return driver.commitMany(commits);
        };
        return tapped.intercept ? tapped.intercept(commits, pass) : pass();
      },
      getMany: async (keys, given) => read(() => driver.getMany(keys, given)),
      list: async (range, given) => read(() => driver.list(range, given)),
      now: async () => {
        reach();
        return await driver.now();
      },
    },
  };
  return tapped;
}

/** The keys that a commit writes, deletes or adds to. */
export function writtenKeys(commit: RawCommit): KeyPart[][] {
  return commit.mutations.flatMap((mutation) => (mutation.kind === "append" ? [] : [decodeKey(mutation.key)]));
}
