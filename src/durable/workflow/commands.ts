import type { Attributes, StepContext, Workflow } from "./contract.ts";
import type { ChildRecord, Completion } from "./layout.ts";
import type { StepSettings } from "./options.ts";

/** What the code of a run has asked for, and has no answer to yet. */
export interface Command {
  /** In the order in which the code asked. */
  readonly seq: number;
  readonly kind: Completion["kind"];
  readonly name: string;
  /** Goes on although the run is cancelled. */
  readonly shielded: boolean;
  readonly work: Work;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Ends what is being done for it. */
  cut: ((reason: unknown) => void) | undefined;
}

export type Work =
  | {
      readonly body: (context: StepContext) => unknown;
      readonly settings: StepSettings;
      /** A failure for good leaves the run stuck, instead of being told to the code. */
      readonly sticky: boolean;
    }
  /** Waits until then, or for a message. */
  | { readonly due: number | undefined }
  | { readonly child: Child }
  | { readonly attributes: Attributes };

/** A run to be begun. */
export interface Child {
  readonly workflow: Workflow;
  readonly input: unknown;
  readonly id: string;
  readonly onParentEnd: ChildRecord["onParentEnd"];
}

export type StepCommand = Command & { readonly work: Extract<Work, { readonly body: unknown }> };

export type ChildCommand = Command & { readonly work: Extract<Work, { readonly child: unknown }> };

export function isChild(command: Command): command is ChildCommand {
  return "child" in command.work;
}

export function isStep(command: Command): command is StepCommand {
  return "body" in command.work;
}

/** What the code of a run waits for. */
export class Commands {
  readonly #open = new Map<number, Command>();

  get size(): number {
    return this.#open.size;
  }

  add(command: Command): void {
    this.#open.set(command.seq, command);
  }

  at(seq: number): Command | undefined {
    return this.#open.get(seq);
  }

  has(command: Command): boolean {
    return this.#open.get(command.seq) === command;
  }

  delete(command: Command): void {
    this.#open.delete(command.seq);
  }

  /** In the order in which they were asked. */
  all(): readonly Command[] {
    return [...this.#open.values()];
  }

  /** When the first of the waits is due. */
  earliest(): number | undefined {
    let earliest: number | undefined;
    for (const { work } of this.#open.values())
      if ("due" in work && work.due !== undefined && !(work.due >= (earliest ?? Number.POSITIVE_INFINITY)))
        earliest = work.due;
    return earliest;
  }

  /** Waits whose time has come. */
  due(now: number): readonly Command[] {
    return this.all().filter(({ work }) => "due" in work && work.due !== undefined && work.due <= now);
  }

  cut(reason: unknown): void {
    for (const { cut } of this.#open.values()) cut?.(reason);
  }

  /** Ends all but the shielded. */
  cancel(error: unknown): void {
    for (const command of this.all()) {
      if (command.shielded) continue;
      this.#open.delete(command.seq);
      command.cut?.(error);
      command.reject(error);
    }
  }
}
