import { createIds, fullJitter, type Ids, isAshlarError, type Key, sleep } from "../../core/index.ts";
import type { Check, Engine, Version } from "../../engine/index.ts";
import { type Lease, type Leases, leasesOf, patiently } from "../lease/index.ts";
import type { InProgress, KeyRecord, Seen } from "./record.ts";

/** The right to run a key's function: the record is this process's, under this lease. */
export interface Claim {
  readonly key: Key;
  readonly record: InProgress;
  readonly version: Version;
  readonly lease: Lease;
  /** The process that ran the function before is dead. */
  readonly tookOver: boolean;
}

const day = 24 * 3600 * 1000;
const pause = { base: 10, cap: 1000 };

/**
 * The commits of records. A commit whose answer was lost is made again until it is answered: it expects the version that was read, so it applies once, and `run` tells whether what is there
 * is its own.
 */
export class Claims implements AsyncDisposable {
  readonly root: Engine;
  readonly leases: Leases;
  readonly ids: Ids;

  constructor(root: Engine) {
    this.root = root;
    this.leases = leasesOf(root);
    this.ids = createIds(root.runtime);
  }

  async read(key: Key, signal: AbortSignal | undefined): Promise<Seen | undefined> {
    const entry = await this.root.kv.get<KeyRecord>(key, signal ? { signal } : {});
    return entry && { record: entry.value, version: entry.version };
  }

  /**
   * Makes the key this process's, if it is as it was seen. `undefined`: it was not, or the lease was lost; look again.
   * @param seen if it is in progress, under a lease that was found absent: which it then is for ever
   * @throws UnavailableError nothing was written
   */
  async claim(
    key: Key,
    seen: Seen | undefined,
    options: { readonly lease: Lease; readonly fingerprint: string | undefined; readonly retention: number },
  ): Promise<Claim | undefined> {
    const { lease, retention } = options;
    const before = seen?.record;
    const fingerprint = options.fingerprint ?? before?.fingerprint;
    const tookOver = before?.state === "in-progress";
    const record: InProgress = {
      state: "in-progress",
      run: this.ids.next(),
      attempt: (before?.attempt ?? 0) + 1,
      lease: lease.id,
      since: await this.leases.now(),
      ...(fingerprint !== undefined && { fingerprint }),
    };
    const checks: Check[] = [
      { key: this.leases.keyOf(lease.id), present: true },
      { key, version: seen?.version },
    ];
    const commit = { checks, mutations: [{ set: key, value: record, ttl: Math.max(retention, day) }] };
    let doubtful = false;
    for (let failures = 0; !lease.signal.aborted; failures++) {
      try {
        const outcome = await this.root.kv.tryCommit(commit, { signal: lease.signal });
        if (outcome.ok) return { key, record, version: outcome.version, lease, tookOver };
        if (outcome.refusal.reason === "check" && outcome.refusal.check === 0) await this.#confirmLoss(lease);
        const own = doubtful ? await this.#own(key, record.run, lease.signal) : undefined;
        return own && { key, record, version: own.version, lease, tookOver };
      } catch (error) {
        if (lease.signal.aborted) break;
        doubtful ||= isAshlarError(error, "OUTCOME_UNKNOWN");
        if (!doubtful || !isPassing(error)) throw error;
      }
      await this.#pause(failures, lease.signal);
    }
    return undefined;
  }

  /**
   * Writes what the run came to. Resolves with whether that stands in the record: not if the lease was lost, or the record's time was up.
   * Goes on for as long as the lease lasts, whatever the engine does meanwhile.
   */
  async settle(
    { key, record: { run }, version, lease }: Claim,
    record: KeyRecord,
    retention: number,
  ): Promise<boolean> {
    const checks: Check[] = [
      { key: this.leases.keyOf(lease.id), present: true },
      { key, version },
    ];
    const commit = { checks, mutations: [{ set: key, value: record, ttl: retention }] };
    let doubtful = false;
    for (let failures = 0; lease.held; failures++) {
      try {
        const outcome = await this.root.kv.tryCommit(commit, { signal: lease.signal });
        if (outcome.ok) return true;
        const own = doubtful ? await this.#own(key, run, lease.signal) : undefined;
        return own !== undefined && own.record.state !== "in-progress";
      } catch (error) {
        if (lease.signal.aborted) return false;
        doubtful ||= isAshlarError(error, "OUTCOME_UNKNOWN");
        if (!isPassing(error)) throw error;
      }
      await this.#pause(failures, lease.signal);
    }
    return false;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** The record, if this run wrote it. */
  async #own(key: Key, run: string, signal: AbortSignal): Promise<Seen | undefined> {
    const seen = await patiently(this.root, () => this.read(key, signal), signal);
    return seen?.record.run === run ? seen : undefined;
  }

  /** The engine has ended the lease before the process has noticed: it learns it, so that the next attempt has another. */
  async #confirmLoss(lease: Lease): Promise<void> {
    await this.root.transact((tx) => lease.guard(tx)).catch(() => {});
  }

  /** An abort ends the pause; whoever pauses looks at the signal next. */
  async #pause(failures: number, signal: AbortSignal): Promise<void> {
    const { runtime } = this.root;
    await sleep(runtime, fullJitter(runtime, failures, pause), { signal, ref: false }).catch(() => {});
  }
}

/** Another attempt may go better. */
function isPassing(error: unknown): boolean {
  return isAshlarError(error) && (error.retryable || error.code === "OUTCOME_UNKNOWN");
}

/** The claims of the engine's store. */
export function claimsOf(engine: Engine): Claims {
  return engine.shared("idempotency", (root) => new Claims(root));
}
