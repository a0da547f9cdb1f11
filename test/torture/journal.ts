import { closeSync, openSync, writeSync } from "node:fs";

/**
 * What a writer did, in a file that outlives it: a line in the page cache survives SIGKILL. Each write is announced before
 * it is issued, and its outcome noted before the next one of its lane begins, so at its death each lane has at most one
 * write whose outcome nobody knows.
 *
 *   +<lane> <seq>            begun
 *   =<lane> <seq> <result>   acknowledged, with the offset or sum that the engine returned
 *   -<lane> <seq> <code>     failed with an error that says: surely not applied
 *   ?<lane> <seq> <code>     failed with an error that says: may have been applied
 *   !<message>               an error that no writer should see
 */
export class Journal {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  begun(lane: string, seq: number): void {
    this.#line(`+${lane} ${seq}`);
  }

  acknowledged(lane: string, seq: number, result: number): void {
    this.#line(`=${lane} ${seq} ${result}`);
  }

  refused(lane: string, seq: number, code: string): void {
    this.#line(`-${lane} ${seq} ${code}`);
  }

  unknown(lane: string, seq: number, code: string): void {
    this.#line(`?${lane} ${seq} ${code}`);
  }

  failed(message: string): void {
    this.#line(`!${message.replaceAll("\n", " ")}`);
  }

  close(): void {
    closeSync(this.#file);
  }

  #line(text: string): void {
    writeSync(this.#file, `${text}\n`);
  }
}

export type Outcome = "acknowledged" | "refused" | "in doubt";

export interface Write {
  readonly seq: number;
  readonly outcome: Outcome;
  /** What the engine returned: the offset of an append, the sum of an add; 0 if not acknowledged. */
  readonly result: number;
}

/** What one writer did. */
export interface WriterRecord {
  /** By lane, in the order in which they were issued: `seq` is 1, 2, 3, … */
  readonly lanes: ReadonlyMap<string, readonly Write[]>;
  /** Errors that no writer should see. */
  readonly failures: readonly string[];
}

/** A last line without an end was being written when the writer died, and counts as not written. */
export function readJournal(text: string): WriterRecord {
  const lanes = new Map<string, Write[]>();
  const failures: string[] = [];
  for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
    if (line === "") continue;
    if (line.startsWith("!")) {
      failures.push(line.slice(1));
      continue;
    }
    const [lane = "", number, result] = line.slice(1).split(" ");
    const seq = Number(number);
    const writes = lanes.get(lane) ?? [];
    lanes.set(lane, writes);
    if (line.startsWith("+")) {
      writes.push({ seq, outcome: "in doubt", result: 0 });
      continue;
    }
    const begun = writes.at(-1);
    if (begun?.seq !== seq) throw new Error(`the journal ends a write that it did not begin: ${line}`);
    if (line.startsWith("=")) writes[writes.length - 1] = { seq, outcome: "acknowledged", result: Number(result) };
    if (line.startsWith("-")) writes[writes.length - 1] = { seq, outcome: "refused", result: 0 };
  }
  return { lanes, failures };
}

/** Acknowledged writes of the lane. */
export function acknowledgedIn(record: WriterRecord, lane: string): number {
  return (record.lanes.get(lane) ?? []).filter(({ outcome }) => outcome === "acknowledged").length;
}
