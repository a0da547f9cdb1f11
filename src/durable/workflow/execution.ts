import { fullJitter, InvalidStateError, isAshlarError, sleep } from "../../core/index.ts";
import { type Answer, type Answers, type More, toldOf } from "./answers.ts";
import { Bell } from "./bell.ts";
import { type LogMessage, log as logChannel } from "./channels.ts";
import { Children, cannotBeKept, closeChildren } from "./children.ts";
import { type Command, Commands, isChild, isStep, type Work } from "./commands.ts";
import { Context } from "./context.ts";
import type { Workflow } from "./contract.ts";
import { type Ending, endingOf, type Outcome } from "./endings.ts";
import { CancelledError, Continuation, divergence, StepFailedError, StuckError, toStored } from "./errors.ts";
import type { Departure, Host, Loaded } from "./host.ts";
import { type Journal, Lost } from "./journal.ts";
import { type Completion, generationOf, type Reply, type RunRecord } from "./layout.ts";
import { Mailbox } from "./mailbox.ts";
import { Recorder } from "./recorder.ts";
import { Steps } from "./steps.ts";
import { Talk } from "./talk.ts";

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
  readonly #recorder: Recorder;
  readonly #answers: Answers;
  readonly #journal: Journal;
  readonly #mailbox: Mailbox;
  readonly #steps: Steps;
  readonly #children: Children;
  readonly #talk: Talk;
  /** To queries, on their way. */
  readonly #replies: { readonly message: string; readonly request: string; readonly reply: Reply }[] = [];
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
  readonly #left = new AbortController();
  readonly #bell = new Bell();

  constructor(host: Host, workflow: Workflow, loaded: Loaded) {
    const { id, record, history, messages, fresh } = loaded;
    this.#id = id;
    this.#host = host;
    this.#workflow = workflow;
    this.#record = record;
    this.#history = history;
    this.#fresh = fresh;
    this.#at = record.renewed ?? record.started;
    this.#recorder = new Recorder(host, loaded);
    this.#answers = this.#recorder.answers;
    this.#journal = this.#recorder.journal;
    this.#mailbox = new Mailbox(host.engine, id, messages);
    this.#steps = this.#toSteps();
    this.#children = this.#toChildren();
    this.#talk = this.#toTalk();
    const generation = generationOf(record);
    const asking = {
      info: { id, workflow: record.workflow, started: record.started, generation },
      signal: this.#cancelled.signal,
      workflows: host.workflows,
      now: () => this.#at,
      ask: this.#ask.bind(this),
      // Code that has heard all that there is to hear is where no code has been before.
      patched: (name: string) => this.#recorder.patches.has(name, this.#told === history.length),
      handle: this.#talk.handle.bind(this.#talk),
      log: (message: string, fields: LogMessage["fields"]) => {
        if (logChannel.hasSubscribers && (this.#live || history.length === 0))
          host.log({ id, workflow: workflow.name, at: this.#at, message, ...(fields && { fields }) });
      },
    };
    this.#context = new Context(asking, record.attributes ?? {});
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
    this.#left.abort(reason);
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
      if (this.#outcome) {
        // Whoever asked is not left without the answer that there is.
        if (await this.#recordAnswers(() => false)) continue;
        return await this.#leave(await endingOf(this.#outcome, this.#workflow, this.#cancelled.signal.aborted));
      }
      if (!this.#live) this.#goLive();
      if (this.#mailbox.isDirty) {
        this.#host.looked(this.#id);
        await Promise.all([this.#journal.assertCurrent(), this.#mailbox.look()]);
      }
      this.#talk.give();
      if ((await this.#recordAnswers()) || (await this.#sendReply())) continue;
      if (this.#stopping && this.#steps.running + this.#children.running === 0) return "reload";
      const departure = await this.#wait();
      if (departure) return departure;
    }
    return "reload";
  }

  #toSteps(): Steps {
    const { user, gate } = this.#host;
    const generation = generationOf(this.#record);
    return new Steps({
      token: generation > 0 ? `${this.#id}+${generation}` : this.#id,
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

  #toChildren(): Children {
    return new Children({
      host: this.#host,
      id: this.#id,
      generation: generationOf(this.#record),
      guard: (tx) => this.#journal.guard(tx),
      failed: (command, error) => this.#answer(command, { error }),
      lost: (error) => {
        if (!(error instanceof Lost)) this.#host.trouble(error);
        this.abandon(error);
      },
      ended: () => this.#bell.ring(),
      signal: this.#left.signal,
    });
  }

  #toTalk(): Talk {
    const parts = {
      generation: generationOf(this.#record),
      mailbox: this.#mailbox,
      commands: this.#commands,
      answers: this.#answers,
      answer: this.#answer.bind(this),
      cancel: this.#cancel.bind(this),
      reply: (message: string, request: string, reply: Reply) => void this.#replies.push({ message, request, reply }),
      ring: () => this.#bell.ring(),
    };
    return new Talk(parts, this.#history);
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
      if (error instanceof Continuation) throw error;
      await this.#context.compensate();
      throw error;
    }
  }

  #ask(kind: Completion["kind"], name: string, asked: Work, shielded: boolean): Promise<unknown> {
    const seq = this.#seq++;
    const work = "child" in asked ? this.#children.expect(asked.child, seq) : asked;
    if (!shielded && this.#cancelled.signal.aborted) return Promise.reject(this.#cancelled.signal.reason);
    if (!shielded && this.#hasThrown) return Promise.reject(new InvalidStateError("the workflow has thrown already"));
    return new Promise((resolve, reject) => {
      const command: Command = { seq, kind, name, shielded, work, resolve, reject, cut: undefined };
      this.#commands.add(command);
      if (this.#live) this.#carryOut(command);
      this.#bell.ring();
    });
  }

  #carryOut(command: Command): void {
    const { work } = command;
    if (isStep(command)) this.#steps.execute(command);
    else if (isChild(command)) this.#children.begin(command);
    else if ("attributes" in work) this.#answer(command, { value: work.attributes });
  }

  async #replay(): Promise<void> {
    while (this.#told < this.#history.length && !this.#outcome && !this.#stuck) {
      const event = this.#history[this.#told] as Completion;
      if (event.kind !== "patch") {
        if (event.seq >= 0 && !(await this.#isAskedFor(event))) break;
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

  #diverge(event: Completion, instead: string): void {
    this.#stuck = divergence(this.#id, this.#workflow.name, event, instead);
  }

  /** Lets the code go as far as it can. */
  #quiet(): Promise<void> {
    return new Promise((resolve) => this.#host.engine.runtime.timers.immediate(resolve));
  }

  #goLive(): void {
    this.#live = true;
    this.#journal.expectTimer(this.#earliest());
    for (const command of this.#commands.all()) this.#carryOut(command);
  }

  #tell(event: Completion, command: Command | undefined): void {
    this.#at = Math.max(this.#at, event.at);
    if (event.kind === "cancel") {
      const error = new CancelledError(event.name);
      this.#cancelled.abort(error);
      this.#commands.cancel(error);
      return;
    }
    if (event.kind === "update" && !this.#talk.accept(event)) this.#diverge(event, "the code does not handle it");
    if (!command) return;
    this.#commands.delete(command);
    if (event.error) command.reject(new StepFailedError(event.name, event.error, event.kind));
    else command.resolve(event.kind === "attributes" ? undefined : event.value);
  }

  #cancel(reason: string, message?: string): void {
    if (this.#cancelled.signal.aborted || this.#answers.cancels) return;
    this.#answers.add({ seq: -1, kind: "cancel", name: reason, at: 0 }, undefined, message ? { message } : {});
  }

  #answer(command: Command, what: Pick<Completion, "value" | "error">, more: More = {}): void {
    const { seq, kind, name } = command;
    this.#answers.add({ seq, kind, name, at: 0, ...what }, command, more);
    this.#bell.ring();
  }

  /** Tells the code of what is in the history by then. False: there was nothing. */
  async #recordAnswers(isWanted = (command: Command) => this.#commands.has(command)): Promise<boolean> {
    if (this.#recorder.isFull && !this.#outcome) {
      this.#cancel(`it has a history of ${this.#journal.length} events, and may have ${this.#host.maxHistory}`);
    }
    try {
      const recorded = await this.#recorder.record(isWanted, this.#at);
      if (recorded && !this.#gone) await this.#tellAll(recorded.answers, recorded.at);
      return recorded !== undefined;
    } catch (error) {
      if (!(error instanceof StuckError)) throw error;
      this.#stuck = error;
      return true;
    }
  }

  async #sendReply(): Promise<boolean> {
    const [next] = this.#replies;
    if (!next) return false;
    const { message, request, reply } = next;
    try {
      await this.#journal.reply(message, request, reply);
    } catch (error) {
      if (!cannotBeKept(error)) throw error;
      await this.#journal.reply(message, request, { error: toStored(error) });
    }
    this.#replies.shift();
    return true;
  }

  /** When something that it waits for is due. */
  #earliest(): number | undefined {
    const due = this.#commands.earliest();
    const { deadline } = this.#record;
    if (deadline === undefined || this.#cancelled.signal.aborted) return due;
    return Math.min(deadline, due ?? deadline);
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
    const due = this.#earliest();
    const isIdle = this.#steps.running + this.#children.running === 0 && this.#commands.size > 0;
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
    if (now >= (this.#record.deadline ?? Number.POSITIVE_INFINITY)) this.#cancel("its deadline has passed");
    for (const command of this.#commands.due(now)) if (!this.#answers.has(command)) this.#answer(command, {});
  }

  /** Leaves memory, unless there is a message that the run does not know: what comes meanwhile makes the commit fail, or makes the run active again. */
  async #park(): Promise<Departure | undefined> {
    const due = this.#earliest();
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
    const { engine, shardOf, now } = this.#host;
    const guard = this.#journal.guard.bind(this.#journal);
    const mayHaveChildren = this.#children.any && ending.status !== "stuck";
    const close = mayHaveChildren ? () => closeChildren({ engine, shardOf, now, guard }, this.#id) : undefined;
    try {
      const after = await this.#journal.end(ending, Math.max(this.#at, await now()), close);
      if (after.ended !== undefined) this.#ended = after;
      return ending.status === "open" ? "renewed" : "ended";
    } catch (error) {
      if (!["completed", "open"].includes(ending.status) || !cannotBeKept(error)) throw error;
      return await this.#leave({ status: "failed", error: toStored(error) });
    }
  }
}
