/** Leader election: one leader at a time, each with a term that no other had. */
export {
  createElection,
  type Election,
  type ElectionOptions,
  type Leader,
  type Leadership,
  type LeadOptions,
} from "./election.ts";
