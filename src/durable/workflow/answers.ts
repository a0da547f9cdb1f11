import { decodeValue, Encoded, limitExceeded } from "../../core/index.ts";
import type { OpenTransaction } from "../../engine/index.ts";
import type { Command } from "./commands.ts";
import { toStored } from "./errors.ts";
import type { Completion } from "./layout.ts";

/** Of one commit at most. */
const mostAtOnce = 50;

/** What has become of something that the code asked for, on its way into the history. */
export interface Answer {
  /** `undefined`: for the run itself. */
  readonly command: Command | undefined;
  readonly event: Completion;
  /** Of what is not surely small. */
  readonly encoded: Encoded | undefined;
  /** A message that is thereby taken. */
  readonly message?: string;
  /** What the body of a step has written: committed with the answer. */
  readonly open?: OpenTransaction;
  /** What to do should that meet a conflict. */
  readonly again?: () => void;
}

/** Answers in the order in which they are to be recorded. */
export class Answers {
  #waiting: Answer[] = [];
  readonly #valueBytes: number;

  constructor(valueBytes: number) {
    this.#valueBytes = valueBytes;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** A result that cannot be kept is a failure. */
  add(event: Completion, command: Command | undefined, more: Pick<Answer, "message" | "open" | "again"> = {}): void {
    // What is surely small is encoded when it is recorded.
    if (isSmall(event.value)) {
      this.#waiting.push({ command, event, encoded: undefined, ...more });
      return;
    }
    try {
      const encoded = new Encoded(event, event.name);
      const { length } = encoded.bytes;
      if (length > this.#valueBytes)
        throw limitExceeded(`what ${event.name} gave`, length, this.#valueBytes, "bytes encoded");
      this.#waiting.push({ command, event, encoded, ...more });
    } catch (error) {
      void more.open?.rollback().catch(() => {});
      const { value: _, ...rest } = event;
      const failed: Completion = { ...rest, error: toStored(error) };
      this.#waiting.push({ command, event: failed, encoded: undefined });
    }
  }

  has(command: Command): boolean {
    return this.#waiting.some((answer) => answer.command === command);
  }

  get cancels(): boolean {
    return this.#waiting.some(({ event }) => event.kind === "cancel");
  }

  /** The first, as many as one commit takes: one that has written through a transaction goes alone. What nobody waits for any more is dropped. */
  first(isWanted: (command: Command) => boolean): readonly Answer[] {
    this.#waiting = this.#waiting.filter(({ command, open }) => {
      const wanted = command === undefined || isWanted(command);
      if (!wanted) void open?.rollback().catch(() => {});
      return wanted;
    });
    const [first] = this.#waiting;
    if (first?.open) return [first];
    const until = this.#waiting.findIndex(({ open }) => open !== undefined);
    return this.#waiting.slice(0, until < 0 ? mostAtOnce : Math.min(until, mostAtOnce));
  }

  remove(count: number): void {
    this.#waiting.splice(0, count);
  }

  clear(): void {
    for (const { open } of this.#waiting) void open?.rollback().catch(() => {});
    this.#waiting = [];
  }
}

/** What the code is told: what the store has, not what somebody may go on changing. */
export function toldOf({ event, encoded }: Answer): unknown {
  return encoded ? (decodeValue(encoded.bytes) as Completion).value : event.value;
}

function isSmall(value: unknown): boolean {
  if (typeof value === "string") return value.length <= 1000;
  return value === null || ["boolean", "number", "undefined"].includes(typeof value);
}
