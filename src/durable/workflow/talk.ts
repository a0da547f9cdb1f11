import type { Answers, More } from "./answers.ts";
import type { Command, Commands } from "./commands.ts";
import { type StoredError, toStored } from "./errors.ts";
import {
  type ChildEnd,
  type Completion,
  cancelName,
  childName,
  type Message,
  queryName,
  type Reply,
  type Request,
  updateName,
} from "./layout.ts";
import type { Mailbox } from "./mailbox.ts";

/** What the code does with a kind of request. */
export interface Handling {
  readonly kind: "query" | "update";
  readonly act: (args: unknown) => unknown;
  readonly validate: ((args: unknown) => void) | undefined;
}

export interface TalkParts {
  readonly generation: number;
  readonly mailbox: Mailbox;
  readonly commands: Commands;
  readonly answers: Answers;
  readonly answer: (command: Command, what: Pick<Completion, "value" | "error">, more: More) => void;
  readonly cancel: (reason: string, message: string) => void;
  /** To be told to who asked; nothing of it is in the history. */
  readonly reply: (message: string, request: string, reply: Reply) => void;
  /** There may be something to record. */
  readonly ring: () => void;
}

/** What others say to a run: cancellation, signals, queries, updates, and the ends of its children. */
export class Talk {
  readonly #parts: TalkParts;
  readonly #handlings = new Map<string, Handling>();
  /** Updates that the history has, or will have next; and those whose answers it has. */
  readonly #accepted = new Set<string>();
  readonly #answered = new Set<string>();

  constructor(parts: TalkParts, history: readonly Completion[]) {
    this.#parts = parts;
    for (const { kind, value } of history) {
      if (kind === "update") this.#accepted.add((value as Request).request);
      if (kind === "updated") this.#answered.add((value as Pick<Request, "request">).request);
    }
  }

  handle(name: string, handling: Handling): void {
    this.#handlings.set(`${handling.kind} ${name}`, handling);
    this.#parts.ring();
  }

  /** To who waits for them, in the order of both. */
  give(): void {
    this.#parts.mailbox.give((message, content) => this.#take(message, content));
  }

  /** Carries out an update that the history has. False: the code handles none such. */
  accept({ name, value }: Completion): boolean {
    const handling = this.#handlings.get(`update ${name}`);
    if (!handling) return false;
    const { request, args } = value as Request;
    const carryOut = async (): Promise<unknown> => await handling.act(args);
    carryOut().then(
      (result) => this.#settle(name, request, { ...(result !== undefined && { value: result }) }),
      (error) => this.#settle(name, request, { error: toStored(error) }),
    );
    return true;
  }

  #settle(name: string, request: string, reply: Reply): void {
    if (this.#answered.has(request)) return;
    this.#answered.add(request);
    const event: Completion = { seq: -1, kind: "updated", name, at: 0, value: { request, ...reply } };
    this.#parts.answers.add(event, undefined, { reply: { request, reply } });
    this.#parts.ring();
  }

  #take(message: string, { name, payload }: Message): boolean {
    const { commands, answers, answer, cancel } = this.#parts;
    switch (name) {
      case cancelName:
        cancel(String(payload), message);
        return true;
      case childName:
        return this.#takeEnd(message, payload as ChildEnd);
      case queryName:
        return this.#takeQuery(message, payload as Request);
      case updateName:
        return this.#takeUpdate(message, payload as Request);
      default: {
        const waits = (command: Command) => command.kind === "signal" && command.name === name && !answers.has(command);
        const waiting = commands.all().find(waits);
        if (waiting) answer(waiting, { value: payload }, { message });
        return waiting !== undefined;
      }
    }
  }

  /** One that nobody waits for any more is left where it is, and goes with the run. */
  #takeEnd(message: string, { generation, seq, child, value, error }: ChildEnd): boolean {
    const { commands, answers, answer } = this.#parts;
    const command = commands.at(seq);
    if (generation !== this.#parts.generation || command?.kind !== "child" || answers.has(command)) return false;
    answer(command, error ? { error } : { value }, { message, child });
    return true;
  }

  #takeQuery(message: string, { request, name, args }: Request): boolean {
    const handling = this.#handlings.get(`query ${name}`);
    const refuse = (error: StoredError): void => this.#parts.reply(message, request, { error });
    if (!handling) refuse({ name: "Error", message: "the run does not answer such queries" });
    else
      try {
        const value = handling.act(args);
        if (value instanceof Promise) {
          value.catch(() => {});
          throw new TypeError("a query is answered at once, not by a promise");
        }
        this.#parts.reply(message, request, { ...(value !== undefined && { value }) });
      } catch (error) {
        refuse(toStored(error));
      }
    return true;
  }

  /** Waits until there is code that handles it. */
  #takeUpdate(message: string, content: Request): boolean {
    const { request, name, args } = content;
    const handling = this.#handlings.get(`update ${name}`);
    if (!handling) return false;
    const isKnown = this.#accepted.has(request);
    try {
      // Asked again: whoever asks finds the answer to the first.
      if (!isKnown) handling.validate?.(args);
    } catch (error) {
      this.#parts.reply(message, request, { error: toStored(error) });
      return true;
    }
    if (isKnown) return false;
    this.#accepted.add(request);
    this.#parts.answers.add({ seq: -1, kind: "update", name, at: 0, value: content }, undefined, { message });
    return true;
  }
}
