import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import { type Duration, invalidArgument, refuseUnknown, toMilliseconds } from "../../core/index.ts";
import { assertAttributes } from "./attributes.ts";
import type { Work } from "./commands.ts";
import type {
  Attributes,
  ChildOptions,
  Query,
  Saga,
  Signal,
  StepContext,
  StepOptions,
  Update,
  Workflow,
  WorkflowContext,
} from "./contract.ts";
import { text } from "./definition.ts";
import { Continuation } from "./errors.ts";
import type { Completion } from "./layout.ts";
import { type StepSettings, toStepSettings } from "./options.ts";
import { SagaSteps } from "./saga.ts";
import type { Handling } from "./talk.ts";

/** What a context asks of its run. */
export interface Asking {
  readonly info: WorkflowContext["info"];
  readonly signal: AbortSignal;
  now(): number;
  ask(kind: Completion["kind"], name: string, work: Work, shielded: boolean): Promise<unknown>;
  patched(name: string): boolean;
  handle(name: string, handling: Handling): void;
  /** Those that this program knows. */
  readonly workflows: ReadonlyMap<string, Workflow>;
  log(message: string, fields: Readonly<Record<string, unknown>> | undefined): void;
}

/** What the function of a workflow is given. */
export class Context implements WorkflowContext {
  readonly #run: Asking;
  readonly #sagas: SagaSteps[] = [];
  #shield: AsyncLocalStorage<true> | undefined;
  #draws = 0;
  /** As the code has asked for them. */
  #attributes: Attributes;

  constructor(run: Asking, attributes: Attributes) {
    this.#run = run;
    this.#attributes = attributes;
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

  child<I, O>(workflow: Workflow<I, O>, input: I, options: ChildOptions = {}): Promise<O> {
    refuseUnknown(options, ["id", "onParentEnd"]);
    const { id = "", onParentEnd = "cancel" } = options;
    if (options.id !== undefined) text(id, "id");
    const known = this.#run.workflows.get(workflow?.name);
    if (known !== (workflow as unknown as Workflow))
      throw invalidArgument("workflow", workflow?.name, `one of these: ${[...this.#run.workflows.keys()].join(", ")}`);
    if (!["cancel", "terminate", "abandon"].includes(onParentEnd))
      throw invalidArgument("onParentEnd", onParentEnd, '"cancel", "terminate" or "abandon"');
    const work: Work = { child: { workflow: known, input, id, onParentEnd } };
    return this.#ask("child", workflow.name, work, this.#shielded) as Promise<O>;
  }

  continueAsNew(input: unknown): never {
    // Whoever cancels is not to be overheard.
    this.signal.throwIfAborted();
    throw new Continuation(input);
  }

  handle<A>(
    { kind, name }: Query<A> | Update<A>,
    act: (args: A) => unknown,
    options: { readonly validate?: (args: A) => void } = {},
  ): void {
    text(name, "name");
    if (typeof act !== "function") throw invalidArgument("act", act, "a function of what was asked");
    refuseUnknown(options, kind === "update" ? ["validate"] : []);
    const handling = { kind, act, validate: options.validate } as Handling;
    this.#run.handle(name, handling);
  }

  setAttributes(changes: Readonly<Record<string, string | number | boolean | null>>): Promise<void> {
    const kept = Object.entries({ ...this.#attributes, ...changes }).filter(([, value]) => value !== null);
    const attributes = Object.fromEntries(kept);
    assertAttributes(attributes, "attributes");
    this.#attributes = attributes;
    return this.#ask("attributes", "attributes", { attributes }, this.#shielded) as Promise<void>;
  }

  log(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#run.log(message, fields);
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
    const { workflow, id, generation } = this.info;
    return createHash("sha256")
      .update(`${workflow}\n${id}\n${generation > 0 ? `${generation}.` : ""}${this.#draws++}`)
      .digest();
  }
}
