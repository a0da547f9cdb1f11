import { decodeValue, Encoded, limitExceeded } from "../../core/index.ts";
import type { Limits, OpenTransaction } from "../../engine/index.ts";
import type { Command } from "./commands.ts";
import { toStored } from "./errors.ts";
import type { Refusal } from "./journal.ts";
import type { Completion, Reply } from "./layout.ts";

/** What an event has beside its value, as far as it is not known yet when it is measured. */
const margin = 64;
/** Bytes of an event whose value is small. */
const smallBytes = 8192;

/** What has become of something that the code asked for, on its way into the history. */
export interface Answer {
  /** `undefined`: for the run itself. */
  readonly command: Command | undefined;
  readonly event: Completion;
  /** Of what is not surely small. */
  readonly encoded: Encoded | undefined;
  /** A message that is thereby taken. */
  readonly message?: string;
  /** A child that is done with. */
  readonly child?: string;
  /** Who is told of it. */
  readonly reply?: { readonly request: string; readonly reply: Reply };
  /** What the body of a step has written: committed with the answer. */
  readonly open?: OpenTransaction;
  /** Told what has come of that; without a refusal it is committed, or nobody waits for it any more. */
  readonly settle?: (refusal: Refusal | undefined) => void;
}

/** What is committed with an answer, and who is told. */
export type More = Pick<Answer, "message" | "child" | "reply" | "open" | "settle">;

/** Answers in the order in which they are to be recorded. */
export class Answers {
  #waiting: Answer[] = [];
  readonly #limits: Limits;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** A result that cannot be kept is a failure. */
  add(event: Completion, command: Command | undefined, more: More = {}): void {
    // What is surely small is encoded when it is recorded.
    if (isSmall(event.value)) {
      this.#waiting.push({ command, event, encoded: undefined, ...more });
      return;
    }
    try {
      const encoded = new Encoded(event, event.name);
      const { length } = encoded.bytes;
      const most = this.#limits.valueBytes - margin;
      if (length > most) throw limitExceeded(`what ${event.name} gave`, length, most, "bytes encoded");
      this.#waiting.push({ command, event, encoded, ...more });
    } catch (error) {
      drop(more);
      const { value: _, ...rest } = event;
      const failed: Completion = { ...rest, error: toStored(error) };
      this.#waiting.push({
        command,
        event: failed,
        encoded: undefined,
        ...(more.message && { message: more.message }),
      });
    }
  }

  has(command: Command): boolean {
    return this.#waiting.some((answer) => answer.command === command);
  }

  get cancels(): boolean {
    return this.#waiting.some(({ event }) => event.kind === "cancel");
  }

  /**
   * The first, as many as one commit takes: one that has written through a transaction goes alone. What nobody waits for any more is dropped.
   * @param most events
   */
  first(isWanted: (command: Command) => boolean, most: number): readonly Answer[] {
    this.#waiting = this.#waiting.filter((answer) => {
      const wanted = answer.command === undefined || isWanted(answer.command);
      if (!wanted) drop(answer);
      return wanted;
    });
    const [first] = this.#waiting;
    if (first && isAlone(first)) return [first];
    let count = 0;
    for (let bytes = 0; count < this.#waiting.length && count < most; count++) {
      const answer = this.#waiting[count] as Answer;
      bytes += answer.encoded?.bytes.length ?? smallBytes;
      if (isAlone(answer) || (count > 0 && bytes > this.#limits.commitBytes / 2)) break;
    }
    return this.#waiting.slice(0, count);
  }

  remove(count: number): void {
    this.#waiting.splice(0, count);
  }

  clear(): void {
    for (const answer of this.#waiting) drop(answer);
    this.#waiting = [];
  }
}

/** What it writes besides may be of any size. */
function isAlone({ open, event }: Answer): boolean {
  return open !== undefined || event.kind === "attributes";
}

function drop({ open, settle }: Pick<Answer, "open" | "settle">): void {
  void open?.rollback().catch(() => {});
  settle?.(undefined);
}

/** What the code is told: what the store has, not what somebody may go on changing. */
export function toldOf({ event, encoded }: Answer): unknown {
  return encoded ? (decodeValue(encoded.bytes) as Completion).value : event.value;
}

function isSmall(value: unknown): boolean {
  if (typeof value === "string") return value.length <= 1000;
  return value === null || ["boolean", "number", "undefined"].includes(typeof value);
}
