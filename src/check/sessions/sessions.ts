import { invalidArgument } from "../../core/index.ts";
import type { Checker, CheckResult } from "../checker.ts";
import type { Operation } from "../history.ts";
import { type Access, type SessionHistory, sessionHistoryOf } from "./session-history.ts";
import { VersionOrder } from "./version-order.ts";

/**
 * After Terry, Demers, Petersen, Spreitzer, Theimer and Welch, "Session Guarantees for Weakly Consistent Replicated
 * Data" (PDIS 1994).
 */
export type SessionGuarantee = "read-your-writes" | "monotonic-reads" | "monotonic-writes" | "writes-follow-reads";

const allGuarantees: readonly SessionGuarantee[] = [
  "read-your-writes",
  "monotonic-reads",
  "monotonic-writes",
  "writes-follow-reads",
];

export interface SessionsOptions {
  /** Those that must hold together, for one order of the versions; default: all four. */
  readonly guarantees?: readonly SessionGuarantee[];
}

/**
 * Whether session guarantees hold, over operations "get" (`output`: the value, or null if never set) and "set"
 * (`input`) by `key`. The operations of one `client` are a session. Values set to a key are unique.
 *
 * The order of a key's versions is not in the history. The verdict is "ok" if and only if each key has some order of
 * its versions, the one before all sets first, such that, where "not older" is by this order,
 * - read your writes: a get returns nothing older than what its client had set before;
 * - monotonic reads: a get returns nothing older than what its client had got before;
 * - monotonic writes: what a client sets is newer than what it had set to the key before; and who got something that a
 *   client set gets from then on nothing older than what that client had set before, of any key;
 * - writes follow reads: what a client sets is newer than what it had got of the key before; and who got something that
 *   a client set gets from then on nothing older than what that client had got before, of any key.
 *
 * A set of unknown outcome may take effect late: its client need not see it, and nothing follows it. What was got but
 * not set tells nothing here: `causal` rejects it.
 * @throws InvalidArgumentError from `check`: an operation that is no get or set, a value set twice to a key,
 * overlapping operations of a client
 */
export function sessions(options: SessionsOptions = {}): Checker {
  const { guarantees = allGuarantees } = options;
  const isKnown = guarantees.length > 0 && guarantees.every((each) => allGuarantees.includes(each));
  if (!isKnown) throw invalidArgument("options.guarantees", guarantees, `some of ${allGuarantees.join(", ")}`);
  const name = guarantees.length === 1 ? `${guarantees[0]}` : "session guarantees";
  return {
    name,
    check(history): CheckResult {
      const session = sessionHistoryOf(history);
      const contradiction = new Constraints(session, new Set(guarantees)).contradiction();
      const what = guarantees.join(", ");
      if (contradiction)
        return {
          check: name,
          verdict: "violated",
          summary: `no order of the versions keeps ${what}`,
          ...contradiction,
        };
      const summary = `the ${history.length} operations of ${session.sessions.size} clients keep ${what}`;
      return { check: name, verdict: "ok", summary, explanation: [], operations: [] };
    },
  };
}

/** The guarantee of this name alone; see `sessions`. */
export function readYourWrites(): Checker {
  return sessions({ guarantees: ["read-your-writes"] });
}

/** The guarantee of this name alone; see `sessions`. */
export function monotonicReads(): Checker {
  return sessions({ guarantees: ["monotonic-reads"] });
}

/** The guarantee of this name alone; see `sessions`. */
export function monotonicWrites(): Checker {
  return sessions({ guarantees: ["monotonic-writes"] });
}

/** The guarantee of this name alone; see `sessions`. */
export function writesFollowReads(): Checker {
  return sessions({ guarantees: ["writes-follow-reads"] });
}

/**
 * What a client had set, or got, of a key up to each of its accesses: inner nodes that are not older than any of that.
 */
class Prefixes {
  readonly #positions: number[] = [];
  readonly #nodes: number[] = [];

  add(order: VersionOrder, position: number, version: number, reason: number): void {
    const node = order.addInner();
    const before = this.#nodes.at(-1);
    if (before !== undefined) order.add(before, node, -1);
    order.add(version, node, reason);
    this.#positions.push(position);
    this.#nodes.push(node);
  }

  /** The node of all before a position of the session. */
  before(position: number): number | undefined {
    let [low, high] = [0, this.#positions.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#positions[middle] ?? 0) < position) low = middle + 1;
      else high = middle;
    }
    return this.#nodes[low - 1];
  }
}

type PrefixesByClient = Map<string, Map<string, Prefixes>>;

/** The latest set of a client that somebody got, and by which get. */
interface Seen {
  readonly client: string;
  readonly position: number;
  readonly set: number;
  readonly get: number;
}

/** What the guarantees about the sets of others ask of the later gets of one client. */
class Observer {
  readonly #order: VersionOrder;
  readonly seen = new Map<string, Seen>();
  /** By key: the inner node that is not older than all that a get must not be older than. */
  readonly required = new Map<string, number>();
  /** The last node of them that `required` includes. */
  readonly #learnt = new Map<Prefixes, number>();

  constructor(order: VersionOrder) {
    this.#order = order;
  }

  observe({ client, position, version = -1 }: Access, get: number): void {
    if ((this.seen.get(client)?.position ?? -1) < position)
      this.seen.set(client, { client, position, set: version, get });
  }

  learn(key: string, seen: Seen, prefixes: Prefixes | undefined): void {
    const prefix = prefixes?.before(seen.position);
    if (!prefixes || prefix === undefined || this.#learnt.get(prefixes) === prefix) return;
    this.#learnt.set(prefixes, prefix);
    const [set, node] = [this.#order.addInner(), this.#order.addInner()];
    this.#order.add(prefix, set, seen.set);
    this.#order.add(set, node, seen.get);
    const before = this.required.get(key);
    if (before !== undefined) this.#order.add(before, node, -1);
    this.required.set(key, node);
  }
}

class Constraints {
  readonly #accesses: readonly Access[];
  readonly #guarantees: ReadonlySet<SessionGuarantee>;
  readonly #order: VersionOrder;
  /** By key: the number of the version before all sets. */
  readonly #initial = new Map<string, number>();
  readonly #sets: PrefixesByClient = new Map();
  readonly #gets: PrefixesByClient = new Map();

  constructor({ accesses, sessions }: SessionHistory, guarantees: ReadonlySet<SessionGuarantee>) {
    this.#accesses = accesses;
    this.#guarantees = guarantees;
    for (const { key } of accesses)
      if (!this.#initial.has(key)) this.#initial.set(key, accesses.length + this.#initial.size);
    this.#order = new VersionOrder(accesses.length + this.#initial.size);
    this.#addPrefixes();
    for (const numbers of sessions.values()) this.#constrain(numbers);
  }

  contradiction(): { explanation: string[]; operations: Operation[] } | undefined {
    const cycle = this.#order.contradiction();
    if (!cycle) return undefined;
    const explanation = cycle.map(({ from, to, reasons }) => {
      const because = reasons.map((reason) => this.#tell(reason)).join("; then ");
      const claim = `${this.#name(from)} is not newer than ${this.#name(to)}`;
      return because === "" ? `${claim}: it was there before all sets` : `${claim}: ${because}`;
    });
    const versions = cycle.flatMap(({ from, reasons }) => [from, ...reasons]);
    const numbers = [...new Set(versions)].filter((number) => number < this.#accesses.length).sort((a, b) => a - b);
    return { explanation, operations: numbers.flatMap((number) => this.#accesses[number]?.operation ?? []) };
  }

  #addPrefixes(): void {
    for (const [number, access] of this.#accesses.entries()) {
      const { client, key, position, isSet, operation } = access;
      const version = this.#versionOf(access);
      if (version === undefined) continue;
      if (isSet) this.#order.add(this.#initial.get(key) ?? 0, number, -1);
      if (operation.outcome !== "ok") continue;
      const all = isSet ? this.#sets : this.#gets;
      const ofClient = all.get(client) ?? new Map<string, Prefixes>();
      const prefixes = ofClient.get(key) ?? new Prefixes();
      all.set(client, ofClient.set(key, prefixes));
      prefixes.add(this.#order, position, version, number);
    }
  }

  #constrain(numbers: readonly number[]): void {
    const observer = new Observer(this.#order);
    for (const number of numbers) {
      const access = this.#accesses[number];
      if (!access) continue;
      const { client, key, position, isSet, version } = access;
      if (isSet) {
        this.#require("monotonic-writes", this.#sets.get(client)?.get(key)?.before(position), number);
        this.#require("writes-follow-reads", this.#gets.get(client)?.get(key)?.before(position), number);
        continue;
      }
      this.#require("read-your-writes", this.#sets.get(client)?.get(key)?.before(position), number);
      this.#require("monotonic-reads", this.#gets.get(client)?.get(key)?.before(position), number);
      for (const [guarantee, prefixes] of [
        ["monotonic-writes", this.#sets],
        ["writes-follow-reads", this.#gets],
      ] as const) {
        for (const seen of this.#guarantees.has(guarantee) ? observer.seen.values() : [])
          observer.learn(key, seen, prefixes.get(seen.client)?.get(key));
        this.#require(guarantee, observer.required.get(key), number);
      }
      const setter = this.#accesses[version ?? -1];
      if (setter) observer.observe(setter, number);
    }
  }

  /** What the node stands for is not newer than the version of the access. */
  #require(guarantee: SessionGuarantee, node: number | undefined, number: number): void {
    if (!this.#guarantees.has(guarantee)) return;
    const access = this.#accesses[number];
    const version = access && this.#versionOf(access);
    if (node !== undefined && version !== undefined) this.#order.add(node, version, number);
  }

  #versionOf({ version, key }: Access): number | undefined {
    return version === -1 ? this.#initial.get(key) : version;
  }

  #name(version: number): string {
    const access = this.#accesses[version];
    return access ? `${JSON.stringify(access.operation.input)}` : "null";
  }

  #tell(number: number): string {
    const access = this.#accesses[number];
    if (!access) return "";
    const { operation, key, isSet, client } = access;
    const value = JSON.stringify((isSet ? operation.input : operation.output) ?? null);
    const did = isSet ? `set ${value} to` : `got ${value} from`;
    return `client ${client} ${did} ${JSON.stringify(key)} (operation ${operation.id})`;
  }
}
