import { OverloadedError } from "../../core/index.ts";
import type { Connections } from "./connection.ts";
import type { Names } from "./names.ts";
import type { Statements } from "./statements.ts";

/**
 * Sends notifications, in statements of their own: within a commit they would hold a lock of the whole server until the commit is
 * durable. One statement at a time; what is to be said meanwhile goes together with the next.
 */
export class Notifier {
  readonly #connections: Connections;
  readonly #names: Names;
  readonly #statements: Statements;
  readonly #outboxes = new Map<string, Outbox>();
  /** The latest revision to hint at; 0: nothing to say. */
  #revision = 0;
  #hinting = false;

  constructor(connections: Connections, names: Names, statements: Statements) {
    this.#connections = connections;
    this.#names = names;
    this.#statements = statements;
  }

  /** Hints that something was committed. If that fails, those who follow changes find them with their next poll. */
  hint(revision: number): void {
    this.#revision = revision;
    if (!this.#hinting) void this.#hint();
  }

  async #hint(): Promise<void> {
    this.#hinting = true;
    while (this.#revision > 0) {
      const payload = String(this.#revision);
      this.#revision = 0;
      await this.#connections.tell(this.#statements.notify, [this.#names.changesChannel, [payload]]).catch(() => {});
    }
    this.#hinting = false;
  }

  /**
   * Resolves once the messages are sent. They arrive in order, one after another.
   * @throws OverloadedError too much waits to be sent
   */
  send(channel: string, messages: readonly string[]): Promise<void> {
    let outbox = this.#outboxes.get(channel);
    if (!outbox) {
      outbox = { waiting: [], size: 0, sending: false };
      this.#outboxes.set(channel, outbox);
    }
    const size = messages.reduce((sum, message) => sum + message.length, 0);
    if (outbox.size + size > mostWaiting) {
      return Promise.reject(
        new OverloadedError(
          `${outbox.size} characters of messages wait to be sent, the most allowed is ${mostWaiting}; await publish before publishing more`,
        ),
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    outbox.size += size;
    outbox.waiting.push({ messages, size, resolve, reject });
    if (!outbox.sending) void this.#empty(channel, outbox);
    return promise;
  }

  async #empty(channel: string, outbox: Outbox): Promise<void> {
    outbox.sending = true;
    // What is published in the same turn goes along.
    await null;
    while (outbox.waiting.length > 0) {
      const batch = takeBatch(outbox);
      try {
        await this.#connections.tell(this.#statements.notify, [channel, batch.flatMap(({ messages }) => messages)]);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    outbox.sending = false;
  }
}

/** Messages on their way to a channel. */
interface Outbox {
  waiting: Waiting[];
  /** Characters that wait. */
  size: number;
  sending: boolean;
}

interface Waiting {
  readonly messages: readonly string[];
  readonly size: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Takes what may go in one statement; at least one. */
function takeBatch(outbox: Outbox): Waiting[] {
  let count = 0;
  let size = 0;
  while (
    count < outbox.waiting.length &&
    (count === 0 || size + (outbox.waiting[count] as Waiting).size <= mostTogether)
  ) {
    size += (outbox.waiting[count++] as Waiting).size;
  }
  outbox.size -= size;
  return outbox.waiting.splice(0, count);
}

const mostWaiting = 64 * 1024 * 1024;
const mostTogether = 1024 * 1024;
