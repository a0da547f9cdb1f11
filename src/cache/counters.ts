/** What has happened in this process since the cache was made. */
export interface Counters {
  /** Reads answered by a copy in this process. */
  localHits: number;
  /** Reads answered by a fresh entry in the engine. */
  hits: number;
  /** Reads that found nothing fresh. */
  misses: number;
  /** Reads answered by an entry that was no longer fresh. */
  staleServed: number;
  /** Loads begun, refreshes among them. */
  loads: number;
  loadFailures: number;
  /** Refreshes begun in the background. */
  refreshes: number;
  /** Loaded values that were not stored, because what they were loaded from was invalidated meanwhile or the claim had run out. */
  fenced: number;
  /** Loaded values that the engine has no room for. */
  tooLarge: number;
  /** Reads that the engine did not answer. */
  unavailable: number;
  /** `set` calls that succeeded. */
  sets: number;
  /** Invalidations of keys, tags and everything that succeeded. */
  invalidations: number;
  /** Write-behind: writes that this process has applied. */
  applied: number;
  /** Write-behind: attempts that failed. */
  writeFailures: number;
}

export function createCounters(): Counters {
  return {
    localHits: 0,
    hits: 0,
    misses: 0,
    staleServed: 0,
    loads: 0,
    loadFailures: 0,
    refreshes: 0,
    fenced: 0,
    tooLarge: 0,
    unavailable: 0,
    sets: 0,
    invalidations: 0,
    applied: 0,
    writeFailures: 0,
  };
}
