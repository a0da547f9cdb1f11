import { type Leases, leasesOf, patiently } from "../../coordination/lease/index.ts";
import { type Key, sleep } from "../../core/index.ts";
import type { Engine, LogRecord } from "../../engine/index.ts";
import { HandedClaims } from "./calls.ts";
import type { Lane } from "./lane.ts";
import { cancelsTopic, keys } from "./layout.ts";

/** Where a producer of this process hands jobs directly. */
export interface Receiver {
  /** Jobs that it would begin at once; 0 unless it has found the queue empty. */
  readonly appetite: number;
}

/** What all queues of the process share. */
export interface ProcessPart {
  /** Never given out twice. */
  nextClaim(): number;
  /** Told when somebody begins to use a queue, and when nobody does any more. */
  active(local: LocalQueue, is: boolean): void;
}

/** What all queues and workers of one name share in this process: wake-ups, claim numbers, and who is idle. */
export class LocalQueue<R extends Receiver = Receiver> {
  readonly engine: Engine;
  /** The engine without any scope, where the leases are. */
  readonly root: Engine;
  readonly lane: Lane;
  readonly leases: Leases;
  /** Workers that wait for jobs. */
  readonly idle = new Set<R>();
  /** Those who can take over what a dead process had. */
  readonly heirs = new Set<(lease: string) => Promise<void>>();
  readonly #wakers = new Set<() => void>();
  readonly #cancelListeners = new Set<(id: string) => void>();
  readonly #process: ProcessPart;
  #users = 0;
  #watching: AbortController | undefined;
  /** What producers of other processes have handed to this one. */
  readonly handed = new HandedClaims();
  /** How often something has changed on the shelf, as far as it was heard of. */
  rings = 0;

  constructor(engine: Engine, root: Engine, lane: Lane, process: ProcessPart) {
    this.#process = process;
    this.engine = engine;
    this.root = root;
    this.lane = lane;
    this.leases = leasesOf(engine);
  }

  /** Never given out twice by this process. */
  nextClaim(): number {
    return this.#process.nextClaim();
  }

  /** Begins to listen for changes by others, until as many users have left as came. */
  enter(): void {
    if (this.#users++ > 0) return;
    this.#process.active(this, true);
    const controller = new AbortController();
    this.#watching = controller;
    this.#follow(controller.signal, () => this.#hearBell(controller.signal));
    this.#follow(controller.signal, () => this.#hearCancels(controller.signal));
  }

  leave(): void {
    if (--this.#users > 0) return;
    this.#process.active(this, false);
    this.#watching?.abort();
    this.#watching = undefined;
  }

  onWake(waker: () => void): () => void {
    this.#wakers.add(waker);
    return () => this.#wakers.delete(waker);
  }

  onCancel(listener: (id: string) => void): () => void {
    this.#cancelListeners.add(listener);
    return () => this.#cancelListeners.delete(listener);
  }

  /** Something on the shelf may have changed. */
  ring(): void {
    this.rings++;
    this.wake();
  }

  wake(): void {
    for (const waker of [...this.#wakers]) waker();
  }

  /** The first records of the lane at or after the offset, as soon as there are any; none if the signal is aborted before. */
  async untilLane(offset: number, signal: AbortSignal): Promise<readonly LogRecord[]> {
    let found: readonly LogRecord[] = [];
    try {
      await patiently(
        this.engine,
        async () => {
          const { engine, topic } = this.lane;
          for await (const records of engine.log.tail(topic, { from: offset, signal })) {
            found = records;
            return;
          }
        },
        signal,
      );
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    return found;
  }

  /** Listens for as long as anybody uses the queue; what ends a watch but the end of the engine is waited out. */
  #follow(signal: AbortSignal, listen: () => Promise<void>): void {
    const again = async (): Promise<void> => {
      for (;;) {
        await patiently(this.engine, listen, signal);
        await sleep(this.engine.runtime, 10, { signal, ref: false });
      }
    };
    // Ends with the signal or with the engine; workers find out by themselves.
    again().catch(() => {});
  }

  async #hearBell(signal: AbortSignal): Promise<void> {
    for await (const _ of this.engine.kv.watch({ key: keys.bell }, { signal })) this.ring();
  }

  async #hearCancels(signal: AbortSignal): Promise<void> {
    for await (const records of this.engine.log.tail<string>(cancelsTopic, { from: "end", signal }))
      for (const { value } of records) for (const listener of [...this.#cancelListeners]) listener(value);
  }
}

/** A queue's part of the engine, and its name among those of the process. */
export function scopeOf(engine: Engine, name: string): Engine {
  return engine.scope("queue", name);
}

/** The same for the same part of the store. */
export function localName(scope: Engine): string {
  return JSON.stringify(scope.namespace.map(partName));
}

function partName(part: Key[number]): string {
  return typeof part === "object"
    ? `bytes:${Buffer.from(part).toString("base64url")}`
    : `${typeof part}:${String(part)}`;
}
