import { type Answer, Answers } from "./answers.ts";
import type { Command } from "./commands.ts";
import { StuckError } from "./errors.ts";
import type { Host, Loaded } from "./host.ts";
import { Journal } from "./journal.ts";
import { Patches } from "./patches.ts";

/** What the code is to be told next. */
export interface Recorded {
  readonly answers: readonly Answer[];
  readonly at: number;
}

/** Brings answers into the history, and which changes of the code the run has seen before them. */
export class Recorder {
  readonly answers: Answers;
  readonly patches: Patches;
  readonly journal: Journal;
  readonly #host: Host;

  constructor(host: Host, loaded: Loaded) {
    this.#host = host;
    this.answers = new Answers(host.engine.limits);
    this.patches = new Patches(loaded.history);
    this.journal = new Journal(host, loaded);
  }

  /** Whether the history is as long as one may be: the run has to end. */
  get isFull(): boolean {
    return this.journal.length >= this.#host.maxHistory;
  }

  /**
   * As many as one commit takes. `undefined`: there are none.
   * @param since the run's time so far
   * @throws StuckError the history is twice as long as one may be
   */
  async record(isWanted: (command: Command) => boolean, since: number): Promise<Recorded | undefined> {
    const { mostEvents, length } = this.journal;
    const patches = this.patches.fresh.slice(0, mostEvents);
    const found = this.answers.first(isWanted, mostEvents);
    if (found.length === 0) return undefined;
    // What the code has been told comes before what it is told then.
    const answers = patches.length < this.patches.fresh.length ? [] : found.slice(0, mostEvents - patches.length);
    if (length + patches.length + answers.length > 2 * this.#host.maxHistory)
      throw new StuckError(`it was cancelled for its long history, and has ${length} events by now`);
    const at = Math.max(since, await this.#host.now());
    const own = answers[0]?.open;
    const refusal = await this.journal.record(patches, answers, at, own);
    this.answers.remove(answers.length);
    if (own) answers[0]?.settle?.(refusal);
    if (refusal) return { answers: [], at };
    this.patches.recorded(patches.length);
    return { answers, at };
  }
}
