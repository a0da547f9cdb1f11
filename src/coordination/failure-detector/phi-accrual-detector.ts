import { type Duration, invalidArgument, toMilliseconds } from "../../core/index.ts";
import { ArrivalWindow } from "./arrival-window.ts";
import type { FailureDetector } from "./contract.ts";
import { Detector, type Judge } from "./detector.ts";
import { deviationsAt, negativeLogTail } from "./normal-tail.ts";
import { type DetectorOptions, toDetectorSettings } from "./options.ts";

export interface PhiAccrualDetectorOptions extends DetectorOptions {
  /**
   * The phi from which on a peer is suspected. Phi = 1 is wrong about once in 10 times, 8 once in 100 million, as far as intervals are distributed normally. Above 0, at most 1000. Default 8.
   */
  readonly threshold?: number;
  /** Intervals from which mean and deviation are estimated; the latest ones. 2 to 100,000. Default 1000. */
  readonly windowSize?: number;
  /** The deviation is never taken to be less: heartbeats that have come like clockwork must not make the detector jumpy. 1 ms to 1 day. Default 100 ms. */
  readonly minStdDeviation?: Duration;
  /** Silence beyond the usual that is always forgiven, such as a garbage collection. 0 to 1 day. Default 0. */
  readonly acceptableHeartbeatPause?: Duration;
  /** The interval that is expected of a peer before it is known, with a quarter of it as its deviation. 1 ms to 1 day. Default "1s". */
  readonly firstHeartbeatEstimate?: Duration;
}

interface PhiSettings {
  /** What the threshold is in standard deviations. */
  readonly deviations: number;
  readonly windowSize: number;
  readonly minStdDeviation: number;
  readonly acceptablePause: number;
  readonly estimate: number;
}

const longest = 24 * 3600 * 1000;
const names = ["threshold", "windowSize", "minStdDeviation", "acceptableHeartbeatPause", "firstHeartbeatEstimate"];

/**
 * A detector whose suspicion is phi: −log₁₀ of the chance that a peer, given the intervals between its heartbeats so far, is silent for so long and still alive.
 * It adapts itself to the network and to each peer.
 *
 * After N. Hayashibara, X. Défago, R. Yared, T. Katayama: "The φ accrual failure detector", SRDS 2004, with the normal distribution of its section 4.2.
 * @throws InvalidArgumentError an option that is not allowed
 */
export function createPhiAccrualDetector(options: PhiAccrualDetectorOptions = {}): FailureDetector {
  const detectorSettings = toDetectorSettings(options, names);
  const { threshold = 8, windowSize = 1000 } = options;
  if (!(typeof threshold === "number" && threshold > 0 && threshold <= 1000))
    throw invalidArgument("threshold", threshold, "a number above 0, up to 1000");
  if (!Number.isInteger(windowSize) || windowSize < 2 || windowSize > 100_000)
    throw invalidArgument("windowSize", windowSize, "a whole number from 2 to 100,000");
  const duration = (name: string, given: Duration, min: number): number =>
    toMilliseconds(given, name, { min, max: longest });
  const settings: PhiSettings = {
    deviations: deviationsAt(threshold),
    windowSize,
    minStdDeviation: duration("minStdDeviation", options.minStdDeviation ?? 100, 1),
    acceptablePause: duration("acceptableHeartbeatPause", options.acceptableHeartbeatPause ?? 0, 0),
    estimate: duration("firstHeartbeatEstimate", options.firstHeartbeatEstimate ?? "1s", 1),
  };
  return new Detector({ ...detectorSettings, createJudge: () => new PhiJudge(settings) });
}

class PhiJudge implements Judge {
  readonly #settings: PhiSettings;
  #window: ArrivalWindow;
  #allowed = 0;
  /** The interval before this one if the peer was suspected by its end. */
  #lateBefore: number | undefined;

  constructor(settings: PhiSettings) {
    this.#settings = settings;
    this.#window = this.#begin(settings.estimate);
  }

  get allowed(): number {
    return this.#allowed;
  }

  suspicion(silence: number): number {
    return negativeLogTail((silence - this.#expected) / this.#deviation);
  }

  /**
   * An interval during which the peer was suspected is an outage, and says nothing about how often it sends. Two in a row say that it sends less often
   * than it did, or was expected to: it is learned anew, or it would be suspected for ever.
   */
  heard(interval: number, late: boolean): void {
    if (!late) this.#window.add(interval);
    else if (this.#lateBefore !== undefined) this.#window = this.#begin(Math.min(interval, this.#lateBefore));
    this.#lateBefore = late ? interval : undefined;
    this.#reckon();
  }

  get #expected(): number {
    return this.#window.mean + this.#settings.acceptablePause;
  }

  get #deviation(): number {
    return Math.max(this.#window.deviation, this.#settings.minStdDeviation);
  }

  /** A window of two intervals around the estimate, a quarter of it away. */
  #begin(estimate: number): ArrivalWindow {
    this.#window = new ArrivalWindow(this.#settings.windowSize);
    this.#window.add((estimate * 3) / 4);
    this.#window.add((estimate * 5) / 4);
    this.#reckon();
    return this.#window;
  }

  #reckon(): void {
    // Not below 0, where a low threshold would put it: then it is suspected at once, until the next heartbeat.
    this.#allowed = Math.max(0, this.#expected + this.#settings.deviations * this.#deviation);
  }
}
