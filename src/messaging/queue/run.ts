import {
  ConflictError,
  encodeValue,
  fullJitter,
  isAshlarError,
  limitExceeded,
  sleep,
  TimeoutError,
  type Timer,
  validate,
} from "../../core/index.ts";
import type { Engine, OpenTransaction, Transaction } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import type { Slot } from "./claim.ts";
import type { ChildResult, Handler, Job, JobContext } from "./contract.ts";
import { judge, spent, toFailure } from "./failures.ts";
import { type ChildState, keys } from "./layout.ts";
import type { Desk, Outcome } from "./outcome.ts";
import { isLostJob, type Settler } from "./settler.ts";

/** What a run needs of its worker. */
export interface Surroundings {
  /** The engine whose transactions handlers get. */
  readonly user: Engine;
  /** The queue's scope. */
  readonly engine: Engine;
  readonly desk: Desk;
  readonly settler: Settler;
  readonly handler: Handler<unknown>;
  readonly timeout: number | undefined;
  readonly now: () => Promise<number>;
  /** The answer to a handler's commit was lost: nobody knows whether its job is settled. */
  readonly orphaned: (slot: Slot, error: unknown) => void;
}

/** Why a run is told to stop. */
export type Stop = "lost" | "cancelled" | "stopped";

/** Runs of a handler whose transaction met a conflict, until it counts as a failure. */
const maxConflicts = 32;

/** One job in the hands of its handler. */
export class Run {
  readonly slot: Slot;
  readonly #around: Surroundings;
  #stop: Stop | undefined;
  /** Why the handler is to end. */
  #cut: { readonly reason: unknown } | undefined;
  /** Made when the handler asks for its signal: most jobs are over before anybody would. */
  #controller: AbortController | undefined;
  /** Ends the wait for the handler. */
  #leave: ((reason: unknown) => void) | undefined;

  constructor(slot: Slot, around: Surroundings) {
    this.slot = slot;
    this.#around = around;
  }

  /** Aborts the handler's signal; what it still does is not applied. */
  stop(why: Stop, reason: unknown): void {
    this.#stop ??= why;
    this.#abort(reason);
  }

  #abort(reason: unknown): void {
    this.#cut ??= { reason };
    this.#controller?.abort(reason);
    this.#leave?.(reason);
  }

  get #signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cut) this.#controller.abort(this.#cut.reason);
    }
    return this.#controller.signal;
  }

  /** Resolves when the handler has ended, or has been told to stop; `settled` when its outcome is recorded. Never rejects. */
  async execute(): Promise<{ readonly settled: Promise<unknown> }> {
    const { now } = this.#around;
    const { slot } = this;
    if (slot.job.expires !== undefined && slot.job.expires <= (await now().catch(() => 0)))
      return this.#settle({ kind: "end", state: "expired", failure: undefined });
    let job: Job<unknown>;
    try {
      job = await this.#toJob();
    } catch (error) {
      // What does not satisfy the schema now will not do so the next time.
      return this.#settle(await this.#dead(error));
    }
    this.#tell(channels.started, {});
    for (let conflicts = 0; ; conflicts++) {
      const outcome = await this.#once(job, conflicts);
      if (outcome === "conflict") continue;
      if (outcome === "settled") return { settled: Promise.resolve() };
      if (outcome === "lost") {
        this.#tell(channels.failed, { outcome: "lost" });
        return { settled: Promise.resolve() };
      }
      return this.#settle(outcome);
    }
  }

  async #once(job: Job<unknown>, conflicts: number): Promise<Outcome | "conflict" | "settled" | "lost"> {
    const { user, timeout } = this.#around;
    let open: OpenTransaction | undefined;
    const timer = this.#limit(timeout);
    const context = this.#context(() => {
      open ??= user.begin({ signal: this.#signal });
      return open.tx;
    });
    try {
      const result = await this.#handle(job, context);
      timer?.cancel();
      return await this.#succeed(result, open, conflicts);
    } catch (error) {
      return await this.#fail(job, error, open, conflicts);
    } finally {
      timer?.cancel();
      await open?.rollback().catch(() => {});
    }
  }

  /** Rejects as soon as the handler is to end, whether it does or not. */
  async #handle(job: Job<unknown>, context: JobContext): Promise<unknown> {
    if (this.#cut) throw this.#cut.reason;
    try {
      return await new Promise((resolve, reject) => {
        this.#leave = reject;
        Promise.resolve(this.#around.handler(job, context)).then(resolve, reject);
      });
    } finally {
      this.#leave = undefined;
    }
  }

  async #succeed(
    result: unknown,
    open: OpenTransaction | undefined,
    conflicts: number,
  ): Promise<Outcome | "conflict" | "settled" | "lost"> {
    const { engine, settler, desk } = this.#around;
    const kept = this.slot.job.parent !== undefined || desk.settings.results !== undefined;
    if (kept) checkResult(result, engine);
    const outcome: Outcome = { kind: "done", result: kept ? result : undefined };
    if (!open?.touched) return outcome;
    await settler.write(engine.join(open.tx), this.slot, outcome);
    if (!(await this.#commit(open))) return await this.#conflict(conflicts);
    settler.confirm(this.slot);
    this.#tell(channels.done, {});
    return "settled";
  }

  /** An engine that is away is no failure of the handler, which then runs again. */
  async #commit(open: OpenTransaction): Promise<boolean> {
    try {
      return await open.commit();
    } catch (error) {
      if (isAshlarError(error) && error.retryable && error.code !== "CONFLICT") return false;
      throw error;
    }
  }

  async #fail(
    job: Job<unknown>,
    error: unknown,
    open: OpenTransaction | undefined,
    conflicts: number,
  ): Promise<Outcome | "conflict" | "lost"> {
    const { desk, now, orphaned } = this.#around;
    if (this.slot.claim.lost || this.#stop === "lost" || isLostJob(error)) return "lost";
    if (isAshlarError(error, "OUTCOME_UNKNOWN") && open?.touched) {
      orphaned(this.slot, error);
      return "lost";
    }
    const at = await now().catch(() => 0);
    if (this.#stop === "cancelled")
      return { kind: "end", state: "cancelled", failure: toFailure(error, spent(this.slot.job) + 1, at) };
    if (this.#stop === "stopped") return { kind: "return" };
    if (isReread(error)) return await this.#conflict(conflicts);
    const outcome = judge(this.slot, job, error, desk.settings, at);
    this.#tell(channels.failed, { error, outcome: toldAs(outcome) });
    return outcome;
  }

  async #conflict(conflicts: number): Promise<"conflict" | Outcome> {
    const { engine, now, desk } = this.#around;
    if (conflicts >= maxConflicts) {
      const at = await now();
      const error = new ConflictError(
        `the handler's transaction met a conflict ${maxConflicts} times in a row; others keep changing what it reads`,
      );
      return judge(this.slot, await this.#toJob(), error, desk.settings, at);
    }
    const pause = fullJitter(engine.runtime, conflicts, { base: 1, cap: 100 });
    await sleep(engine.runtime, pause, { signal: this.#signal }).catch(() => {});
    return "conflict";
  }

  #settle(outcome: Outcome): { readonly settled: Promise<unknown> } {
    const settled = this.#around.settler.settle(this.slot, outcome).then((applied) => {
      if (!applied) this.#tell(channels.failed, { outcome: "lost" });
      else if (outcome.kind === "done") this.#tell(channels.done, {});
    });
    return { settled };
  }

  async #dead(error: unknown): Promise<Outcome> {
    const at = await this.#around.now().catch(() => 0);
    this.#tell(channels.failed, { error, outcome: "dead" });
    return { kind: "dead", reason: "parked", failure: toFailure(error, spent(this.slot.job) + 1, at) };
  }

  async #toJob(): Promise<Job<unknown>> {
    const { id, job } = this.slot;
    const { schema } = this.#around.desk.settings;
    const data = schema === undefined ? job.data : await validate(schema, job.data, "data");
    return {
      id,
      data,
      headers: job.headers ?? {},
      attempt: spent(job) + 1,
      priority: job.priority ?? 0,
      key: job.key,
      added: job.added,
      history: job.history ?? [],
    };
  }

  #context(begin: () => Transaction): JobContext {
    const { engine } = this.#around;
    const { slot } = this;
    const signal = () => this.#signal;
    return {
      get tx() {
        return begin();
      },
      get signal() {
        return signal();
      },
      progress: async (value) => {
        slot.progressed = true;
        await engine.kv.set(keys.progress(slot.id), value, { signal: signal() });
      },
      children: async () => {
        const entries = engine.kv.list<ChildState>({ prefix: ["parent", slot.id] }, { signal: signal() });
        return (await Array.fromAsync(entries)).map(({ key, value }) => toChildResult(String(key[2]), value));
      },
    };
  }

  #limit(timeout: number | undefined): Timer | undefined {
    if (timeout === undefined) return undefined;
    const fail = () => this.#abort(new TimeoutError(`the handler did not end within its timeout of ${timeout} ms`));
    return this.#around.engine.runtime.timers.after(timeout, fail);
  }

  #tell(
    channel: typeof channels.started,
    more: { error?: unknown; outcome?: channels.QueueMessage["outcome"] & string },
  ) {
    if (!channel.hasSubscribers) return;
    const { id, job } = this.slot;
    const about = { queue: this.#around.desk.name, id, headers: job.headers ?? {}, attempt: spent(job) + 1 };
    channel.publish({ ...about, ...more } satisfies channels.QueueMessage);
  }
}

function toChildResult(id: string, value: ChildState): ChildResult {
  if (value.state === "done")
    return { id, queue: value.queue, state: "done", ...("result" in value && { result: value.result }) };
  return { id, queue: value.queue, state: "failed", reason: value.state === "failed" ? value.reason : "" };
}

/** Results are kept whole or not at all. */
function checkResult(result: unknown, engine: Engine): void {
  if (result === undefined) return;
  const bytes = encodeValue(result, "result").length;
  const most = engine.limits.valueBytes / 2;
  if (bytes > most) throw limitExceeded("result", bytes, most, "bytes encoded");
}

function toldAs(outcome: Outcome): "retry" | "dead" | "dropped" {
  return outcome.kind === "again" ? "retry" : outcome.kind === "dead" ? "dead" : "dropped";
}

/** Two reads of one transaction disagreed: the same as a conflict at its commit. */
function isReread(error: unknown): boolean {
  return isAshlarError(error, "CONFLICT") && error.details["reason"] === "reread";
}
