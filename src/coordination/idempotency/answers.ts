import type { Channel } from "node:diagnostics_channel";
import { FingerprintMismatchError } from "../../core/index.ts";
import { type IdempotencyMessage, refused, replayed } from "./channels.ts";
import type { Outcome } from "./contract.ts";
import type { Call, Settings } from "./options.ts";
import type { Answer, Failed, KeyRecord } from "./record.ts";
import { markReplayed } from "./replayed.ts";
import { read } from "./results.ts";
import { toStoredError } from "./stored-error.ts";

/** What all forms of calls do with what is recorded. */
export class Answers {
  readonly name: string;
  readonly settings: Settings;

  constructor(name: string, settings: Settings) {
    this.name = name;
    this.settings = settings;
  }

  /** @throws FingerprintMismatchError the record is of another request */
  compare(record: KeyRecord | undefined, { key, fingerprint }: Call): void {
    const known = record?.fingerprint;
    if (known === undefined || fingerprint === undefined || known === fingerprint) return;
    const error = new FingerprintMismatchError(
      `${JSON.stringify(key)} was used before for another request: its fingerprint was ${known}, now it is ${fingerprint}; a request of its own needs a key of its own`,
      { details: { key, fingerprint, recorded: known } },
    );
    this.tell(refused, { key, attempt: record?.attempt ?? 0, error });
    throw error;
  }

  /**
   * The recorded answer once more: resolves with the result, or throws the error.
   * @throws InvalidArgumentError the recorded result does not satisfy the schema
   */
  async replay<T>(answer: Answer, { key, schema }: Call): Promise<Outcome<T>> {
    const { attempt } = answer;
    this.tell(replayed, { key, attempt });
    if (answer.state === "done") return { value: (await read(answer.result, schema)) as T, replayed: true, attempt };
    const error = this.settings.revive(answer.error);
    markReplayed(error);
    throw error;
  }

  /**
   * Whether what the function threw is its answer. A function that stopped because it was told to has given none.
   * @param signal the one that the function was given
   * @throws AggregateError the option `retryable` threw
   */
  isFinal(error: unknown, about: { readonly key: string; readonly attempt: number }, signal: AbortSignal): boolean {
    if (signal.aborted && error === signal.reason) return false;
    try {
      return !this.settings.retryable(error, about);
    } catch (mistake) {
      throw new AggregateError([mistake, error], "the option `retryable` threw when it was asked about an error");
    }
  }

  failed(error: unknown, { run, attempt, fingerprint }: Pick<KeyRecord, "run" | "attempt" | "fingerprint">): Failed {
    return {
      state: "failed",
      run,
      attempt,
      ...(fingerprint !== undefined && { fingerprint }),
      error: toStoredError(error),
    };
  }

  tell(channel: Channel, message: Omit<IdempotencyMessage, "name">): void {
    if (channel.hasSubscribers) channel.publish({ name: this.name, ...message } satisfies IdempotencyMessage);
  }
}
