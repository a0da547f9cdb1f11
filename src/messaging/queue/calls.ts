import { type Lease, patiently } from "../../coordination/lease/index.ts";
import { isAshlarError, type Timer } from "../../core/index.ts";
import type { Engine, Entry, Version } from "../../engine/index.ts";
import type { Slot } from "./claim.ts";
import { type Call, type ClaimValue, keys } from "./layout.ts";
import type { LocalQueue } from "./local.ts";
import { slotsOf } from "./recovery.ts";

/** Claims from here on were made by producers of other processes; below are a process's own. */
export const firstHanded = 2 ** 40;

/** A worker that found nothing to do for so long calls, in milliseconds: so a burst costs no calls. */
const callAfterMs = 10;
/** While another worker's call stands, it is looked at again after so many milliseconds. */
const lookAgainMs = 1000;
/** A producer looks for a call at most so often, in milliseconds. */
const seekEveryMs = 50;
/** One that was of no use and still stands is tried again after so many. */
const afterRefusalMs = 500;

/** Claims that this process was handed by others: those that it knows must not be taken up twice. */
export class HandedClaims {
  readonly #known = new Set<number>();
  readonly #over = new Set<number>();

  /** False: it is known already. */
  take(number: number): boolean {
    if (this.#known.has(number) || this.#over.has(number)) return false;
    this.#known.add(number);
    return true;
  }

  /** Its end is in the store. */
  end(number: number): void {
    if (this.#known.delete(number)) this.#over.add(number);
  }

  /** What ended before a look began cannot be seen by it any more. Returns what to do after the look. */
  look(): () => void {
    const before = [...this.#over];
    return () => {
      for (const number of before) this.#over.delete(number);
    };
  }
}

export interface CallerParts {
  readonly local: LocalQueue;
  /** Jobs of one hand-over at most. */
  readonly jobs: number;
  readonly receive: (slots: readonly Slot[]) => void;
  readonly failed: (error: unknown) => void;
}

/** A call that stands, or may. */
interface Standing {
  readonly lease: Lease;
  readonly token: number;
  readonly listening: AbortController;
  /** It is known whether it stands. */
  settled: Promise<void>;
}

/**
 * Calls for jobs on behalf of a worker that has nothing to do: producers of other processes, who see the call, claim new jobs for it in the commit that adds them. One call stands for a queue. It is
 * withdrawn when the worker has as many as it can run.
 */
export class Caller {
  readonly #parts: CallerParts;
  #timer: Timer | undefined;
  #standing: Standing | undefined;
  #withdrawing: Promise<void> = Promise.resolve();
  #notBefore = 0;
  #stopped = false;

  constructor(parts: CallerParts) {
    this.#parts = parts;
  }

  /** The worker has found nothing to do. */
  idle(lease: Lease): void {
    if (this.#stopped || this.#standing !== undefined || this.#timer) return;
    this.#timer = this.#parts.local.engine.runtime.timers.after(
      callAfterMs,
      () => {
        this.#timer = undefined;
        this.#call(lease).catch(this.#parts.failed);
      },
      { ref: false },
    );
  }

  /** The worker has something to do. */
  busy(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const standing = this.#standing;
    if (!standing) return;
    this.#standing = undefined;
    this.#withdrawing = this.#withdrawing.then(() => this.#withdraw(standing)).catch(this.#parts.failed);
  }

  /** Afterwards nobody hands over any more, and what was handed over has been received. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.busy();
    await this.#withdrawing;
  }

  async #call(lease: Lease): Promise<void> {
    const { local } = this.#parts;
    const { engine, leases } = local;
    const now = engine.runtime.clock.monotonic();
    if (now < this.#notBefore || !lease.held) return;
    this.#notBefore = now + lookAgainMs;
    const present = await engine.kv.get<Call>(keys.call);
    // Another of this process, too: one call is enough for a queue.
    if (present && (await leases.lives(present.value.lease))) return;
    if (this.#stopped || this.#standing || this.#timer) return;
    const listening = new AbortController();
    const standing: Standing = { lease, token: local.nextClaim(), listening, settled: Promise.resolve() };
    this.#standing = standing;
    this.#listen(standing);
    const committed = this.#commit(standing, present?.version);
    standing.settled = committed.then(
      () => {},
      () => {},
    );
    try {
      if (await committed) this.#notBefore = 0;
      else this.busy();
    } catch (error) {
      this.busy();
      throw error;
    }
  }

  /** When it ends, however it ends, the call stands or never will. */
  async #commit({ lease, token }: Standing, version: Version | undefined): Promise<boolean> {
    const { engine } = this.#parts.local;
    const mark = keys.claim(lease.id, token);
    try {
      await using open = engine.begin();
      lease.guard(open.tx);
      open.tx.check({ key: keys.call, version });
      open.tx.check({ key: mark, version: undefined });
      const call: Call = { lease: lease.id, token, jobs: this.#parts.jobs };
      open.tx.set(keys.call, call);
      return await open.commit();
    } catch (error) {
      // A commit that comes late finds the mark in use, which stays until the lease ends.
      if (isAshlarError(error, "OUTCOME_UNKNOWN"))
        await patiently(engine, () => engine.kv.set(mark, { shelf: [] } satisfies ClaimValue), unending());
      throw error;
    }
  }

  async #withdraw(standing: Standing): Promise<void> {
    const { engine } = this.#parts.local;
    await standing.settled;
    const withdraw = async (): Promise<void> => {
      const present = await engine.kv.get<Call>(keys.call);
      if (present?.value.token === standing.token && present.value.lease === standing.lease.id) {
        const checks = [{ key: keys.call, version: present.version }];
        await engine.kv.tryCommit({ checks, mutations: [{ delete: keys.call }] });
      }
      await this.#takeUp(standing.lease);
    };
    try {
      await patiently(engine, withdraw, unending());
    } finally {
      standing.listening.abort();
    }
  }

  #listen({ lease, listening }: Standing): void {
    const { engine } = this.#parts.local;
    const { signal } = listening;
    const listen = async (): Promise<void> => {
      for await (const changes of engine.kv.watch({ key: keys.handed(lease.id) }, { signal }))
        if (changes.length > 0) await this.#takeUp(lease);
    };
    patiently(engine, listen, signal).catch((error) => {
      if (!signal.aborted) this.busy();
      if (!signal.aborted) this.#parts.failed(error);
    });
  }

  async #takeUp(lease: Lease): Promise<void> {
    const { local, receive } = this.#parts;
    // What was handed over under a lease that is lost is given back by others.
    if (!lease.held) return;
    const { engine, lane, handed } = local;
    const looked = handed.look();
    const range = { prefix: ["claim", lease.id], start: keys.claim(lease.id, firstHanded) };
    const claims: Entry<ClaimValue>[] = await Array.fromAsync(engine.kv.list<ClaimValue>(range));
    for (const { key, value } of claims) {
      const number = key[2] as number;
      if (!handed.take(number)) continue;
      receive(await slotsOf(engine, lane, value, lease.id, number));
    }
    looked();
  }
}

/** For what ends with the engine at the latest. */
function unending(): AbortSignal {
  return new AbortController().signal;
}

/** What a producer knows of calls. It never waits for an answer: until it knows of a call, jobs go into the lane. */
export class Callers {
  readonly #engine: Engine;
  #known: { readonly call: Call; readonly version: Version } | undefined;
  #refused: Version | undefined;
  #seeking = false;
  #notBefore = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get known(): { readonly call: Call; readonly version: Version } | undefined {
    if (this.#known === undefined) this.#seek();
    return this.#known;
  }

  /** It is over; or it stands, but its worker has died, or the queue is paused. */
  refuse(): void {
    this.#refused = this.#known?.version;
    this.#known = undefined;
  }

  #seek(): void {
    const now = this.#engine.runtime.clock.monotonic();
    if (this.#seeking || now < this.#notBefore) return;
    this.#seeking = true;
    this.#notBefore = now + seekEveryMs;
    this.#engine.kv.get<Call>(keys.call).then(
      (entry) => {
        this.#seeking = false;
        if (entry === undefined) return;
        if (entry.version !== this.#refused) this.#known = { call: entry.value, version: entry.version };
        else {
          this.#refused = undefined;
          this.#notBefore = this.#engine.runtime.clock.monotonic() + afterRefusalMs;
        }
      },
      () => {
        this.#seeking = false;
      },
    );
  }
}
