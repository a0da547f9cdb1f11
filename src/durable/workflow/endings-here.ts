import type { RunRecord } from "./layout.ts";

/** Runs that this process waits for and carries on itself: their ends need not be heard of from the store. */
export class EndingsHere {
  /** Those in memory here. */
  readonly #live = new Set<string>();
  readonly #waiting = new Map<string, ((record: RunRecord | undefined) => void)[]>();

  enter(id: string): void {
    this.#live.add(id);
  }

  /** @param record of a run that has ended; others have to be asked of the store */
  leave(id: string, record: RunRecord | undefined): void {
    this.#live.delete(id);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    for (const tell of waiting ?? []) tell(record);
  }

  /** What the run has ended with; `undefined` at once if it is not in memory here, and later if it has left memory without an end. */
  async ending(id: string, signal: AbortSignal | undefined): Promise<RunRecord | undefined> {
    if (!this.#live.has(id)) return undefined;
    return await new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      const tell = (record: RunRecord | undefined): void => {
        signal?.removeEventListener("abort", onAbort);
        resolve(record);
      };
      const waiting = this.#waiting.get(id);
      if (waiting) waiting.push(tell);
      else this.#waiting.set(id, [tell]);
    });
  }
}
