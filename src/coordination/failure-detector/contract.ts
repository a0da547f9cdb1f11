/**
 * Judges from heartbeats which peers have probably failed. It hears only what it is told by `heartbeat`; how heartbeats travel is the caller's business.
 * All time is monotonic time of this process.
 */
export interface FailureDetector extends AsyncDisposable {
  /**
   * The peer has been heard at this moment. The first one begins to watch over it: call it when the peer ought to begin to send, and one that never does is
   * suspected too.
   * @param peer 1 to 500 characters
   * @throws LimitError more than `maxPeers` peers; `forget` those that are gone
   */
  heartbeat(peer: string): void;
  /** How strongly the peer is suspected: from 0 on, growing with its silence. `Infinity` for one that was never heard of, or was forgotten. */
  suspicion(peer: string): number;
  /** Whether the suspicion is below the threshold. False for a peer that was never heard of, or was forgotten. */
  isAvailable(peer: string): boolean;
  /** Milliseconds from now after which the peer is suspected if nothing is heard; 0 if it is already or is not known. */
  remaining(peer: string): number;
  /** Knows nothing of the peer any more; nobody is told. Returns whether it was known. */
  forget(peer: string): boolean;
  /** The peers heard of, in the order in which they came. */
  peers(): readonly string[];
  /**
   * First the peers that are suspected, then, as it happens, which have come to be suspected and which were heard again. Shows the latest state of each peer and
   * skips what was over before it could be shown. Timers run only while somebody watches. Ends with `close`, or by the signal (rejects with its reason).
   */
  watch(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<Transition, undefined>;
  /** Forgets all peers and ends the watches. Harmless when repeated; afterwards everything fails with `CLOSED`. */
  close(): Promise<void>;
}

export interface Transition {
  readonly peer: string;
  /** `restored`: heard again after it was suspected. */
  readonly status: "suspected" | "restored";
  /** Milliseconds of silence: up to now for `suspected`, before the heartbeat that ended it for `restored`. */
  readonly silence: number;
}
