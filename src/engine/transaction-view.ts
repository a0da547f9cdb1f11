import {
  decodeKey,
  decodeValue,
  InvalidArgumentError,
  InvalidStateError,
  type Key,
  type KeyPart,
  type KeyRange,
} from "../core/index.ts";
import type { AddOptions, AfterCommit, Check, Offset, SetOptions, Sql, Topic, Transaction } from "./contract.ts";
import {
  encodeAdd,
  encodeAppend,
  encodeCheck,
  encodeKeyIn,
  encodeKeysIn,
  encodeRangeIn,
  encodeSet,
  type Space,
  toLimit,
} from "./encode-batch.ts";
import type { Attempt, Result } from "./transaction.ts";

/** The face of an attempt in one namespace: encodes on the way in, decodes on the way out. */
export function createTransactionView(
  attempt: Attempt,
  space: Space,
  signal: AbortSignal,
  number: number,
): Transaction {
  const view = new TransactionView(attempt, space, signal, number);
  attempts.set(view, attempt);
  return view;
}

/** The attempt behind a transaction. @throws InvalidArgumentError it is none of ours */
export function attemptOf(tx: Transaction): Attempt {
  const attempt = attempts.get(tx);
  if (!attempt)
    throw new InvalidArgumentError("tx: not a transaction; pass the one that `transact` gave to its function");
  return attempt;
}

const attempts = new WeakMap<Transaction, Attempt>();

class TransactionView implements Transaction {
  readonly #attempt: Attempt;
  readonly #space: Space;
  readonly signal: AbortSignal;
  readonly attempt: number;

  constructor(attempt: Attempt, space: Space, signal: AbortSignal, number: number) {
    this.#attempt = attempt;
    this.#space = space;
    this.signal = signal;
    this.attempt = number;
  }

  check(check: Check, options: { readonly otherwise?: () => Error | undefined } = {}): void {
    this.#attempt.check(encodeCheck(check, this.#space, "check"), options.otherwise);
  }

  async get<V>(key: Key): Promise<V | undefined> {
    const [value] = await this.#attempt.getMany([encodeKeyIn(this.#space, key)]);
    return value && (decodeValue(value) as V);
  }

  async getMany<V>(keys: readonly Key[]): Promise<(V | undefined)[]> {
    const values = await this.#attempt.getMany(encodeKeysIn(this.#space, keys));
    return values.map((value) => value && (decodeValue(value) as V));
  }

  async *list<V>(
    range: KeyRange,
    options: { readonly limit?: number; readonly reverse?: boolean } = {},
  ): AsyncGenerator<{ key: KeyPart[]; value: V }> {
    const bytes = encodeRangeIn(this.#space, range);
    for await (const { key, value } of this.#attempt.list(bytes, toLimit(options.limit), options.reverse ?? false)) {
      yield { key: decodeKey(key, this.#space.prefix.length), value: decodeValue(value) as V };
    }
  }

  set(key: Key, value: unknown, options: SetOptions = {}): void {
    this.#attempt.set(encodeSet(this.#space, key, value, options.ttl));
  }

  delete(key: Key): void {
    this.#attempt.set({ kind: "delete", key: encodeKeyIn(this.#space, key) });
  }

  add(key: Key, delta: number, options: AddOptions = {}): AfterCommit<number> {
    return new Later(this.#attempt.add(encodeAdd(this.#space, key, delta, options)));
  }

  append(topic: Topic, records: readonly unknown[]): AfterCommit<Offset> {
    return new Later(this.#attempt.append(encodeAppend(this.#space, topic, records)));
  }

  get sql(): Sql {
    return this.#attempt.sql;
  }
}

class Later implements AfterCommit<number> {
  readonly #result: Result;

  constructor(result: Result) {
    this.#result = result;
  }

  get value(): number {
    const { what, number, lost } = this.#result;
    if (lost)
      throw new InvalidStateError(
        `the transaction has committed, but the ${what} was lost with the connection; read it from the store`,
      );
    if (number === undefined)
      throw new InvalidStateError(`the ${what} is known only after the transaction has committed`);
    return number;
  }
}
