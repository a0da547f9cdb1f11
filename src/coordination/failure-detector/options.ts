import { invalidArgument, type Runtime, refuseUnknown, systemRuntime } from "../../core/index.ts";

/** What all detectors take. */
export interface DetectorOptions {
  /** Peers watched over at once at most; one more is refused with `LIMIT`. 1 to 1,000,000. Default 10,000. */
  readonly maxPeers?: number;
  /** Clock and timers. Default: those of the system. */
  readonly runtime?: Runtime;
}

const ofAll = ["maxPeers", "runtime"];

export function toDetectorSettings(
  options: DetectorOptions,
  own: readonly string[],
): { readonly maxPeers: number; readonly runtime: Runtime } {
  refuseUnknown(options, [...own, ...ofAll]);
  const { maxPeers = 10_000, runtime = systemRuntime } = options;
  if (!Number.isInteger(maxPeers) || maxPeers < 1 || maxPeers > 1_000_000)
    throw invalidArgument("maxPeers", maxPeers, "a whole number from 1 to 1,000,000");
  return { maxPeers, runtime };
}
