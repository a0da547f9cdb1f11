import { invalidArgument, type Runtime, systemRuntime } from "../../core/index.ts";

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
  if (typeof options !== "object" || options === null) throw invalidArgument("options", options, "an object");
  const allowed = [...own, ...ofAll];
  for (const name of Object.keys(options)) {
    // A misspelt option would be a threshold that is not kept.
    if (!allowed.includes(name)) throw invalidArgument(`options.${name}`, undefined, `only ${allowed.join(", ")}`);
  }
  const { maxPeers = 10_000, runtime = systemRuntime } = options;
  if (!Number.isInteger(maxPeers) || maxPeers < 1 || maxPeers > 1_000_000)
    throw invalidArgument("maxPeers", maxPeers, "a whole number from 1 to 1,000,000");
  return { maxPeers, runtime };
}
