import { type Key, LeaseLostError, linkSignals, raceAbort } from "../../core/index.ts";
import type { Lease } from "../lease/index.ts";
import type { Answers } from "./answers.ts";
import { failed, lost, recorded, refused, started } from "./channels.ts";
import type { Claim, Claims } from "./claims.ts";
import { createContext } from "./context.ts";
import type { Outcome, RunContext } from "./contract.ts";
import type { Call } from "./options.ts";
import { Patience } from "./patience.ts";
import { isAnswer, type KeyRecord, type Retryable, type Seen } from "./record.ts";
import { type Prepared, prepare } from "./results.ts";
import { toStoredError } from "./stored-error.ts";

export type Fn<T> = (context: RunContext) => T | Promise<T>;

/** Functions whose effect is elsewhere: claimed under a lease, run, recorded under the same lease. */
export class Running {
  readonly #claims: Claims;
  readonly #answers: Answers;

  constructor(claims: Claims, answers: Answers) {
    this.#claims = claims;
    this.#answers = answers;
  }

  async run<T>(path: Key, fn: Fn<T>, call: Call): Promise<Outcome<T>> {
    using patience = new Patience(this.#claims, path, call);
    for (;;) {
      const seen = await this.#claims.read(path, call.signal);
      const record = seen?.record;
      this.#answers.compare(record, call);
      if (isAnswer(record)) return await this.#answers.replay<T>(record, call);
      if (record?.state === "in-progress" && (await this.#lives(record.lease, call.signal))) {
        await patience.wait(record).catch((error: unknown) => {
          this.#answers.tell(refused, { key: call.key, attempt: record.attempt, error });
          throw error;
        });
        continue;
      }
      const claim = await this.#claim(path, seen, call);
      if (claim) return await this.#execute(claim, fn, call);
    }
  }

  #lives(lease: string, signal: AbortSignal | undefined): Promise<boolean> {
    return this.#claims.leases.lives(lease, signal ? { signal } : {});
  }

  /** `undefined`: somebody was quicker, or the lease is lost. The lease is given back unless there is a claim. */
  async #claim(path: Key, seen: Seen | undefined, call: Call): Promise<Claim | undefined> {
    const { signal, fingerprint, retention } = call;
    const lease = await this.#claims.leases.acquire(this.#answers.settings.ttl, signal ? { signal } : {});
    const claiming = this.#claims.claim(path, seen, { lease, fingerprint, retention });
    try {
      const claim = await raceAbort(claiming, signal);
      if (!claim) lease.release();
      return claim;
    } catch (error) {
      // After an abort the claim may still come about; nobody is left to run the function then.
      void this.#free(claiming, lease, call);
      throw error;
    }
  }

  async #free(claiming: Promise<Claim | undefined>, lease: Lease, { retention }: Call): Promise<void> {
    const claim = await claiming.catch(() => undefined);
    if (!claim) {
      lease.release();
      return;
    }
    const { run, attempt, fingerprint } = claim.record;
    const before: Retryable = {
      state: "retryable",
      run,
      attempt: attempt - 1,
      ...(fingerprint !== undefined && attempt > 1 && { fingerprint }),
    };
    await this.#settle(claim, before, retention).catch(() => {});
  }

  async #execute<T>(claim: Claim, fn: Fn<T>, call: Call): Promise<Outcome<T>> {
    const { attempt } = claim.record;
    const { key } = call;
    this.#answers.tell(started, { key, attempt, tookOver: claim.tookOver });
    using linked = linkSignals(claim.lease.signal, call.signal);
    let result: unknown;
    try {
      result = await fn(createContext(claim.key, key, attempt, linked.signal));
    } catch (error) {
      return await this.#failed(claim, call, error, linked.signal);
    }
    let prepared: Prepared;
    try {
      prepared = await prepare(result, { maxResultBytes: this.#answers.settings.maxResultBytes, schema: call.schema });
    } catch (error) {
      // The effect has happened; to run the function again could only repeat it and fail here once more.
      return await this.#conclude(claim, call, error);
    }
    const { run, fingerprint } = claim.record;
    const done: KeyRecord = {
      state: "done",
      run,
      attempt,
      ...(fingerprint !== undefined && { fingerprint }),
      ...(prepared.stored !== undefined && { result: prepared.stored }),
    };
    if (!(await raceAbort(this.#settle(claim, done, call.retention), call.signal)))
      throw this.#lost(claim, call, undefined);
    this.#answers.tell(recorded, { key, attempt });
    return { value: prepared.value as T, replayed: false, attempt };
  }

  async #failed(claim: Claim, call: Call, error: unknown, signal: AbortSignal): Promise<never> {
    const { run, attempt, fingerprint } = claim.record;
    let final = false;
    let thrown = error;
    try {
      final = this.#answers.isFinal(error, { key: call.key, attempt }, signal);
    } catch (mistake) {
      thrown = mistake;
    }
    if (final) return await this.#conclude(claim, call, error);
    const retryable: Retryable = {
      state: "retryable",
      run,
      attempt,
      ...(fingerprint !== undefined && { fingerprint }),
      error: toStoredError(error),
    };
    this.#answers.tell(failed, { key: call.key, attempt, error });
    // The key is free when the caller hears of the failure, unless it does not want to wait: then soon.
    await raceAbort(this.#settle(claim, retryable, call.retention), call.signal).catch(() => {});
    throw thrown;
  }

  /** Records an error for good, and throws it. */
  async #conclude(claim: Claim, call: Call, error: unknown): Promise<never> {
    const settling = this.#settle(claim, this.#answers.failed(error, claim.record), call.retention);
    if (!(await raceAbort(settling, call.signal))) throw this.#lost(claim, call, error);
    this.#answers.tell(recorded, { key: call.key, attempt: claim.record.attempt, error });
    throw error;
  }

  /** The lease is needed until the last commit under it. */
  async #settle(claim: Claim, record: KeyRecord, retention: number): Promise<boolean> {
    try {
      return await this.#claims.settle(claim, record, retention);
    } finally {
      claim.lease.release();
    }
  }

  #lost(claim: Claim, { key }: Call, cause: unknown): LeaseLostError {
    const { attempt } = claim.record;
    const error = new LeaseLostError(
      `${JSON.stringify(key)}: the function has run, and ended too late to be recorded: the lease was lost, or it ran for longer than a day; another process may run it again; call again for the answer`,
      { details: { key, attempt, lease: claim.lease.id }, cause: cause ?? claim.lease.signal.reason },
    );
    this.#answers.tell(lost, { key, attempt, error });
    return error;
  }
}
