/** Something that a reader of a run may want to see. */
export interface TimelineEntry {
  /** Milliseconds since the beginning. */
  readonly at: number;
  /** The machine that it happened on; "world" for what concerns all. */
  readonly machine: string;
  readonly kind:
    | "start"
    | "crash"
    | "pause"
    | "resume"
    | "fault"
    | "heal"
    | "log"
    | "call"
    | "return"
    | "message"
    | "failure";
  readonly text: string;
  /** Of a message, which is noted when it arrives: where to, and when it was sent. */
  readonly to?: string;
  readonly sentAt?: number;
}

/** Keeps the last entries. */
export class Timeline {
  readonly #entries: TimelineEntry[] = [];
  readonly #keep: number;
  readonly #now: () => number;

  /** @param keep entries at most; 0: none */
  constructor(keep: number, now: () => number) {
    this.#keep = keep;
    this.#now = now;
  }

  get on(): boolean {
    return this.#keep > 0;
  }

  add(
    machine: string,
    kind: TimelineEntry["kind"],
    text: string,
    way?: { readonly to: string; readonly sentAt: number },
  ): void {
    if (this.#keep === 0) return;
    this.#entries.push({ at: this.#now(), machine, kind, text, ...way });
    if (this.#entries.length > 2 * this.#keep) this.#entries.splice(0, this.#entries.length - this.#keep);
  }

  get entries(): readonly TimelineEntry[] {
    return this.#entries.slice(-this.#keep);
  }
}
