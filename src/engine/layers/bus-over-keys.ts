import { createIds, fullJitter, isAshlarError, type Runtime, sleep } from "../../core/index.ts";
import type { Change, Kv, Mutation } from "../contract.ts";
import type { BusDriver, RawSubscription } from "../driver.ts";

/**
 * Messages as short-lived keys, for engines that have nothing better: a publish sets a key that nobody else has, subscribers watch them all.
 *
 * Key layout: `[id]` → `[subject, payload]`, gone after ten seconds. A watch may join states but never hides a key that is still
 * there, so a subscriber misses messages only if it is cut off for as long.
 */
export function busOverKeys(kv: Kv, runtime: Runtime): BusDriver {
  const outbox = new Outbox(kv, runtime);
  return {
    publish: (subject, payload) => outbox.send([subject, payload]),
    subscribe: async (deliver) => {
      const inbox = new Inbox(kv, runtime, deliver);
      await inbox.open();
      return inbox;
    },
  };
}

type Message = readonly [subject: Uint8Array, payload: Uint8Array];

const keepMs = 10_000;
/** What one commit carries at most: half of what every engine takes. */
const mostMessages = 50;
const mostBytes = 512 * 1024;

/** Gathers the messages that are published without a pause and sends them in one commit. */
class Outbox {
  readonly #kv: Kv;
  readonly #nextId: () => string;
  #parcel: Parcel | undefined;

  constructor(kv: Kv, runtime: Runtime) {
    this.#kv = kv;
    const ids = createIds(runtime);
    this.#nextId = () => ids.next();
  }

  send(message: Message): Promise<void> {
    const bytes = message[0].length + message[1].length;
    const last = this.#parcel;
    const isFull = !last || last.mutations.length >= mostMessages || last.bytes + bytes > mostBytes;
    const parcel = isFull ? this.#begin() : last;
    parcel.bytes += bytes;
    parcel.mutations.push({ set: [this.#nextId()], value: message, ttl: keepMs });
    return parcel.sent;
  }

  #begin(): Parcel {
    const mutations: Mutation[] = [];
    const sent = Promise.resolve().then(async () => {
      if (this.#parcel === parcel) this.#parcel = undefined;
      await this.#kv.commit({ mutations });
    });
    const parcel: Parcel = { mutations, sent, bytes: 0 };
    this.#parcel = parcel;
    return parcel;
  }
}

interface Parcel {
  readonly mutations: Mutation[];
  readonly sent: Promise<void>;
  bytes: number;
}

/** Watches for messages, and begins again after a failure: what came in between is lost, what comes later is not. */
class Inbox implements RawSubscription {
  readonly #kv: Kv;
  readonly #runtime: Runtime;
  readonly #deliver: (...message: Message) => void;
  #changes: AsyncIterableIterator<Change<Message>[]> | undefined;
  #closed = false;

  constructor(kv: Kv, runtime: Runtime, deliver: (...message: Message) => void) {
    this.#kv = kv;
    this.#runtime = runtime;
    this.#deliver = deliver;
  }

  async open(): Promise<void> {
    const changes = this.#kv.watch<Message>({});
    this.#changes = changes;
    // What is there already was sent to others.
    await changes.next();
    if (this.#closed) await changes.return?.();
    this.#receive(changes).catch(() => {});
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#changes?.return?.();
  }

  async #receive(changes: AsyncIterable<Change<Message>[]>): Promise<void> {
    try {
      for await (const batch of changes) {
        for (const change of batch) if (!change.deleted) this.#deliver(...change.value);
      }
    } catch (error) {
      await this.#reopen(error);
    }
  }

  /** Tries until it succeeds; the engine's own end is the end of this. */
  async #reopen(failure: unknown): Promise<void> {
    let error = failure;
    for (let failures = 1; !this.#closed && !isAshlarError(error, "CLOSED"); failures++) {
      await sleep(this.#runtime, fullJitter(this.#runtime, failures, { base: 50, cap: 2000 }), { ref: false });
      try {
        if (!this.#closed) await this.open();
        return;
      } catch (next) {
        error = next;
      }
    }
  }
}
