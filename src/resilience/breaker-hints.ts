/** What a breaker tells the breakers of the same name in other processes. */
export interface BreakerHint {
  readonly name: string;
  readonly state: "open" | "closed";
  /** If open: for how long. */
  readonly openMs?: number;
}

/**
 * A way for breakers of different processes to hear of one another. Hints only shorten what a breaker finds out by itself: after "open", its own next failure opens it without
 * waiting for the ratio or the minimum of calls; after "closed", an open breaker may probe at once. A hint alone neither opens nor closes, so a hint that is lost, late or wrong
 * costs at most one failure or one probe.
 */
export interface BreakerHints {
  /** Must not throw; may lose the hint. */
  publish(hint: BreakerHint): void;
  /** Returns how to stop. */
  subscribe(listener: (hint: BreakerHint) => void): () => void;
}
