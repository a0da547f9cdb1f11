import { ClosedError, decodeKey, encodeKey, toBinaryString } from "../../core/index.ts";
import type { BusDriver, RawSubscription } from "../driver.ts";
import { matches, type Pattern } from "./subjects.ts";

/** Someone who wants to hear of subjects that match. */
export interface BusListener {
  /** The namespace, encoded. */
  readonly prefix: Uint8Array;
  readonly pattern: Pattern;
  deliver(subject: string, payload: Uint8Array): void;
  /** The bus is over. */
  fail(error: Error): void;
}

/**
 * The messages of all namespaces of one open store. One subscription of the driver, open while anyone listens, serves all listeners;
 * each message is looked at once, however many they are. A message travels under the key that its subject would be in its namespace.
 */
export class BusHub {
  readonly #driver: BusDriver;
  /** Listeners by namespace. */
  readonly #rooms = new Map<string, Room>();
  #live: Promise<RawSubscription> | undefined;
  #closed = false;

  constructor(driver: BusDriver) {
    this.#driver = driver;
  }

  publish(prefix: Uint8Array, subject: string, payload: Uint8Array): Promise<void> {
    return this.#driver.publish(encodeKey([subject], prefix), payload);
  }

  /** Resolves once every later message will be delivered; with the way to leave. */
  async enter(listener: BusListener): Promise<() => Promise<void>> {
    const name = toBinaryString(listener.prefix);
    const room = this.#rooms.get(name) ?? new Room();
    this.#rooms.set(name, room);
    room.add(listener);
    const leave = (): Promise<void> => this.#leave(name, room, listener);
    this.#live ??= this.#driver.subscribe(this.#deliver);
    try {
      await this.#live;
      if (this.#closed) throw closedError();
    } catch (error) {
      // All who wait for it fail with it, and the last to leave makes room for another try.
      await leave();
      throw error;
    }
    return leave;
  }

  /** Ends all listening: those who listen meet `ClosedError`. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const room of this.#rooms.values()) for (const listener of room) listener.fail(closedError());
    this.#rooms.clear();
    await this.#stop();
  }

  async #leave(name: string, room: Room, listener: BusListener): Promise<void> {
    room.delete(listener);
    if (room.size > 0 || this.#rooms.get(name) !== room) return;
    this.#rooms.delete(name);
    if (this.#rooms.size === 0) await this.#stop();
  }

  async #stop(): Promise<void> {
    const live = this.#live;
    this.#live = undefined;
    // What never became live has no end; whoever waited for it knows.
    await (await live?.catch(() => undefined))?.close();
  }

  readonly #deliver = (key: Uint8Array, payload: Uint8Array): void => {
    const address = addressOf(key);
    if (address) this.#rooms.get(address.namespace)?.deliver(address.subject, payload);
  };
}

/** The listeners of one namespace. */
class Room {
  /** Those of a single subject, which most are, by it. */
  readonly #exact = new Map<string, Set<BusListener>>();
  readonly #patterns = new Set<BusListener>();

  get size(): number {
    return this.#exact.size + this.#patterns.size;
  }

  add(listener: BusListener): void {
    const { only } = listener.pattern;
    const listeners = only === undefined ? this.#patterns : this.#exact.get(only);
    if (listeners) listeners.add(listener);
    else this.#exact.set(only as string, new Set([listener]));
  }

  delete(listener: BusListener): void {
    this.#patterns.delete(listener);
    const { only } = listener.pattern;
    const listeners = only === undefined ? undefined : this.#exact.get(only);
    listeners?.delete(listener);
    if (listeners?.size === 0) this.#exact.delete(only as string);
  }

  deliver(subject: string, payload: Uint8Array): void {
    for (const listener of this.#exact.get(subject) ?? []) listener.deliver(subject, payload);
    if (this.#patterns.size === 0) return;
    const tokens = subject.split(".");
    for (const listener of this.#patterns) {
      if (matches(listener.pattern, tokens)) listener.deliver(subject, payload);
    }
  }

  *[Symbol.iterator](): Generator<BusListener> {
    for (const listeners of this.#exact.values()) yield* listeners;
    yield* this.#patterns;
  }
}

/** `undefined` for what is no message of ours. */
function addressOf(key: Uint8Array): { readonly namespace: string; readonly subject: string } | undefined {
  let subject: unknown;
  try {
    subject = decodeKey(key).at(-1);
  } catch {
    return undefined;
  }
  if (typeof subject !== "string") return undefined;
  const length = encodeKey([subject]).length;
  return { namespace: toBinaryString(key.subarray(0, key.length - length)), subject };
}

function closedError(): ClosedError {
  return new ClosedError("the engine was closed while subscribed");
}
