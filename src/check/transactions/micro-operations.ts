import { InvalidArgumentError, invalidArgument } from "../../core/index.ts";
import type { History, Operation } from "../history.ts";

export type Key = string | number;
export type Value = string | number | boolean;

/** A read with what it saw, `undefined` if that is not known; or a write of a value. */
export type MicroOperation =
  | { readonly key: Key; readonly saw: readonly Value[] | undefined }
  | { readonly key: Key; readonly write: number };

export interface Transaction {
  readonly operation: Operation;
  readonly micro: readonly MicroOperation[];
}

/** One appended or written value. Numbered from 0; values are unique per key. */
export interface Write {
  readonly key: Key;
  readonly value: Value;
  /** The number of its transaction. */
  readonly by: number;
  /** Whether it is the last that the transaction wrote to the key: others may see no earlier one. */
  isLast: boolean;
}

/** The transactions of a history in a form that is quick to judge. */
export interface Workload {
  readonly transactions: readonly Transaction[];
  readonly writes: readonly Write[];
  /** The number of the write of a value to a key. */
  find(key: Key, value: Value): number | undefined;
}

export type WorkloadKind = "list-append" | "rw-register";

/** What is read of a register that was never written is a list of no value; otherwise a list of one. */
export function workloadOf(kind: WorkloadKind, history: History): Workload {
  const reader = new Reader(kind);
  const transactions = history.map((operation) => reader.read(operation));
  return { transactions, writes: reader.writes, find: (key, value) => reader.numbers.get(key)?.get(value) };
}

class Reader {
  readonly writes: Write[] = [];
  readonly numbers = new Map<Key, Map<Value, number>>();
  readonly #isList: boolean;
  readonly #write: "append" | "w";
  #transactions = 0;

  constructor(kind: WorkloadKind) {
    this.#isList = kind === "list-append";
    this.#write = this.#isList ? "append" : "w";
  }

  read(operation: Operation): Transaction {
    const { id, name, input, output, outcome } = operation;
    const where = `history, operation ${id}`;
    if (name !== "transact") throw invalidArgument(`${where}, name`, name, '"transact"');
    if (!Array.isArray(input)) throw invalidArgument(`${where}, input`, input, "an array of micro-operations");
    const by = this.#transactions++;
    const isAnswered = outcome === "ok";
    if (isAnswered && !(Array.isArray(output) && output.length === input.length))
      throw invalidArgument(`${where}, output`, output, "the input with what its reads saw");
    const answers = isAnswered ? (output as unknown[]) : undefined;
    const lastWrites = new Map<Key, number>();
    const micro = (input as unknown[]).map((asked, i): MicroOperation => {
      const at = `${where}, input[${i}]`;
      const [what, key, value] = this.#triple(asked, at);
      if (answers) this.#compare(asked, answers[i], `${where}, output[${i}]`);
      if (what === "r")
        return { key, saw: answers && this.#seen((answers[i] as unknown[])[2], `${where}, output[${i}][2]`) };
      if (!isValue(value)) throw invalidArgument(`${at}[2]`, value, "a string, a number or a boolean");
      const write = this.#addWrite(key, value, by, at);
      const earlier = this.writes[lastWrites.get(key) ?? -1];
      if (earlier) earlier.isLast = false;
      lastWrites.set(key, write);
      return { key, write };
    });
    return { operation, micro };
  }

  #triple(given: unknown, where: string): [what: string, key: Key, value: unknown] {
    const allowed = `["r", key, null] or ["${this.#write}", key, value]`;
    if (!Array.isArray(given) || given.length < 2 || given.length > 3 || (given[0] !== "r" && given[0] !== this.#write))
      throw invalidArgument(where, given, allowed);
    const [what, key, value] = given as unknown[];
    if (typeof key !== "string" && !(typeof key === "number" && Number.isFinite(key)))
      throw invalidArgument(`${where}[1]`, key, "a key: a string or a number");
    return [what as string, key, value];
  }

  #compare(asked: unknown, answered: unknown, where: string): void {
    const [what, key, value] = this.#triple(asked, where);
    const [whatAnswered, keyAnswered, valueAnswered] = this.#triple(answered, where);
    if (what !== whatAnswered || key !== keyAnswered || (what !== "r" && value !== valueAnswered))
      throw invalidArgument(where, answered, `the answer to ${JSON.stringify(asked)}`);
  }

  #seen(given: unknown, where: string): readonly Value[] {
    if (given === null || given === undefined) return [];
    if (!this.#isList) {
      if (!isValue(given)) throw invalidArgument(where, given, "null, a string, a number or a boolean");
      return [given];
    }
    if (!Array.isArray(given) || !given.every(isValue))
      throw invalidArgument(where, given, "null or an array of strings, numbers and booleans");
    return given;
  }

  #addWrite(key: Key, value: Value, by: number, where: string): number {
    let ofKey = this.numbers.get(key);
    if (!ofKey) {
      ofKey = new Map();
      this.numbers.set(key, ofKey);
    }
    if (ofKey.has(value))
      throw new InvalidArgumentError(
        `${where}: ${JSON.stringify(value)} is written to ${JSON.stringify(key)} a second time; ` +
          "a history can be judged only if the values written to a key are unique",
      );
    const write = this.writes.length;
    ofKey.set(value, write);
    this.writes.push({ key, value, by, isLast: true });
    return write;
  }
}

function isValue(given: unknown): given is Value {
  return (
    typeof given === "string" || typeof given === "boolean" || (typeof given === "number" && Number.isFinite(given))
  );
}
