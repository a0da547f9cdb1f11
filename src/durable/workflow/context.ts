import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import { type Duration, invalidArgument, toMilliseconds } from "../../core/index.ts";
import type { Work } from "./commands.ts";
import type { Saga, Signal, StepContext, StepOptions, WorkflowContext } from "./contract.ts";
import { text } from "./definition.ts";
import type { Completion } from "./layout.ts";
import { type StepSettings, toStepSettings } from "./options.ts";
import { SagaSteps } from "./saga.ts";

/** What a context asks of its run. */
export interface Asking {
  readonly info: WorkflowContext["info"];
  readonly signal: AbortSignal;
  now(): number;
  ask(kind: Completion["kind"], name: string, work: Work, shielded: boolean): Promise<unknown>;
  patched(name: string): boolean;
}

/** What the function of a workflow is given. */
export class Context implements WorkflowContext {
  readonly #run: Asking;
  readonly #sagas: SagaSteps[] = [];
  #shield: AsyncLocalStorage<true> | undefined;
  #draws = 0;

  constructor(run: Asking) {
    this.#run = run;
  }

  get info(): WorkflowContext["info"] {
    return this.#run.info;
  }

  get signal(): AbortSignal {
    return this.#run.signal;
  }

  step<T>(name: string, body: (context: StepContext) => T | Promise<T>, options?: StepOptions): Promise<T> {
    return this.ask(name, body, toStepSettings(options), {}) as Promise<T>;
  }

  /** A step, as sagas want theirs. */
  ask(
    name: string,
    body: (context: StepContext) => unknown,
    settings: StepSettings,
    { shielded = this.#shielded, sticky = false }: { readonly shielded?: boolean; readonly sticky?: boolean },
  ): Promise<unknown> {
    text(name, "name");
    if (typeof body !== "function") throw invalidArgument("body", body, "a function");
    return this.#ask("step", name, { body, settings, sticky }, shielded);
  }

  sleep(duration: Duration): Promise<void> {
    return this.#sleep(this.now() + toMilliseconds(duration, "duration"));
  }

  sleepUntil(date: Date | number): Promise<void> {
    const due = Number(date);
    if (!Number.isFinite(due)) throw invalidArgument("date", date, "a date, or milliseconds since the epoch");
    return this.#sleep(due);
  }

  waitFor<P>(signal: Signal<P>, options: { readonly timeout?: Duration } = {}): Promise<P> {
    text(signal?.name, "signal.name");
    const due = options.timeout === undefined ? undefined : this.now() + toMilliseconds(options.timeout, "timeout");
    return this.#ask("signal", signal.name, { due }, this.#shielded) as Promise<P>;
  }

  now(): number {
    return this.#run.now();
  }

  random(): number {
    return this.#draw().readUIntBE(0, 6) / 2 ** 48;
  }

  uuid(): string {
    const bytes = this.#draw().subarray(0, 16);
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
    const hex = bytes.toString("hex");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }

  patched(name: string): boolean {
    text(name, "name");
    return this.#run.patched(name);
  }

  saga(): Saga {
    const saga = new SagaSteps(this);
    this.#sagas.push(saga);
    return saga;
  }

  async shielded<T>(body: () => Promise<T>): Promise<T> {
    this.#shield ??= new AsyncLocalStorage();
    return await this.#shield.run(true, body);
  }

  /** Takes back what sagas have done, the latest first. */
  async compensate(): Promise<void> {
    for (const saga of this.#sagas.toReversed()) await saga.compensate();
  }

  get #shielded(): boolean {
    return this.#shield?.getStore() ?? false;
  }

  #sleep(due: number): Promise<void> {
    return this.#ask("sleep", "sleep", { due: Math.ceil(due) }, this.#shielded) as Promise<void>;
  }

  #ask(kind: Completion["kind"], name: string, work: Work, shielded: boolean): Promise<unknown> {
    const answer = this.#run.ask(kind, name, work, shielded);
    // Code that races may never look at it.
    answer.catch(() => {});
    return answer;
  }

  #draw(): Buffer {
    return createHash("sha256")
      .update(`${this.info.workflow}\n${this.info.id}\n${this.#draws++}`)
      .digest();
  }
}
