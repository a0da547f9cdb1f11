import { throwIfAborted } from "../../core/index.ts";
import type { Engine, Transaction, TransactOptions } from "../../engine/index.ts";
import { Answers } from "./answers.ts";
import { type Claims, claimsOf } from "./claims.ts";
import type { Idempotency, KeyStatus, Outcome, RunContext } from "./contract.ts";
import {
  type CallOptions,
  checkFunction,
  type IdempotencyOptions,
  type JoinOptions,
  type TransactCallOptions,
  toCall,
  toKey,
  toSettings,
} from "./options.ts";
import { inProgress } from "./patience.ts";
import { type KeyRecord, type Retryable, recordKey } from "./record.ts";
import { Running } from "./running.ts";
import { Transacting } from "./transacting.ts";

/**
 * Answers by key, in the namespace of the engine: who gives the same name shares them.
 * @param name 1 to 500 characters
 */
export function createIdempotency(engine: Engine, name: string, options: IdempotencyOptions = {}): Idempotency {
  return new EngineIdempotency(engine, new Answers(toKey(name, "name"), toSettings(engine, options)));
}

class EngineIdempotency implements Idempotency {
  readonly #engine: Engine;
  readonly #answers: Answers;
  readonly #claims: Claims;
  readonly #running: Running;
  readonly #transacting: Transacting;

  constructor(engine: Engine, answers: Answers) {
    this.#engine = engine;
    this.#answers = answers;
    this.#claims = claimsOf(engine);
    this.#running = new Running(this.#claims, answers);
    this.#transacting = new Transacting(engine, this.#claims, answers);
  }

  async run<T>(
    key: string,
    fn: (context: RunContext) => T | Promise<T>,
    options: CallOptions<T> = {},
  ): Promise<Outcome<T>> {
    checkFunction(fn);
    const call = toCall(key, options, this.#answers.settings, "run");
    throwIfAborted(call.signal);
    return await this.#running.run(this.#path(key), fn, call);
  }

  async transact<T>(
    key: string,
    fn: (tx: Transaction, context: RunContext) => T | Promise<T>,
    options: TransactCallOptions<T> = {},
  ): Promise<Outcome<T>> {
    checkFunction(fn);
    const call = toCall(key, options, this.#answers.settings, "transact");
    throwIfAborted(call.signal);
    const { signal, fence, deadline, attempts } = options;
    const transactOptions: TransactOptions = {
      ...(signal && { signal }),
      ...(fence && { fence }),
      ...(deadline !== undefined && { deadline }),
      ...(attempts !== undefined && { attempts }),
    };
    return await this.#transacting.transact(this.#path(key), fn, call, transactOptions);
  }

  async runIn<T>(
    tx: Transaction,
    key: string,
    fn: (context: RunContext) => T | Promise<T>,
    options: JoinOptions<T> = {},
  ): Promise<Outcome<T>> {
    checkFunction(fn);
    const call = toCall(key, options, this.#answers.settings, "runIn");
    return await this.#transacting.runIn(tx, this.#path(key), (_, context) => fn(context), call);
  }

  async status(key: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<KeyStatus | undefined> {
    const entry = await this.#claims.root.kv.get<KeyRecord>(this.#path(toKey(key)), signal ? { signal } : {});
    if (!entry) return undefined;
    const record = entry.value;
    // Forgotten, or claimed by a caller who had gone before the function began.
    if (record.attempt === 0) return undefined;
    const dead =
      record.state === "in-progress" && !(await this.#claims.leases.lives(record.lease, { ...(signal && { signal }) }));
    return {
      state: dead ? "retryable" : record.state,
      attempt: record.attempt,
      ...(record.fingerprint !== undefined && { fingerprint: record.fingerprint }),
      ...("error" in record && { error: record.error }),
      ...(record.state === "in-progress" && !dead && { since: record.since }),
      ...(entry.ttl !== undefined && { ttl: entry.ttl }),
    };
  }

  async forget(key: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    const path = this.#path(toKey(key));
    const run = this.#claims.ids.next();
    const busy = await this.#claims.root.transact(
      async (tx) => {
        const record = await tx.get<KeyRecord>(path);
        if (!record || record.attempt === 0) return false;
        if (record.state === "in-progress" && (await tx.get(this.#claims.leases.keyOf(record.lease))) !== undefined)
          return record;
        // Written rather than deleted: a commit that is still under way must not find the key as it was at first.
        tx.set(path, { state: "retryable", run, attempt: 0 } satisfies Retryable, { ttl: "1h" });
        return true;
      },
      signal ? { signal } : {},
    );
    if (typeof busy === "boolean") return busy;
    throw await inProgress(this.#claims, key, busy);
  }

  #path(key: string) {
    return recordKey(this.#engine.namespace, this.#answers.name, key);
  }
}
