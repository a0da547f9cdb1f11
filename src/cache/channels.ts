import { channel } from "node:diagnostics_channel";

/** What the cache announces. Messages are made only if someone listens. */
export const channels = {
  /** `{ cache, key, ms, outcome }`: a loader has answered; outcome: what became of the value. */
  load: channel("ashlar:cache:load"),
  /** `{ cache, key, error }`: a loader has failed. */
  loadFailed: channel("ashlar:cache:load-failed"),
  /** `{ cache, key, error }`: a refresh in the background did not work out. */
  refreshFailed: channel("ashlar:cache:refresh-failed"),
  /** `{ cache, key, error }`: the engine did not answer a read. */
  unavailable: channel("ashlar:cache:unavailable"),
  /** `{ cache, key, version, attempt, error }`: the store of record refused an accepted write, which is tried again. */
  writeFailed: channel("ashlar:cache:write-failed"),
};
