import { type Duration, toMilliseconds } from "../../core/index.ts";
import type { FailureDetector } from "./contract.ts";
import { Detector } from "./detector.ts";
import { type DetectorOptions, toDetectorSettings } from "./options.ts";

export interface TimeoutDetectorOptions extends DetectorOptions {
  /** The silence after which a peer is suspected: several times the interval of its heartbeats. 1 ms to 1 day. */
  readonly timeout: Duration;
}

/**
 * A detector that suspects a peer after a fixed time of silence. Its suspicion is the silence as a fraction of the timeout: 1 from then on.
 * @throws InvalidArgumentError an option that is not allowed
 */
export function createTimeoutDetector(options: TimeoutDetectorOptions): FailureDetector {
  const settings = toDetectorSettings(options, ["timeout"]);
  const timeout = toMilliseconds(options.timeout, "timeout", { min: 1, max: 24 * 3600 * 1000 });
  const judge = { heard: () => {}, suspicion: (silence: number) => silence / timeout, allowed: timeout };
  return new Detector({ ...settings, createJudge: () => judge });
}
