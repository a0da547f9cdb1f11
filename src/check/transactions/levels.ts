/**
 * Isolation levels, weak to strong. The plain ones are those of Adya, Liskov and O'Neil ("Generalized Isolation Level
 * Definitions", ICDE 2000): PL-1, PL-2, PL-2.99, PL-SI, PL-3. `strong-session-…` adds the order of each client's own
 * transactions; `strong-…` and `strict-…` add real time: a transaction that was called after another had returned comes
 * after it.
 */
export type IsolationLevel =
  | "read-uncommitted"
  | "read-committed"
  | "repeatable-read"
  | "snapshot-isolation"
  | "strong-session-snapshot-isolation"
  | "strong-snapshot-isolation"
  | "serializable"
  | "strong-session-serializable"
  | "strict-serializable";

/**
 * The kinds of cycles, after Adya; `G-nonadjacent` after Cerone and Gotsman's characterisation of snapshot isolation.
 */
export type CycleName = "G0" | "G1c" | "G-single" | "G-nonadjacent" | "G2-item";

/**
 * `G0`: a cycle of writes (dirty write). `G1a`: aborted read. `G1b`: intermediate read. `G1c`: a cycle of writes and
 * reads from them (circular information flow). `G-single`: a cycle with exactly one anti-dependency, such as read skew.
 * `G-nonadjacent`: a cycle with several, no two of them next to each other. `G2-item`: a cycle with two next to each
 * other, such as write skew. With `-process` or `-realtime`: the cycle needs the order of a client's transactions, or
 * real time.
 *
 * `lost-update`: several transactions read the same version of a key and then wrote the key. `internal`: a transaction
 * contradicts its own writes. `non-repeatable-read`: it read two versions of a register. `garbage-read`: a value that
 * nobody wrote. `duplicate-elements`: one append, twice in the list. `incompatible-order`: lists of which neither
 * begins with the other, or against the order of the appends within a transaction.
 */
export type AnomalyName =
  | CycleName
  | `${CycleName}-process`
  | `${CycleName}-realtime`
  | "G1a"
  | "G1b"
  | "lost-update"
  | "internal"
  | "non-repeatable-read"
  | "garbage-read"
  | "duplicate-elements"
  | "incompatible-order";

interface Definition {
  readonly weaker: readonly IsolationLevel[];
  /** What it prohibits beyond what the weaker levels prohibit. */
  readonly prohibits: readonly AnomalyName[];
}

/**
 * That a transaction sees its own writes, and that what is read was written, belongs to Adya's notion of a history
 * (section 4.2), hence to all levels. Snapshot isolation allows exactly the cycles that have two adjacent
 * anti-dependencies (Cerone and Gotsman, "Analysing Snapshot Isolation", PODC 2016); repeatable read allows none over
 * items, so any cycle at all violates it. Here, without predicates, repeatable read and serialisability prohibit the
 * same. Snapshot isolation is weaker than both.
 */
const definitions: Readonly<Record<IsolationLevel, Definition>> = {
  "read-uncommitted": { weaker: [], prohibits: ["G0", "internal", "garbage-read", "duplicate-elements"] },
  "read-committed": { weaker: ["read-uncommitted"], prohibits: ["G1a", "G1b", "G1c", "incompatible-order"] },
  "snapshot-isolation": {
    weaker: ["read-committed"],
    prohibits: ["lost-update", "non-repeatable-read", "G-single", "G-nonadjacent"],
  },
  "repeatable-read": {
    weaker: ["read-committed"],
    prohibits: ["lost-update", "non-repeatable-read", "G-single", "G-nonadjacent", "G2-item"],
  },
  serializable: { weaker: ["snapshot-isolation", "repeatable-read"], prohibits: [] },
  "strong-session-snapshot-isolation": {
    weaker: ["snapshot-isolation"],
    prohibits: ["G0-process", "G1c-process", "G-single-process", "G-nonadjacent-process"],
  },
  "strong-snapshot-isolation": {
    weaker: ["strong-session-snapshot-isolation"],
    prohibits: ["G0-realtime", "G1c-realtime", "G-single-realtime", "G-nonadjacent-realtime"],
  },
  "strong-session-serializable": {
    weaker: ["serializable", "strong-session-snapshot-isolation"],
    prohibits: ["G2-item-process"],
  },
  "strict-serializable": {
    weaker: ["strong-session-serializable", "strong-snapshot-isolation"],
    prohibits: ["G2-item-realtime"],
  },
};

/** All levels, each after those that are weaker. */
export const isolationLevels = Object.keys(definitions) as readonly IsolationLevel[];

/** The anomalies that a level prohibits, those of the weaker levels included. */
export function prohibitedBy(level: IsolationLevel): ReadonlySet<AnomalyName> {
  const { weaker, prohibits } = definitions[level];
  return new Set([...weaker.flatMap((each) => [...prohibitedBy(each)]), ...prohibits]);
}

/**
 * The strongest levels that prohibit none of the anomalies: none of the returned is weaker than another. Empty: not
 * even the weakest.
 */
export function strongestAllowing(anomalies: Iterable<AnomalyName>): IsolationLevel[] {
  const names = [...anomalies];
  const allowing = isolationLevels.filter((level) => {
    const prohibited = prohibitedBy(level);
    return !names.some((name) => prohibited.has(name));
  });
  return allowing.filter((level) => !allowing.some((other) => isWeaker(level, other)));
}

function isWeaker(level: IsolationLevel, than: IsolationLevel): boolean {
  return definitions[than].weaker.some((each) => each === level || isWeaker(level, each));
}
