import { fullJitter, isAshlarError, LimitError, sleep } from "../../core/index.ts";
import type { Transaction, Version } from "../../engine/index.ts";
import { type Answer, Answers, toldOf } from "./answers.ts";
import { Bell } from "./bell.ts";
import { type Command, Commands, isStep, type Work } from "./commands.ts";
import { Context } from "./context.ts";
import type { Workflow } from "./contract.ts";
import { type Ending, endingOf, type Outcome, writeEnding } from "./endings.ts";
import { CancelledError, DivergenceError, StepFailedError, toStored } from "./errors.ts";
import type { Departure, Host, Loaded } from "./host.ts";
import { type Completion, cancelName, keys, type RunRecord } from "./layout.ts";
import { Mailbox } from "./mailbox.ts";
import { Patches } from "./patches.ts";
import { Steps } from "./steps.ts";

/** Events of one run at most. */
const longestHistory = 10_000;
/** Code that does not ask for what the history has gets so long, in case it awaits something outside of the context. */
const patienceMs = 1000;

/** A run in memory: tells its code, one by one and in the same order each time, what has become of what it asked for; and first of all what the history says. */
export class Execution {
  readonly id: string;
  readonly #host: Host;
  readonly #workflow: Workflow;
  readonly #record: RunRecord;
  readonly #version: Version;
  readonly #history: readonly Completion[];
  readonly #fresh: boolean;
  readonly #context: Context;
  readonly #commands = new Commands();
  readonly #answers: Answers;
  readonly #mailbox: Mailbox;
  readonly #steps: Steps;
  readonly #patches: Patches;
  readonly #cancelled = new AbortController();
  #started = false;
  #seq = 0;
  /** Where the next event goes. */
  #next: number;
  /** How much of the history the code was told. */
  #told = 0;
  #at: number;
  #live = false;
  #outcome: Outcome | undefined;
  #stuck: Error | undefined;
  #ended: RunRecord | undefined;
  /** When the run was in the store's timers last, if it was. */
  #staleTimer: number | undefined;
  #stopping = false;
  #gone = false;
  readonly #bell = new Bell();

  constructor(host: Host, workflow: Workflow, { id, record, version, history, messages, fresh }: Loaded) {
    this.id = id;
    this.#host = host;
    this.#workflow = workflow;
    this.#record = record;
    this.#version = version;
    this.#history = history;
    this.#fresh = fresh;
    this.#next = history.length;
    this.#at = record.started;
    this.#answers = new Answers(host.engine.limits.valueBytes);
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
        this.#host.looked(this.id);
        await this.#mailbox.look();
      }
      this.#giveMessages();
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
      id: this.id,
      user,
      gate,
      isWanted: (command) => !this.#gone && this.#commands.has(command),
      done: (command, value, open, again) => this.#answer(command, { value }, open ? { open, again } : undefined),
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
      await this.#context.compensate();
      throw error;
    }
  }

  #ask(kind: Completion["kind"], name: string, work: Work, shielded: boolean): Promise<unknown> {
    const seq = this.#seq++;
    if (this.#cancelled.signal.aborted && !shielded) return Promise.reject(this.#cancelled.signal.reason);
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
      `the code of ${JSON.stringify(this.#record.workflow)} does not do what run ${JSON.stringify(this.id)} has done: at command ${seq} its history has ${kind} ${JSON.stringify(name)}, but ${instead}; patched() keeps a change from runs that are older`,
    );
  }

  /** Lets the code go as far as it can. */
  #quiet(): Promise<void> {
    return new Promise((resolve) => this.#host.engine.runtime.timers.immediate(resolve));
  }

  #goLive(): void {
    this.#live = true;
    this.#staleTimer = this.#commands.earliest();
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
        if (!this.#cancelled.signal.aborted && !this.#answers.cancels)
          this.#answers.add({ seq: -1, kind: "cancel", name: String(payload), at: 0 }, undefined, { message });
        return true;
      }
      const waiting = this.#commands
        .all()
        .find((command) => command.kind === "signal" && command.name === name && !this.#answers.has(command));
      if (waiting) this.#answer(waiting, { value: payload }, { message });
      return waiting !== undefined;
    });
  }

  #answer(
    command: Command,
    what: Pick<Completion, "value" | "error">,
    more: Pick<Answer, "message" | "open" | "again"> = {},
  ): void {
    const { seq, kind, name } = command;
    this.#answers.add({ seq, kind, name, at: 0, ...what }, command, more);
    this.#bell.ring();
  }

  /** Tells the code of what is in the history by then. False: there was nothing. */
  async #recordAnswers(): Promise<boolean> {
    const answers = this.#answers.first((command) => this.#commands.has(command));
    if (answers.length === 0) return false;
    const count = this.#patches.fresh.length + answers.length;
    if (this.#next + count > longestHistory) {
      const message = `the run has a history of ${this.#next} events, and may have ${longestHistory}: go on in a new run`;
      this.#outcome = { error: new LimitError(message) };
      return true;
    }
    const at = Math.max(this.#at, await this.#host.now());
    const patches = this.#patches.fresh.length;
    const isRecorded = await this.#commit(answers, at);
    if (this.#gone) return true;
    this.#answers.remove(isRecorded ? answers.length : 1);
    if (!isRecorded) {
      answers[0]?.again?.();
      return true;
    }
    this.#staleTimer = undefined;
    this.#patches.recorded(patches);
    this.#next += count;
    await this.#tellAll(answers, at);
    return true;
  }

  /** False: what the body of the step read has changed, or its commit surely did not take place. */
  async #commit(answers: readonly Answer[], at: number): Promise<boolean> {
    const { engine } = this.#host;
    const own = answers[0]?.open;
    const open = own ?? engine.begin();
    try {
      const tx = own ? engine.join(open.tx) : open.tx;
      this.#write(tx, answers, at);
      if (await open.commit()) return true;
      if (own) return false;
      throw new Lost();
    } catch (error) {
      if (own && isAshlarError(error) && error.retryable) return false;
      throw error;
    } finally {
      await open.rollback().catch(() => {});
    }
  }

  #write(tx: Transaction, answers: readonly Answer[], at: number): void {
    this.#guard(tx);
    const events: Completion[] = this.#patches.fresh.map((name) => ({ seq: -1, kind: "patch", name, at }));
    for (const { event } of answers) events.push({ ...event, at });
    for (const [i, event] of events.entries()) {
      const key = keys.history(this.id, this.#next + i);
      tx.check({ key, version: undefined }, { otherwise: () => new Lost() });
      tx.set(key, event);
    }
    for (const { message } of answers) if (message !== undefined) tx.delete(keys.message(this.id, message));
    this.#dropStaleTimer(tx);
  }

  #guard(tx: Transaction): void {
    this.#host.guard(tx);
    tx.check({ key: keys.run(this.id), version: this.#version }, { otherwise: () => new Lost() });
  }

  #dropStaleTimer(tx: Transaction): void {
    if (this.#staleTimer !== undefined) tx.delete(keys.timer(this.#host.shard, this.#staleTimer, this.id));
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
    const isIdle = this.#steps.running === 0 && this.#commands.size > 0 && this.#patches.fresh.length === 0;
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
    const parks = isIdle && left > parkAfter;
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
    const { engine, shard } = this.#host;
    const due = this.#commands.earliest();
    const messages = await this.#mailbox.list();
    await using open = engine.begin();
    const { tx } = open;
    this.#guard(tx);
    const range = { prefix: ["signal", this.id] };
    tx.check({ range, entries: messages.map(({ key, version }) => ({ key, version })) });
    tx.delete(keys.active(shard, this.id));
    if (this.#staleTimer !== due) this.#dropStaleTimer(tx);
    if (due !== undefined) tx.set(keys.timer(shard, due, this.id), true);
    const isNew = messages.some(({ key }) => !this.#mailbox.knows(key[2] as string));
    if (isNew || !(await open.commit())) {
      this.#mailbox.poke();
      return undefined;
    }
    this.#host.parked(due);
    return "parked";
  }

  async #leave(ending: Ending): Promise<Departure> {
    const { engine, shard, retention } = this.#host;
    const ended = Math.max(this.#at, await this.#host.now());
    await using open = engine.begin();
    const { tx } = open;
    this.#guard(tx);
    this.#dropStaleTimer(tx);
    let after: RunRecord;
    try {
      after = writeEnding(tx, this.id, { record: this.#record, shard, ended, retention }, ending);
    } catch (error) {
      // A result that cannot be kept.
      if (ending.status !== "completed") throw error;
      return await this.#leave({ status: "failed", error: toStored(error) });
    }
    if (!(await open.commit())) return "reload";
    if (after.ended !== undefined) this.#ended = after;
    return "ended";
  }
}

/** The store has the run otherwise than it is here. */
class Lost extends Error {}
