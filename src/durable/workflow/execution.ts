import { fullJitter, InvalidStateError, isAshlarError, sleep } from "../../core/index.ts";
import { type Answer, Answers, toldOf } from "./answers.ts";
import { Bell } from "./bell.ts";
import { type Command, Commands, isStep, type Work } from "./commands.ts";
import { Context } from "./context.ts";
import type { Workflow } from "./contract.ts";
import { type Ending, endingOf, type Outcome } from "./endings.ts";
import { CancelledError, DivergenceError, StepFailedError, StuckError, toStored } from "./errors.ts";
import type { Departure, Host, Loaded } from "./host.ts";
import { Journal, Lost } from "./journal.ts";
import { type Completion, cancelName, type RunRecord } from "./layout.ts";
import { Mailbox } from "./mailbox.ts";
import { Patches } from "./patches.ts";
import { Steps } from "./steps.ts";

/** Code that does not ask for what the history has gets so long, in case it awaits something outside of the context. */
const patienceMs = 1000;

/** A run in memory: tells its code, one by one and in the same order each time, what has become of what it asked for; and first of all what the history says. */
export class Execution {
  readonly #id: string;
  readonly #host: Host;
  readonly #workflow: Workflow;
  readonly #record: RunRecord;
  readonly #history: readonly Completion[];
  readonly #fresh: boolean;
  readonly #context: Context;
  readonly #commands = new Commands();
  readonly #answers: Answers;
  readonly #journal: Journal;
  readonly #mailbox: Mailbox;
  readonly #steps: Steps;
  readonly #patches: Patches;
  readonly #cancelled = new AbortController();
  #started = false;
  #seq = 0;
  /** How much of the history the code was told. */
  #told = 0;
  #at: number;
  #live = false;
  /** The function of the workflow has thrown: what it has begun besides may end, and nothing more begins. */
  #hasThrown = false;
  #outcome: Outcome | undefined;
  #stuck: Error | undefined;
  #ended: RunRecord | undefined;
  #stopping = false;
  #gone = false;
  readonly #bell = new Bell();

  constructor(host: Host, workflow: Workflow, loaded: Loaded) {
    const { id, record, history, messages, fresh } = loaded;
    this.#id = id;
    this.#host = host;
    this.#workflow = workflow;
    this.#record = record;
    this.#history = history;
    this.#fresh = fresh;
    this.#at = record.started;
    this.#journal = new Journal(host, loaded);
    this.#answers = new Answers(host.engine.limits);
    this.#mailbox = new Mailbox(host.engine, id, messages);
    this.#patches = new Patches(history);
    this.#steps = this.#toSteps();
    this.#context = new Context({
      info: { id, workflow: record.workflow, started: record.started },
      signal: this.#cancelled.signal,
      now: () => this.#at,
      ask: (kind, name, work, shielded) => this.#ask(kind, name, work, shielded),
      // Code that has heard all that there is to hear is where no code has been before.
      patched: (name) => this.#patches.has(name, this.#told === this.#history.length),
    });
  }

  /** As it has ended here. */
  get record(): RunRecord | undefined {
    return this.#ended;
  }

  /** There may be messages that it does not know. */
  poke(): void {
    this.#mailbox.poke();
    this.#bell.ring();
  }

  /** Begins nothing more; leaves when what is under way has ended. */
  stop(): void {
    this.#stopping = true;
    this.#steps.stop();
    this.#bell.ring();
  }

  /** Nothing that it still does counts. */
  abandon(reason: unknown): void {
    this.#gone = true;
    this.#commands.cut(reason);
    this.#answers.clear();
    this.#bell.ring();
  }

  /** Until it leaves memory. */
  async live(): Promise<Departure> {
    const { runtime } = this.#host.engine;
    for (let failures = 0; ; failures++) {
      try {
        const departure = await this.#drive();
        this.abandon(new Error("the run has left this process"));
        return departure;
      } catch (error) {
        if (!this.#gone && !(error instanceof Lost)) this.#host.trouble(error);
        if (!isAshlarError(error) || !error.retryable || this.#gone) {
          this.abandon(error);
          return "reload";
        }
      }
      await sleep(runtime, fullJitter(runtime, failures, { base: 10, cap: 1000 }), { ref: false });
    }
  }

  async #drive(): Promise<Departure> {
    if (!this.#started) {
      this.#started = true;
      // Nobody has been here before: there is nothing to be told first.
      this.#live = this.#fresh;
      this.#begin();
      await this.#quiet();
    }
    await this.#replay();
    while (!this.#gone) {
      if (this.#stuck) return await this.#leave({ status: "stuck", error: toStored(this.#stuck) });
      if (this.#outcome)
        return await this.#leave(await endingOf(this.#outcome, this.#workflow, this.#cancelled.signal.aborted));
      if (!this.#live) this.#goLive();
      if (this.#mailbox.isDirty) {
        this.#host.looked(this.#id);
        await this.#mailbox.look();
      }
      this.#giveMessages();
      this.#boundHistory();
      if (await this.#recordAnswers()) continue;
      if (this.#stopping && this.#steps.running === 0) return "reload";
      const departure = await this.#wait();
      if (departure) return departure;
    }
    return "reload";
  }

  #toSteps(): Steps {
    const { user, gate } = this.#host;
    return new Steps({
      id: this.#id,
      user,
      gate,
      isWanted: (command) => !this.#gone && this.#commands.has(command),
      done: async (command, value, open) => {
        if (open) return await new Promise((settle) => this.#answer(command, { value }, { open, settle }));
        this.#answer(command, { value });
        return undefined;
      },
      failed: (command, error) => this.#answer(command, { error }),
      stuck: (error) => {
        this.#stuck = error;
      },
      ended: () => this.#bell.ring(),
    });
  }

  #begin(): void {
    const done = (outcome: Outcome): void => {
      this.#outcome = outcome;
      this.#bell.ring();
    };
    this.#main().then(
      (value) => done({ value }),
      (error) => done({ error }),
    );
  }

  async #main(): Promise<unknown> {
    try {
      return await this.#workflow.run(this.#context, this.#record.input);
    } catch (error) {
      this.#hasThrown = true;
      await this.#context.compensate();
      throw error;
    }
  }

  #ask(kind: Completion["kind"], name: string, work: Work, shielded: boolean): Promise<unknown> {
    const seq = this.#seq++;
    if (!shielded && this.#cancelled.signal.aborted) return Promise.reject(this.#cancelled.signal.reason);
    if (!shielded && this.#hasThrown) return Promise.reject(new InvalidStateError("the workflow has thrown already"));
    return new Promise((resolve, reject) => {
      const command: Command = { seq, kind, name, shielded, work, resolve, reject, cut: undefined };
      this.#commands.add(command);
      if (this.#live && isStep(command)) this.#steps.execute(command);
      this.#bell.ring();
    });
  }

  async #replay(): Promise<void> {
    while (this.#told < this.#history.length && !this.#outcome && !this.#stuck) {
      const event = this.#history[this.#told] as Completion;
      if (event.kind !== "patch") {
        if (event.kind !== "cancel" && !(await this.#isAskedFor(event))) break;
        this.#told++;
        this.#tell(event, this.#commands.at(event.seq));
        await this.#quiet();
      } else this.#told++;
    }
    if (!this.#outcome) return;
    const more = this.#history.slice(this.#told).find(({ seq }) => seq >= this.#seq);
    if (more) this.#diverge(more, "the code has ended");
  }

  /** The code asks for it in this very turn, unless it awaits what is none of the context's. */
  async #isAskedFor(event: Completion): Promise<boolean> {
    const { runtime } = this.#host.engine;
    const end = runtime.clock.monotonic() + patienceMs;
    while (event.seq >= this.#seq) {
      if (this.#outcome || this.#gone) return false;
      const left = end - runtime.clock.monotonic();
      if (left <= 0) {
        this.#diverge(event, "the code asks for nothing more");
        return false;
      }
      const timer = runtime.timers.after(left, () => this.#bell.ring());
      await this.#bell.rung();
      timer.cancel();
    }
    const command = this.#commands.at(event.seq);
    if (!command || (command.kind === event.kind && command.name === event.name)) return true;
    this.#diverge(event, `the code asks for ${command.kind} ${JSON.stringify(command.name)}`);
    return false;
  }

  #diverge({ seq, kind, name }: Completion, instead: string): void {
    this.#stuck = new DivergenceError(
      `the code of ${JSON.stringify(this.#record.workflow)} does not do what run ${JSON.stringify(this.#id)} has done: at command ${seq} its history has ${kind} ${JSON.stringify(name)}, but ${instead}; patched() keeps a change from runs that are older`,
    );
  }

  /** Lets the code go as far as it can. */
  #quiet(): Promise<void> {
    return new Promise((resolve) => this.#host.engine.runtime.timers.immediate(resolve));
  }

  #goLive(): void {
    this.#live = true;
    this.#journal.expectTimer(this.#commands.earliest());
    for (const command of this.#commands.steps()) this.#steps.execute(command);
  }

  #tell(event: Completion, command: Command | undefined): void {
    this.#at = Math.max(this.#at, event.at);
    if (event.kind === "cancel") {
      const error = new CancelledError(event.name);
      this.#cancelled.abort(error);
      this.#commands.cancel(error);
      return;
    }
    if (!command) return;
    this.#commands.delete(command);
    if (event.error) command.reject(new StepFailedError(event.name, event.error));
    else command.resolve(event.value);
  }

  /** To who waits for them, in the order of both. */
  #giveMessages(): void {
    this.#mailbox.give((message, { name, payload }) => {
      if (name === cancelName) {
        this.#cancel(String(payload), message);
        return true;
      }
      const waiting = this.#commands
        .all()
        .find((command) => command.kind === "signal" && command.name === name && !this.#answers.has(command));
      if (waiting) this.#answer(waiting, { value: payload }, { message });
      return waiting !== undefined;
    });
  }

  #cancel(reason: string, message?: string): void {
    if (this.#cancelled.signal.aborted || this.#answers.cancels) return;
    this.#answers.add({ seq: -1, kind: "cancel", name: reason, at: 0 }, undefined, message ? { message } : {});
  }

  /** What has become too long to be carried on ends, and is given as much again to clean up. */
  #boundHistory(): void {
    const { maxHistory } = this.#host;
    const { length } = this.#journal;
    if (length >= maxHistory)
      this.#cancel(`it has a history of ${length} events, and may have ${maxHistory}: go on in a new run`);
  }

  #answer(
    command: Command,
    what: Pick<Completion, "value" | "error">,
    more: Pick<Answer, "message" | "open" | "settle"> = {},
  ): void {
    const { seq, kind, name } = command;
    this.#answers.add({ seq, kind, name, at: 0, ...what }, command, more);
    this.#bell.ring();
  }

  /** Tells the code of what is in the history by then. False: there was nothing. */
  async #recordAnswers(): Promise<boolean> {
    const { mostEvents, length } = this.#journal;
    const patches = this.#patches.fresh.slice(0, mostEvents);
    const found = this.#answers.first((command) => this.#commands.has(command), mostEvents);
    if (found.length === 0) return false;
    // What the code has been told comes before what it is told then.
    const answers = patches.length < this.#patches.fresh.length ? [] : found.slice(0, mostEvents - patches.length);
    if (length + patches.length + answers.length > 2 * this.#host.maxHistory) {
      this.#stuck = new StuckError(`it was cancelled for its long history, and has ${length} events by now`);
      return true;
    }
    const at = Math.max(this.#at, await this.#host.now());
    const own = answers[0]?.open;
    const refusal = await this.#journal.record(patches, answers, at, own);
    if (this.#gone) return true;
    this.#answers.remove(answers.length);
    if (own) answers[0]?.settle?.(refusal);
    if (refusal) return true;
    this.#patches.recorded(patches.length);
    await this.#tellAll(answers, at);
    return true;
  }

  /** One by one: in between the code goes as far as it can, as it will in a replay. */
  async #tellAll(answers: readonly Answer[], at: number): Promise<void> {
    for (const [i, answer] of answers.entries()) {
      if (i > 0) await this.#quiet();
      if (this.#outcome) return;
      const { command, event } = answer;
      this.#tell({ ...event, value: toldOf(answer), at }, command && this.#commands.has(command) ? command : undefined);
    }
  }

  /** Until something happens; answers what has become due, or leaves memory. */
  async #wait(): Promise<Departure | undefined> {
    const { engine, parkAfter } = this.#host;
    const due = this.#commands.earliest();
    const isIdle = this.#steps.running === 0 && this.#commands.size > 0;
    if (this.#bell.isRung || (due === undefined && !isIdle)) {
      await this.#bell.rung();
      return undefined;
    }
    const now = await this.#host.now();
    if (due !== undefined && due <= now) {
      this.#ripen(now);
      return undefined;
    }
    const left = due === undefined ? Number.POSITIVE_INFINITY : due - now;
    const parks = isIdle && left > parkAfter && this.#mailbox.size <= this.#journal.mostMessages;
    let isOver = false;
    const after = (): void => {
      isOver = true;
      this.#bell.ring();
    };
    const timer = engine.runtime.timers.after(parks ? parkAfter : Math.max(1, left), after, { ref: false });
    await this.#bell.rung();
    timer.cancel();
    const stays = this.#stopping || this.#gone || this.#mailbox.isDirty || !this.#answers.isEmpty;
    return isOver && parks && !stays ? await this.#park() : undefined;
  }

  /** Answers the waits whose time has come. */
  #ripen(now: number): void {
    for (const command of this.#commands.due(now)) if (!this.#answers.has(command)) this.#answer(command, {});
  }

  /** Leaves memory, unless there is a message that the run does not know: what comes meanwhile makes the commit fail, or makes the run active again. */
  async #park(): Promise<Departure | undefined> {
    const due = this.#commands.earliest();
    const messages = await this.#mailbox.list();
    const isNew = messages.some(({ key }) => !this.#mailbox.knows(key[2] as string));
    if (isNew || !(await this.#journal.park(due, messages))) {
      this.#mailbox.poke();
      return undefined;
    }
    this.#host.parked(due);
    return "parked";
  }

  async #leave(ending: Ending): Promise<Departure> {
    const at = Math.max(this.#at, await this.#host.now());
    try {
      const after = await this.#journal.end(ending, at);
      if (after.ended !== undefined) this.#ended = after;
      return "ended";
    } catch (error) {
      const cannotBeKept = isAshlarError(error, "LIMIT") || isAshlarError(error, "INVALID_ARGUMENT");
      if (ending.status !== "completed" || !cannotBeKept) throw error;
      return await this.#leave({ status: "failed", error: toStored(error) });
    }
  }
}
