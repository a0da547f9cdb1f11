import { fullJitter, isAshlarError, sleep } from "../../core/index.ts";
import type { Engine, OpenTransaction } from "../../engine/index.ts";
import { Attempt } from "./attempt.ts";
import type { StepCommand } from "./commands.ts";
import { FatalError, type StoredError, StuckError, toStored } from "./errors.ts";
import type { Gate } from "./gate.ts";
import type { Refusal } from "./journal.ts";

export interface StepsParts {
  /** What tokens begin with. */
  readonly token: string;
  readonly user: Engine;
  readonly gate: Gate;
  /** Whether the code still waits for it, here. */
  readonly isWanted: (command: StepCommand) => boolean;
  /** Resolves when it is over, or with why what the body wrote could not be committed. */
  readonly done: (
    command: StepCommand,
    value: unknown,
    open: OpenTransaction | undefined,
  ) => Promise<Refusal | undefined>;
  readonly failed: (command: StepCommand, error: StoredError) => void;
  /** The run cannot go on. */
  readonly stuck: (error: Error) => void;
  /** A body has ended, or what came instead of it. */
  readonly ended: () => void;
}

/** Carries out the bodies of steps. */
export class Steps {
  readonly #parts: StepsParts;
  #running = 0;
  #stopping = false;

  constructor(parts: StepsParts) {
    this.#parts = parts;
  }

  get running(): number {
    return this.#running;
  }

  /** Begins no further attempt. */
  stop(): void {
    this.#stopping = true;
  }

  execute(command: StepCommand): void {
    this.#running++;
    this.#attempts(command)
      .catch((error) => {
        if (this.#parts.isWanted(command)) this.#parts.stuck(new StuckError(String(error)));
      })
      .finally(() => {
        this.#running--;
        this.#parts.ended();
      });
  }

  async #attempts(command: StepCommand): Promise<void> {
    const { attempts, base, cap } = command.work.settings.retry;
    let conflicts = 0;
    for (let attempt = 1; this.#goesOn(command); ) {
      const failure = await this.#attempt(command, attempt);
      if (failure === undefined || !this.#goesOn(command)) return;
      const { error, isConflict } = failure;
      if (isConflict) {
        await this.#rest(command, fullJitter(this.#parts.user.runtime, conflicts++, { base: 1, cap: 100 }));
        continue;
      }
      if (error instanceof FatalError || attempt >= attempts) {
        this.#fail(command, error);
        return;
      }
      const { runtime } = this.#parts.user;
      await this.#rest(command, Math.min(cap, base * 2 ** (attempt - 1)) * (0.5 + runtime.random.next() / 2));
      attempt++;
    }
  }

  /** `undefined`: it is over. */
  async #attempt(command: StepCommand, attempt: number): Promise<Refusal | undefined> {
    const { user, gate, isWanted, done } = this.#parts;
    const { seq, name, work } = command;
    const entered = gate.enter();
    if (entered) await entered;
    const one = new Attempt(user);
    let verdict: Promise<Refusal | undefined> | undefined;
    try {
      if (!this.#goesOn(command)) return undefined;
      command.cut = (reason) => one.cut(reason);
      const token = `${this.#parts.token}/${seq}/${name}`;
      const value = await one.run(work.body, { token, attempt, timeout: work.settings.timeout });
      if (!isWanted(command)) return undefined;
      verdict = done(command, value, one.open);
    } catch (error) {
      return { error, isConflict: isReread(error) };
    } finally {
      command.cut = undefined;
      gate.leave();
      if (!verdict || !one.open) await one.rollback();
    }
    return await verdict;
  }

  #goesOn(command: StepCommand): boolean {
    return !this.#stopping && this.#parts.isWanted(command);
  }

  async #rest(command: StepCommand, ms: number): Promise<void> {
    const { runtime } = this.#parts.user;
    const rest = new AbortController();
    command.cut = (reason) => rest.abort(reason);
    await sleep(runtime, ms, { signal: rest.signal, ref: false }).catch(() => {});
    command.cut = undefined;
  }

  #fail(command: StepCommand, failure: unknown): void {
    const { failed, stuck } = this.#parts;
    const error = toStored(failure);
    if (!command.work.sticky) failed(command, error);
    else stuck(new StuckError(`${JSON.stringify(command.name)} failed for good: ${error.message}`));
  }
}

/** What the body read through its transaction was of different instants. */
function isReread(error: unknown): boolean {
  return isAshlarError(error, "CONFLICT") && error.details["reason"] === "reread";
}
