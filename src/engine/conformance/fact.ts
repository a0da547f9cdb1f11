import type { KeyRange, Runtime } from "../../core/index.ts";
import type { Engine, Guarantees, Topic } from "../contract.ts";
import type { Chance } from "./chance.ts";
import type { Follower } from "./follower.ts";

/** The parts of the contract, in the order in which they are shown; one file of facts each. */
export const contracts = [
  "kv",
  "commit",
  "range-check",
  "add",
  "ttl",
  "watch",
  "transact",
  "log",
  "blob",
  "bus",
  "scope",
  "limits",
  "arguments",
  "hostile",
  "concurrency",
  "lifecycle",
] as const;

export type Contract = (typeof contracts)[number];

/** What a fact has at hand while it is tested. */
export interface CaseContext {
  /** A client of the store, confined to a scratch namespace that belongs to this case alone. */
  readonly engine: Engine;
  /** Another client of the same store, confined to the same namespace. */
  readonly other: Engine;
  readonly runtime: Runtime;
  /** Chance from a seed that is named when the case fails. */
  readonly chance: Chance;

  /** A fresh client of the store and its view of the scratch namespace. It is closed when the case ends. */
  readonly open: () => Promise<Opened>;
  /** A client of a new, empty store, or `undefined` if the target has none. It is closed when the case ends. */
  readonly openSeparate: () => Promise<Engine | undefined>;
  /** The same topic, its records to be trimmed away when the case ends. */
  readonly topic: <T extends Topic>(topic: T, engine?: Engine) => T;
  /** Runs when the case ends, last first. */
  readonly defer: (end: () => unknown) => void;

  /** Asks again and again until the answer is neither `undefined` nor `false`; an error after the deadline names `what`. */
  readonly eventually: <T>(what: string, ask: () => T | Promise<T>) => Promise<Exclude<T, undefined | false>>;
  /** The promise; if it takes longer than the deadline, an error that names `what`. */
  readonly soon: <T>(what: string, promise: Promise<T>) => Promise<T>;
  /** Follows a watch of the range in the background, until the case ends. */
  readonly follow: <V = unknown>(engine: Engine, range: KeyRange) => Follower<V>;
}

export interface Opened {
  /** The client itself. */
  readonly client: Engine;
  /** The scratch namespace, seen by this client. */
  readonly engine: Engine;
}

/** One sentence of the contract, and the test of it. */
export interface Fact {
  readonly contract: Contract;
  /** The fact that is shown: "an absent key is undefined". */
  readonly name: string;
  /** The promise of the engine that this fact is evidence for. */
  readonly guarantee?: keyof Guarantees;
  /** Why the fact cannot be asked of this engine, or `undefined` if it can. */
  readonly needs?: (engine: Engine, target: Asked) => string | undefined;
  /** @throws AssertionError the fact does not hold */
  readonly run: (context: CaseContext) => Promise<void>;
}

/** What a fact may want to know of the target before it is asked. */
export interface Asked {
  readonly separate: boolean;
}

type Run = Fact["run"];
type Options = Omit<Fact, "contract" | "name">;

/** The facts of one contract: by name, the test alone or with what else is to be said. */
export function facts(contract: Contract, tests: Readonly<Record<string, Run | Options>>): readonly Fact[] {
  return Object.entries(tests).map(([name, test]) =>
    typeof test === "function" ? { contract, name, run: test } : { contract, name, ...test },
  );
}
