import { fullJitter, type Timer } from "../../core/index.ts";
import type { PgNotification } from "./client.ts";
import type { Connections, Lease } from "./connection.ts";
import type { Names } from "./names.ts";

/**
 * One connection that listens, for all channels of an engine: open while anyone hears a channel, and opened anew when it breaks. What was
 * said in between is not heard; who needs to know passes `reopened`.
 *
 * It holds the lock of listeners in shared mode, by which those who commit know that somebody listens.
 */
export class Listener {
  readonly #connections: Connections;
  readonly #names: Names;
  readonly #channels = new Map<string, Channel>();
  #lease: Lease | undefined;
  /** One change at a time: opening, closing, a further channel. */
  #work: Promise<void> = Promise.resolve();
  #check: Timer | undefined;
  #failures = 0;

  constructor(connections: Connections, names: Names) {
    this.#connections = connections;
    this.#names = names;
  }

  /** Hears the channel from the moment that the promise resolves. The function that it resolves with ends that. */
  async hear(name: string, channel: Channel): Promise<() => Promise<void>> {
    this.#channels.set(name, channel);
    const end = () => {
      this.#channels.delete(name);
      return this.#afterwards(() => this.#quit(name));
    };
    try {
      await this.#afterwards(async () => {
        if (this.#lease) await this.#lease.simple(`LISTEN ${quote(name)}`);
        else await this.#open();
        this.#adjustRef();
      });
    } catch (error) {
      await end();
      throw this.#connections.toAshlar(error);
    }
    return end;
  }

  async close(): Promise<void> {
    this.#channels.clear();
    await this.#afterwards(async () => this.#shut());
  }

  #afterwards(change: () => Promise<void>): Promise<void> {
    const done = this.#work.then(change);
    this.#work = done.catch(() => {});
    return done;
  }

  async #open(): Promise<void> {
    const lease = await this.#connections.acquire();
    try {
      lease.client.on("notification", this.#onNotification);
      lease.client.on("error", this.#onError);
      const channels = [...this.#channels.keys()].map((name) => `LISTEN ${quote(name)}`);
      await lease.simple([`SELECT pg_advisory_lock_shared(${this.#names.listenLock})`, ...channels].join(";"));
    } catch (error) {
      this.#forget(lease);
      throw error;
    }
    this.#lease = lease;
    this.#failures = 0;
    this.#checkLater();
  }

  async #quit(name: string): Promise<void> {
    this.#adjustRef();
    if (this.#channels.size === 0) this.#shut();
    else await this.#lease?.simple(`UNLISTEN ${quote(name)}`).catch(() => {});
  }

  #adjustRef(): void {
    const alive = [...this.#channels.values()].some((channel) => channel.keepsAlive);
    if (alive) this.#lease?.client.ref?.();
    else this.#lease?.client.unref?.();
  }

  #shut(): void {
    this.#check?.cancel();
    if (this.#lease) this.#forget(this.#lease);
    this.#lease = undefined;
  }

  /** The connection is closed, not given back: a session that listens is of no use to others. */
  #forget(lease: Lease): void {
    lease.client.removeListener("notification", this.#onNotification);
    lease.client.removeListener("error", this.#onError);
    lease.discard();
  }

  readonly #onNotification = ({ channel, payload = "" }: PgNotification): void => {
    this.#channels.get(channel)?.said(payload);
  };

  readonly #onError = (): void => this.#broke();

  #broke(): void {
    this.#shut();
    if (this.#channels.size === 0) return;
    const pause = fullJitter(this.#connections.runtime, this.#failures++, { base: 50, cap: 5000 });
    this.#check = this.#connections.runtime.timers.after(
      pause,
      () => void this.#afterwards(() => this.#reopen()).catch(() => this.#broke()),
      { ref: false },
    );
  }

  async #reopen(): Promise<void> {
    if (this.#lease || this.#channels.size === 0) return;
    await this.#open();
    this.#adjustRef();
    for (const channel of this.#channels.values()) channel.reopened();
  }

  /** A connection can die without a word; asking something over it now and then finds out. */
  #checkLater(): void {
    this.#check = this.#connections.runtime.timers.after(
      checkMs,
      () => {
        const lease = this.#lease;
        lease?.simple("SELECT 1").then(
          () => this.#lease === lease && this.#checkLater(),
          () => this.#lease === lease && this.#broke(),
        );
      },
      { ref: false },
    );
  }
}

export interface Channel {
  /** Whether the process is to live while the channel is heard. */
  readonly keepsAlive: boolean;
  /** Something was said on the channel. Must not throw. */
  said(payload: string): void;
  /** The connection had broken and is back. */
  reopened(): void;
}

function quote(name: string): string {
  return `"${name}"`;
}

const checkMs = 30_000;
