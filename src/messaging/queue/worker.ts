import { type Lease, watchUntil } from "../../coordination/lease/index.ts";
import { type Closer, createCloser, type Duration, isAshlarError, type Runtime, sleep } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { Caller } from "./calls.ts";
import * as channels from "./channels.ts";
import type { Claim, Slot } from "./claim.ts";
import type { Handler, Worker } from "./contract.ts";
import type { QueueHub } from "./hub.ts";
import { keys, slotsPerClaim } from "./layout.ts";
import type { LocalQueue, Receiver } from "./local.ts";
import { mayBeHanded, toDrain, type WorkSettings } from "./options.ts";
import type { Desk, Outcome } from "./outcome.ts";
import { Pace } from "./pace.ts";
import { inherit, inheritAll, recoverClaim } from "./recovery.ts";
import { Run, type Surroundings } from "./run.ts";
import { Settler } from "./settler.ts";
import { Taker, type Wait } from "./taker.ts";
import { trimLane } from "./trim.ts";

/** How long handlers that were told to stop are waited for. */
const stopGraceMs = 5000;
/** Trimming the lane costs reading the claims: once in so many records is enough. */
const trimEvery = 5000;
/** And after the last of them, so many milliseconds. */
const trimAfterMs = 1000;
/** What is due later is looked for again then: timers hold no more. */
const longestTimer = 2 ** 31 - 1;

export interface WorkerParts {
  readonly user: Engine;
  readonly local: LocalQueue<QueueWorker>;
  readonly hub: QueueHub;
  readonly desk: Desk;
  readonly handler: Handler<unknown>;
  readonly settings: WorkSettings;
}

/** Takes jobs and hands them to a handler, until it is closed. */
export class QueueWorker implements Worker, Receiver {
  readonly done: Promise<void>;
  readonly #live: Promise<void>;
  readonly #parts: WorkerParts;
  readonly #runtime: Runtime;
  readonly #taker: Taker;
  readonly #settler: Settler;
  readonly #around: Surroundings;
  readonly #runs = new Set<Run>();
  readonly #claims = new Set<Claim>();
  #buffer: Slot[] = [];
  /** Promised to a producer that hands over jobs. */
  #reserved = 0;
  #settling = 0;
  #idle = false;
  #lease: Lease | undefined;
  readonly #pace: Pace;
  #sinceTrim = 0;
  #lastTaken = 0;
  /** Who waits for a change: of room, of work, of the last run's end. */
  #waiters: (() => void)[] = [];
  #nudged = false;
  readonly #stopping = new AbortController();
  readonly #ended = new AbortController();
  readonly #closer: Closer;
  /** Only where producers may hand over jobs. */
  readonly #caller: Caller | undefined;
  #drain: number;

  constructor(parts: WorkerParts) {
    const { local, desk, user } = parts;
    this.#parts = parts;
    this.#drain = parts.settings.drain;
    this.#runtime = user.runtime;
    this.#pace = new Pace(parts.settings.concurrency, parts.settings.prefetch);
    this.#taker = new Taker(local, desk);
    const now = () => local.leases.now();
    this.#settler = new Settler(
      local.engine,
      desk,
      now,
      (claim, error) => this.#orphan(claim, error),
      this.#ended.signal,
    );
    this.#around = {
      user,
      engine: local.engine,
      desk,
      settler: this.#settler,
      handler: parts.handler,
      timeout: parts.settings.timeout,
      now,
      orphaned: (slot, error) => this.#orphan(slot.claim, error),
    };
    if (local.lane.own && mayBeHanded(desk.settings))
      this.#caller = new Caller({
        local,
        jobs: Math.min(parts.settings.concurrency, slotsPerClaim),
        receive: (slots) => this.#takeOver(slots),
        failed: (error) => this.#tellTrouble(error),
      });
    this.#closer = createCloser(() => this.#close(), `the worker of queue ${desk.name}`);
    this.#live = this.#liveOn();
    this.done = this.#live.then(() => this.#closer.close());
    // Whoever wants to hear of the end asks for it.
    this.done.catch(() => {});
  }

  get running(): number {
    return this.#runs.size;
  }

  /** Jobs that would begin at once, if a producer handed them over. */
  get appetite(): number {
    if (!this.#idle || !this.#lease?.held || this.#stopping.signal.aborted) return 0;
    return this.#free();
  }

  get lease(): Lease | undefined {
    return this.#lease;
  }

  reserve(jobs: number): void {
    this.#reserved += jobs;
  }

  release(jobs: number): void {
    this.#reserved -= jobs;
    this.#wakeIfWaiting();
  }

  /** Jobs whose claim the producer has committed under this worker's lease. */
  receive(slots: readonly Slot[]): void {
    this.#admit(slots);
  }

  /** Jobs that a producer of another process has claimed for this worker; which of them find no room go to the others. */
  #takeOver(slots: readonly Slot[]): void {
    const free = this.#free();
    this.receive(slots.slice(0, free));
    this.#giveBack(slots.slice(free));
  }

  async close(options: { readonly drain?: Duration } = {}): Promise<void> {
    if (options.drain !== undefined) this.#drain = toDrain(options.drain);
    await this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #liveOn(): Promise<void> {
    const { local, desk, settings } = this.#parts;
    const heir = (lease: string) => inherit(local, desk, lease);
    local.enter();
    local.heirs.add(heir);
    const offWake = local.onWake(() => this.#wake());
    const offCancel = local.onCancel((id) => this.#cancel(id));
    const stop = () => void this.close();
    settings.signal?.addEventListener("abort", stop, { once: true });
    if (settings.signal?.aborted) stop();
    try {
      await this.#loop();
    } finally {
      settings.signal?.removeEventListener("abort", stop);
      offCancel();
      offWake();
      local.heirs.delete(heir);
      local.leave();
    }
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopping;
    let looked = false;
    while (!signal.aborted) {
      try {
        const lease = await this.#leased(signal);
        if (!looked) {
          await inheritAll(this.#parts.local, this.#parts.desk);
          looked = true;
        }
        await this.#turn(lease);
      } catch (error) {
        if (signal.aborted) return;
        this.#nudged = false;
        if (isAshlarError(error, "CLOSED")) throw error;
        this.#tellTrouble(error);
        await sleep(this.#runtime, 100 + this.#runtime.random.next() * 400, { signal, ref: false }).catch(() => {});
      }
    }
  }

  /** Takes what there is room for, or waits for room or for work. */
  async #turn(lease: Lease): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const room = this.#room();
    if (room < this.#least()) {
      await this.#untilNudged();
      return;
    }
    this.#idle = false;
    this.#nudged = false;
    const { slots, wait } = await this.#taker.take(room, Math.max(1, this.#free()), lease);
    if (slots.length > 0) {
      this.#sinceTrim += slots.length;
      this.#lastTaken = this.#runtime.clock.monotonic();
      this.#admit(slots);
    }
    if (this.#sinceTrim >= trimEvery || (wait?.empty && this.#restful)) await this.#trim();
    if (wait !== undefined && !this.#nudged && !this.#stopping.signal.aborted) await this.#await(wait);
  }

  async #await(wait: Wait): Promise<void> {
    const { local } = this.#parts;
    this.#idle = wait.empty;
    if (wait.empty) {
      local.idle.add(this);
      // Queues without any work cost no calls.
      if (this.#lease && this.#lastTaken > 0) this.#caller?.idle(this.#lease);
    }
    const ended = new AbortController();
    const waits: Promise<unknown>[] = [];
    if (wait.lane !== undefined) waits.push(this.#untilLane(wait.lane, ended.signal));
    if (wait.running) waits.push(this.#untilFewerRun(ended.signal));
    for (const each of waits)
      each.then(
        () => this.#wake(),
        () => {},
      );
    const rest = this.#sinceTrim > 0 ? trimAfterMs : Number.POSITIVE_INFINITY;
    const ms = Math.min(wait.ms ?? Number.POSITIVE_INFINITY, rest, longestTimer);
    const timer =
      wait.ms === undefined && rest === Number.POSITIVE_INFINITY
        ? undefined
        : this.#runtime.timers.after(ms, () => this.#wake());
    try {
      await this.#untilNudged();
    } finally {
      timer?.cancel();
      ended.abort();
      local.idle.delete(this);
      this.#idle = false;
    }
  }

  /** What has come need not be read again. */
  async #untilLane(offset: number, signal: AbortSignal): Promise<void> {
    this.#taker.offer(await this.#parts.local.untilLane(offset, signal));
  }

  /** Whether there is something to trim, and nothing else to do. */
  get #restful(): boolean {
    const rested = this.#runtime.clock.monotonic() - this.#lastTaken;
    return this.#sinceTrim > 0 && this.#claims.size === 0 && rested >= trimAfterMs;
  }

  async #untilFewerRun(signal: AbortSignal): Promise<void> {
    const { local, desk } = this.#parts;
    const most = desk.settings.concurrency ?? Number.POSITIVE_INFINITY;
    const fewer = (changes: readonly { readonly value?: unknown }[], first: boolean): boolean =>
      (first && changes.length === 0) || changes.some(({ value }) => value === undefined || (value as number) < most);
    await watchUntil(local.engine, { key: keys.running }, fewer, signal);
  }

  /** Handlers that could begin at once. */
  #free(): number {
    return Math.max(0, this.#parts.settings.concurrency - this.#runs.size - this.#buffer.length - this.#reserved);
  }

  #room(): number {
    const { concurrency } = this.#parts.settings;
    const ahead = this.#pace.ahead;
    // Handlers are not to run away from the commits that record their ends.
    if (this.#settling > concurrency + ahead) return 0;
    return concurrency + ahead - this.#runs.size - this.#buffer.length - this.#reserved;
  }

  /** A commit is worth so many jobs, unless a handler has nothing to do. */
  #least(): number {
    if (this.#free() > 0) return 1;
    return Math.max(1, Math.ceil(this.#pace.ahead / 2));
  }

  #admit(slots: readonly Slot[]): void {
    if (this.#stopping.signal.aborted) {
      this.#giveBack(slots);
      return;
    }
    for (const slot of slots) {
      // The lease may have been lost while the answer was under way.
      if (slot.claim.lease !== this.#lease?.id) continue;
      this.#claims.add(slot.claim);
      this.#buffer.push(slot);
    }
    this.#pump();
    if (this.#free() === 0) this.#caller?.busy();
  }

  #giveBack(slots: readonly Slot[]): void {
    for (const slot of slots) this.#settle(slot, { kind: "return" });
  }

  /** Of a job that has not begun. */
  #settle(slot: Slot, outcome: Outcome): void {
    void this.#settler.settle(slot, outcome).then(() => this.#forgetSettled(slot.claim));
  }

  #pump(): void {
    const { concurrency } = this.#parts.settings;
    let taken = 0;
    while (taken < this.#buffer.length && this.#runs.size < concurrency && !this.#stopping.signal.aborted)
      this.#start(this.#buffer[taken++] as Slot);
    if (taken > 0) this.#buffer.splice(0, taken);
  }

  #start(slot: Slot): void {
    if (slot.claim.lost) return;
    const run = new Run(slot, this.#around);
    this.#runs.add(run);
    const began = this.#runtime.clock.monotonic();
    this.#settling++;
    void run.execute().then(({ settled }) => {
      this.#runs.delete(run);
      this.#pace.took(this.#runtime.clock.monotonic() - began);
      void settled.then(() => {
        this.#settling--;
        this.#forgetSettled(slot.claim);
        this.#wakeIfWaiting();
      });
      this.#pump();
      this.#wakeIfWaiting();
    });
  }

  #forgetSettled(claim: Claim): void {
    if (claim.settled < claim.size && !claim.lost) return;
    this.#claims.delete(claim);
    // Of one that is lost it is not known what the store has: it is never to be taken up again.
    if (!claim.lost) this.#parts.local.handed.end(claim.number);
  }

  /** The loop waits for room: there is some. */
  #wakeIfWaiting(): void {
    if (this.#waiters.length > 0 && !this.#idle) this.#wake();
  }

  #wake(): void {
    this.#nudged = true;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  #untilNudged(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  async #leased(signal: AbortSignal): Promise<Lease> {
    if (this.#lease?.held) return this.#lease;
    const { local, hub, desk } = this.#parts;
    if (this.#lease) this.#loseLease(this.#lease);
    const lease = await local.leases.acquire(desk.settings.lease, { signal });
    try {
      await hub.announce(lease);
    } catch (error) {
      lease.release();
      throw error;
    }
    this.#lease = lease;
    lease.signal.addEventListener("abort", () => this.#loseLease(lease), { once: true });
    return lease;
  }

  /** Others may take over what was taken under it. */
  #loseLease(lease: Lease): void {
    if (this.#lease !== lease) return;
    this.#lease = undefined;
    lease.release();
    this.#caller?.busy();
    for (const claim of this.#claims) if (claim.lease === lease.id) claim.lost = true;
    this.#buffer = this.#buffer.filter(({ claim }) => !claim.lost);
    for (const run of this.#runs) if (run.slot.claim.lost) run.stop("lost", lease.signal.reason);
    for (const claim of this.#claims) if (claim.lost) this.#claims.delete(claim);
    this.#wake();
  }

  /** It is not known what of the claim is settled: the store tells. What still runs of it is void. */
  #orphan(claim: Claim, error: unknown): void {
    this.#tellTrouble(error);
    claim.lost = true;
    this.#claims.delete(claim);
    this.#buffer = this.#buffer.filter((slot) => slot.claim !== claim);
    for (const run of this.#runs)
      if (run.slot.claim === claim) run.stop("lost", new Error("it is not known what has become of its claim"));
    const { local, desk, hub } = this.#parts;
    // Goes on when this worker is closed: the lease is the process's, and lives.
    const recover = () => recoverClaim(local, desk, claim.lease, claim.number, "lost-track");
    hub.see(recover, (error) => this.#tellTrouble(error));
  }

  #cancel(id: string): void {
    for (const run of this.#runs) if (run.slot.id === id) run.stop("cancelled", new Error(`job ${id} was cancelled`));
    const waiting = this.#buffer.filter((slot) => slot.id === id);
    if (waiting.length === 0) return;
    this.#buffer = this.#buffer.filter((slot) => slot.id !== id);
    for (const slot of waiting) this.#settle(slot, { kind: "end", state: "cancelled", failure: undefined });
  }

  async #trim(): Promise<void> {
    this.#sinceTrim = 0;
    await trimLane(this.#parts.local).catch((error) => this.#tellTrouble(error));
  }

  async #close(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    // The engine's end is the end of the loop, too, and is told by `done`.
    await this.#live.catch(() => {});
    await this.#caller?.stop();
    this.#giveBack(this.#buffer.splice(0));
    await this.#untilRunsEnd(this.#drain);
    for (const run of this.#runs) run.stop("stopped", new Error("the worker is closed, and its time to drain is over"));
    await this.#untilRunsEnd(stopGraceMs);
    await this.#settler.idle();
    this.#ended.abort();
    this.#lease?.release();
    this.#lease = undefined;
  }

  async #untilRunsEnd(ms: number): Promise<void> {
    let isOver = false;
    const timer =
      ms === Number.POSITIVE_INFINITY
        ? undefined
        : this.#runtime.timers.after(ms, () => {
            isOver = true;
            this.#wake();
          });
    while ((this.#runs.size > 0 || this.#reserved > 0) && !isOver) await this.#untilNudged();
    timer?.cancel();
  }

  #tellTrouble(error: unknown): void {
    if (channels.trouble.hasSubscribers)
      channels.trouble.publish({ queue: this.#parts.desk.name, error } satisfies channels.TroubleMessage);
  }
}
