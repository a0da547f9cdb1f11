import type { Operation } from "../../history.ts";
import type { Dice } from "../../linearizability/testing/dice.ts";
import type { WorkloadKind } from "../micro-operations.ts";

/**
 * `strict`: each transaction at one instant. `stale`: some read an old state at one instant. `snapshot`: snapshot
 * isolation, the first committer wins. `read-committed`: each read sees what is committed, writes come at the commit.
 * `overwriting`: the same, and a list is written as it was read with the own elements added. `torn`: every
 * micro-operation on its own. `random`: reads see anything that was written.
 */
export const executors = ["strict", "stale", "snapshot", "read-committed", "overwriting", "torn", "random"] as const;
export type Executor = (typeof executors)[number];

export interface Execution {
  readonly kind: WorkloadKind;
  readonly executor: Executor;
  readonly clients: number;
  readonly transactions: number;
  readonly keys: number;
  readonly micro: number;
  readonly unknown: number;
  readonly failed: number;
  /** That the last transaction reads all keys. */
  readonly readsAll: boolean;
  /** Transactions after which a key is not used any more; absent: never. */
  readonly rotation?: number;
}

type Key = string | number;
type State = Map<Key, readonly number[]>;
type Micro = [what: string, key: Key, value: number | readonly number[] | null];

interface Running {
  readonly id: number;
  readonly client: string;
  readonly called: number;
  readonly input: readonly Micro[];
  readonly output: Micro[];
  readonly start: number;
  readonly own: Map<Key, number[]>;
  next: number;
  decided?: "ok" | "failed" | "unknown";
}

/** A history of transactions that were really run, at random moments, by some more or less isolating executor. */
export function execute(dice: Dice, execution: Execution): Operation[] {
  return new Execute(dice, execution).run();
}

class Execute {
  readonly #dice: Dice;
  readonly #given: Execution;
  readonly #isList: boolean;
  readonly #states: State[] = [new Map()];
  readonly #changed: Map<Key, number> = new Map();
  readonly #history: Operation[] = [];
  #called = 0;
  #position = 0;
  #value = 0;

  constructor(dice: Dice, given: Execution) {
    this.#dice = dice;
    this.#given = given;
    this.#isList = given.kind === "list-append";
  }

  run(): Operation[] {
    const running: (Running | undefined)[] = Array.from({ length: this.#given.clients });
    while (this.#called < this.#given.transactions || running.some((each) => each)) {
      const client = this.#dice.below(running.length);
      const current = running[client];
      if (current) running[client] = this.#advance(current);
      else if (this.#called < this.#given.transactions) running[client] = this.#call(`c${client}`, this.#script());
    }
    if (this.#given.readsAll) {
      const all = [...Array(this.#given.keys).keys()].map((key): Micro => ["r", key, null]);
      let last: Running | undefined = this.#call("last", all);
      while (last) last = this.#advance(last, true);
    }
    return this.#history.sort((a, b) => a.id - b.id);
  }

  get #state(): State {
    return this.#states.at(-1) ?? new Map();
  }

  #script(): Micro[] {
    const { micro, keys, rotation } = this.#given;
    const base = rotation === undefined ? 0 : Math.floor(this.#called / rotation) * keys;
    return Array.from({ length: 1 + this.#dice.below(micro) }, (): Micro => {
      const key = base + this.#dice.below(keys);
      if (this.#dice.chance(0.5)) return ["r", key, null];
      return [this.#isList ? "append" : "w", key, ++this.#value];
    });
  }

  #call(client: string, input: readonly Micro[]): Running {
    const start = this.#states.length - 1;
    return { id: this.#called++, client, called: this.#position++, input, output: [], start, own: new Map(), next: 0 };
  }

  #advance(current: Running, isLast = false): Running | undefined {
    const { executor } = this.#given;
    const isAtOnce = executor === "strict" || executor === "stale";
    if (current.next < current.input.length && !isAtOnce) {
      this.#step(current, executor === "snapshot" ? (this.#states[current.start] ?? new Map()) : this.#state);
      return current;
    }
    if (!current.decided) {
      const isReadOnly = current.input.every(([what]) => what === "r");
      const isOld = executor === "stale" && isReadOnly && this.#dice.chance(0.3);
      const seen = isOld ? this.#dice.pick(this.#states.slice(-4)) : this.#state;
      while (current.next < current.input.length) this.#step(current, seen);
      current.decided = this.#decide(current, isLast);
      return current;
    }
    const { id, client, called, input, output, decided } = current;
    const returned = decided === "unknown" ? Infinity : this.#position++;
    const answer = decided === "ok" ? { output } : {};
    this.#history.push({ id, client, name: "transact", input, ...answer, outcome: decided, called, returned });
    return undefined;
  }

  #step(current: Running, state: State): void {
    const micro = current.input[current.next++];
    if (!micro) return;
    const [what, key, value] = micro;
    if (what !== "r") {
      if (this.#given.executor === "torn") this.#commit(new Map([[key, [value as number]]]));
      else current.own.set(key, [...(current.own.get(key) ?? []), value as number]);
      current.output.push(micro);
      return;
    }
    const own = current.own.get(key) ?? [];
    let seen: readonly number[] = [...(state.get(key) ?? []), ...own];
    if (this.#given.executor === "random" && current.client !== "last" && this.#dice.chance(0.3))
      seen = seen.slice(0, this.#dice.below(seen.length + 1));
    current.output.push(["r", key, this.#isList ? seen : (seen.at(-1) ?? null)]);
  }

  #decide({ own, start, output, input }: Running, isLast: boolean): "ok" | "failed" | "unknown" {
    const { executor, unknown, failed } = this.#given;
    const isLost = !isLast && this.#dice.chance(unknown);
    const conflicts = executor === "snapshot" && [...own.keys()].some((key) => (this.#changed.get(key) ?? 0) > start);
    const fails = conflicts || (!isLast && executor !== "torn" && this.#dice.chance(failed));
    if (!fails || (executor === "random" && this.#dice.chance(0.2))) {
      if (executor === "overwriting") this.#overwrite(own, input, output);
      else this.#commit(own);
    }
    if (isLost) return "unknown";
    return fails ? "failed" : "ok";
  }

  #commit(writes: ReadonlyMap<Key, readonly number[]>): void {
    if (writes.size === 0) return;
    const next = this.#given.executor === "strict" ? this.#state : new Map(this.#state);
    for (const [key, values] of writes) {
      const old = this.#state.get(key) ?? [];
      next.set(key, this.#isList ? [...old, ...values] : values);
      this.#changed.set(key, this.#states.length);
    }
    if (next !== this.#state) this.#states.push(next);
  }

  #overwrite(own: ReadonlyMap<Key, readonly number[]>, input: readonly Micro[], output: readonly Micro[]): void {
    const next = new Map(this.#state);
    for (const [key, values] of own) {
      const read = output.find(([what, of], i) => what === "r" && of === key && input[i]?.[0] === "r")?.[2];
      const mine = new Set(values);
      const base =
        this.#isList && Array.isArray(read) ? read.filter((value) => !mine.has(value)) : this.#state.get(key);
      next.set(key, this.#isList ? [...(base ?? []), ...values] : values);
    }
    this.#states.push(next);
  }
}
