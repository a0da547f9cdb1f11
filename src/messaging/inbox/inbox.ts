import { createIdempotency, type Idempotency, type Outcome } from "../../coordination/idempotency/index.ts";
import { invalidArgument, refuseUnknown } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import type { Inbox, InboxOptions, MessageId, Receipt, ReceiveContext, ReceiveOptions } from "./contract.ts";
import { nameOf, toKey } from "./message-id.ts";

/**
 * An inbox for the messages of one sender, in the namespace of the engine: processes that give the same name share it.
 * @param name 1 to 500 characters
 */
export function createInbox(engine: Engine, name: string, options: InboxOptions = {}): Inbox {
  refuseUnknown(options, ["retention", "maxResultBytes"]);
  const { retention = "7d", maxResultBytes } = options;
  const receipts = createIdempotency(engine.scope("inbox"), name, {
    retention,
    ...(maxResultBytes !== undefined && { maxResultBytes }),
    // A message that could not be handled has not been received: its sender sends it again.
    retryable: () => true,
  });
  return new EngineInbox(engine, name, receipts);
}

class EngineInbox implements Inbox {
  readonly name: string;
  readonly #engine: Engine;
  readonly #receipts: Idempotency;

  constructor(engine: Engine, name: string, receipts: Idempotency) {
    this.#engine = engine;
    this.name = name;
    this.#receipts = receipts;
  }

  async receive<T>(
    id: MessageId,
    handler: (context: ReceiveContext) => T | Promise<T>,
    options: ReceiveOptions = {},
  ): Promise<Receipt<T>> {
    refuseUnknown(options, ["tx", "fingerprint", "deadline", "signal"]);
    const key = toKey(id);
    if (typeof handler !== "function") throw invalidArgument("handler", handler, "a function");
    let thrown: { readonly error: unknown } | undefined;
    const handle = async (tx: Transaction, signal: AbortSignal): Promise<T> => {
      thrown = undefined;
      try {
        return await handler({ id, tx: this.#engine.join(tx), signal });
      } catch (error) {
        thrown = { error };
        throw error;
      }
    };
    try {
      const { value, replayed } = await this.#settle(key, handle, options);
      this.#tell(replayed ? channels.duplicate : channels.received, id);
      return { duplicate: replayed, value };
    } catch (error) {
      if (thrown?.error === error) this.#tell(channels.failed, id, error);
      throw error;
    }
  }

  async has(id: MessageId, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    return (await this.#receipts.status(toKey(id), options))?.state === "done";
  }

  async forget(id: MessageId, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    return await this.#receipts.forget(toKey(id), options);
  }

  async #settle<T>(
    key: string,
    handle: (tx: Transaction, signal: AbortSignal) => Promise<T>,
    options: ReceiveOptions,
  ): Promise<Outcome<T>> {
    const { tx, deadline, signal } = options;
    // Given as `undefined` it is compared too: a body that was forgotten must not turn the comparison off.
    const compared = "fingerprint" in options ? { fingerprint: options.fingerprint } : {};
    if (tx === undefined) {
      return await this.#receipts.transact(key, (own, context) => handle(own, context.signal), {
        ...compared,
        ...(deadline !== undefined && { deadline }),
        ...(signal && { signal }),
      });
    }
    if (deadline !== undefined) throw invalidArgument("deadline", deadline, "nothing, as tx is someone else's");
    if (signal !== undefined) throw invalidArgument("signal", signal, "nothing, as tx is someone else's");
    const joined = this.#engine.scope("inbox").join(tx);
    return await this.#receipts.runIn(joined, key, (context) => handle(tx, context.signal), compared);
  }

  #tell(channel: typeof channels.received, id: MessageId, error?: unknown): void {
    if (!channel.hasSubscribers) return;
    const about = { inbox: this.name, id: nameOf(id) };
    channel.publish((error === undefined ? about : { ...about, error }) satisfies channels.InboxMessage);
  }
}
