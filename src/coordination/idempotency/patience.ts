import { type Deadline, InProgressError, type Key, keyName, withDeadline } from "../../core/index.ts";
import type { Change } from "../../engine/index.ts";
import { firstOf, watchUntil } from "../lease/index.ts";
import type { Claims } from "./claims.ts";
import type { Call } from "./options.ts";
import type { InProgress, KeyRecord } from "./record.ts";

/** The wait of one call for functions that run elsewhere, all its waits together no longer than the call allows. */
export class Patience implements Disposable {
  readonly #claims: Claims;
  readonly #key: Key;
  readonly #call: Call;
  #deadline: Deadline | undefined;

  constructor(claims: Claims, key: Key, call: Call) {
    this.#claims = claims;
    this.#key = key;
    this.#call = call;
  }

  /**
   * Resolves when the record is another, or the process that runs the function has died.
   * @throws InProgressError the call does not wait, or not any longer
   */
  async wait(running: InProgress): Promise<void> {
    const { onInProgress, wait, signal } = this.#call;
    if (onInProgress === "refuse" || wait === 0) throw await inProgress(this.#claims, this.#call.key, running);
    const { root, leases } = this.#claims;
    this.#deadline ??= withDeadline(root.runtime, { deadlineMs: wait, signal, name: keyName(this.#key) });
    const limit = this.#deadline.signal;
    try {
      await firstOf(limit, [
        (until) => watchUntil(root, { key: this.#key }, isOver(running), until),
        (until) => leases.gone(running.lease, { signal: until }),
      ]);
    } catch (error) {
      if (!limit.aborted || signal?.aborted) throw error;
      throw await inProgress(this.#claims, this.#call.key, running);
    }
  }

  [Symbol.dispose](): void {
    this.#deadline?.[Symbol.dispose]();
  }
}

/** What a watch has to show for this run to be over. */
function isOver({ run }: InProgress): (changes: readonly Change[], first: boolean) => boolean {
  const goesOn = ({ deleted, value }: Change): boolean => {
    if (deleted) return false;
    const record = value as KeyRecord;
    return record.run === run && record.state === "in-progress";
  };
  return (changes, first) => (first ? !changes.some(goesOn) : !changes.every(goesOn));
}

const soonest = 100;
const latest = 30_000;

/** Nobody knows how long a function will take: whoever comes back after as long as it has taken comes back seldom, and not much too late. */
export async function inProgress(claims: Claims, key: string, running: InProgress): Promise<InProgressError> {
  const now = await claims.leases.now().catch(() => running.since);
  const retryAfterMs = Math.min(Math.max(Math.round(now - running.since), soonest), latest);
  return new InProgressError(
    `${JSON.stringify(key)} is in progress elsewhere (attempt ${running.attempt}); ask again in about ${retryAfterMs} ms`,
    { details: { key, attempt: running.attempt, retryAfterMs } },
  );
}
