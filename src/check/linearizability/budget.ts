/** What a search may still spend. Shared by the searches of all parts, so that the whole run is bounded. */
export interface Budget {
  /** Operations that are tried in a configuration. */
  steps: number;
  /** Configurations and states that are remembered at the same time. */
  memory: number;
}
