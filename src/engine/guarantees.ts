/** What an engine promises. */
export interface Guarantees {
  /** Commits of all clients take effect one after another, in an order that respects real time. */
  readonly commits: "strict-serializable";
  readonly reads: "linearizable" | "monotonic";
  /** What an acknowledged commit survives. */
  readonly durability: "none" | "process-crash" | "power-loss";
  /** Who may share the store. */
  readonly sharing: "process" | "machine" | "network";
  /** Whose clock decides expiry. */
  readonly clock: "process" | "machine" | "server";
  /** `never`: each commit is answered; `settled`: a lost answer is found out before the caller hears of it, while the server can be reached; `possible`: callers meet `OutcomeUnknownError`. */
  readonly unknownOutcomes: "never" | "settled" | "possible";
  /** What a failover to a replica may lose. */
  readonly failover: "none" | "nothing" | "acknowledged-commits";
  /** User SQL in the same transaction. */
  readonly sql: boolean;
  /** Sentences that a user of this engine should know. */
  readonly notes: readonly string[];
}

/** Sizes in bytes or counts. */
export interface Limits {
  /** Bytes of an encoded key, its namespace included. */
  readonly keyBytes: number;
  /** Bytes of an encoded value or record. */
  readonly valueBytes: number;
  /** Checks (each entry of a range check counts) and mutations (each record of an append counts) of one commit; keys of one `getMany`. */
  readonly operations: number;
  /** Bytes of all keys, values and records of one commit. */
  readonly commitBytes: number;
  /** Entries of one page of a list. */
  readonly listEntries: number;
  /** Bytes of one bus message. */
  readonly messageBytes: number;
}

/** What every engine accepts: stay within these and a program runs on all of them. */
export const portableLimits: Limits = {
  keyBytes: 1024,
  valueBytes: 256 * 1024,
  operations: 100,
  commitBytes: 1024 * 1024,
  listEntries: 256,
  messageBytes: 4 * 1024,
};
