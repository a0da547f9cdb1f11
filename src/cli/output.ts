import { once } from "node:events";
import type { Writable } from "node:stream";

/** Lines to the user: results to one stream, everything else to the other. */
export interface Output {
  /** Writes a line of the result; waits while the reader is slower. */
  line(text: string): Promise<void>;
  /** Writes a line that is not part of the result. */
  note(text: string): void;
  /** Replaces the line of progress, where there is a terminal. */
  progress(text: string): void;
}

/** @param onGone called when the reader of the result has gone away, as `head` does */
export function createOutput(
  result: Writable,
  notes: Writable & { readonly isTTY?: boolean },
  onGone: () => void,
): Output {
  let gone = false;
  result.on("error", () => {
    gone = true;
    onGone();
  });
  const clear = (): void => {
    if (notes.isTTY) notes.write("\r\u001b[K");
  };
  return {
    async line(text) {
      if (gone || result.write(`${text}\n`)) return;
      // The reader may go away instead of reading on; that ends the wait too.
      await once(result, "drain").catch(() => {});
    },
    note(text) {
      clear();
      notes.write(`${text}\n`);
    },
    progress(text) {
      clear();
      if (notes.isTTY) notes.write(text);
    },
  };
}

/** Rows with their columns aligned. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  return rows.map((row) =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] as number))).join("  "),
  );
}
