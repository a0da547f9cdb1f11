import { ByteReader, ByteWriter, toBase64Url } from "../../core/index.ts";
import type { BusDriver } from "../driver.ts";
import type { Connections } from "./connection.ts";
import type { Listener } from "./listener.ts";
import type { Names } from "./names.ts";
import type { Notifier } from "./notifier.ts";

type Deliver = (subject: Uint8Array, payload: Uint8Array) => void;

/**
 * Messages as notifications. A notification holds less than 8000 bytes of text, so a message is sent as base 64 in as many parts as it
 * takes, all in one transaction: the server delivers those without anything in between.
 */
export function createBusDriver(
  connections: Connections,
  names: Names,
  listener: Listener,
  notifier: Notifier,
): BusDriver {
  const sender = toBase64Url(connections.runtime.random.bytes(9));
  let sent = 0;
  const hall = new Hall(listener, names.busChannel);
  return {
    publish: (subject, payload) => notifier.send(names.busChannel, toParts(`${sender}:${++sent}`, subject, payload)),
    async subscribe(deliver) {
      await hall.enter(deliver);
      return { close: () => hall.leave(deliver) };
    },
  };
}

/** Those who listen: the channel is heard while there is one. */
class Hall {
  readonly #listener: Listener;
  readonly #channel: string;
  readonly #guests = new Set<Deliver>();
  readonly #assembly = new Assembly((subject, payload) => this.#deliver(subject, payload));
  #heard: Promise<() => Promise<void>> | undefined;

  constructor(listener: Listener, channel: string) {
    this.#listener = listener;
    this.#channel = channel;
  }

  async enter(deliver: Deliver): Promise<void> {
    this.#guests.add(deliver);
    this.#heard ??= this.#listener.hear(this.#channel, {
      keepsAlive: true,
      said: (part) => this.#assembly.add(part),
      reopened: () => this.#assembly.clear(),
    });
    const heard = this.#heard;
    try {
      await heard;
    } catch (error) {
      if (this.#heard === heard) this.#heard = undefined;
      this.#guests.delete(deliver);
      throw error;
    }
  }

  async leave(deliver: Deliver): Promise<void> {
    if (!this.#guests.delete(deliver) || this.#guests.size > 0) return;
    const heard = this.#heard;
    this.#heard = undefined;
    await (await heard?.catch(() => undefined))?.();
  }

  #deliver(subject: Uint8Array, payload: Uint8Array): void {
    for (const deliver of this.#guests) deliver(subject, payload);
  }
}

/** Puts parts together again. Parts of a message follow each other, so one message at a time is all that it ever holds. */
export class Assembly {
  readonly #complete: Deliver;
  #id = "";
  #parts: string[] = [];

  constructor(complete: Deliver) {
    this.#complete = complete;
  }

  add(text: string): void {
    const match = /^([\w-]+:\d+) (\d+)\/(\d+) /.exec(text);
    if (!match) return;
    const [head, id, part, parts] = match as unknown as [string, string, string, string];
    if (part === "1") this.#start(id);
    if (Number(parts) > mostParts) return;
    // A part without those before it: they were said before this connection listened.
    if (id !== this.#id || Number(part) !== this.#parts.length + 1) return;
    this.#parts.push(text.slice(head.length));
    if (this.#parts.length === Number(parts)) this.#finish();
  }

  clear(): void {
    this.#start("");
  }

  #start(id: string): void {
    this.#id = id;
    this.#parts = [];
  }

  #finish(): void {
    const frame = Buffer.from(this.#parts.join(""), "base64");
    this.clear();
    let subject: Uint8Array;
    let payload: Uint8Array;
    try {
      const reader = new ByteReader(frame);
      subject = reader.bytes();
      payload = reader.bytes();
    } catch {
      // Whoever may connect may notify: what is not a message of ours is none.
      return;
    }
    this.#complete(subject, payload);
  }
}

/** The message as texts of notifications, each numbered: the server drops a notification that equals another of its transaction. */
export function toParts(id: string, subject: Uint8Array, payload: Uint8Array): string[] {
  const frame = new ByteWriter(8 + subject.length + payload.length).bytes(subject).bytes(payload).take();
  const text = Buffer.from(frame.buffer).toString("base64");
  const count = Math.ceil(text.length / partCharacters);
  return Array.from(
    { length: count },
    (_, i) => `${id} ${i + 1}/${count} ${text.slice(i * partCharacters, (i + 1) * partCharacters)}`,
  );
}

/** Of the largest message, with room to spare. */
const mostParts = 64;

/** With the header, below the 8000 bytes of a notification. */
const partCharacters = 7900;
