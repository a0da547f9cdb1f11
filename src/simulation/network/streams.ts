import { concat } from "../../core/index.ts";
import type { Incarnation } from "../incarnation.ts";
import type { Link } from "./links.ts";
import type { Host } from "./network.ts";

export interface Listener {
  readonly port: number;
  close(): void;
}

/** One end of a stream of bytes. Set the handlers in the turn in which the connection is handed out. */
export interface Connection {
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** Bytes arrived. */
  onData: (bytes: Uint8Array) => void;
  /** The other end will send no more. */
  onEnd: () => void;
  /** The connection is over: with an error, or because both ends have ended. Called once, last. */
  onClose: (error?: Error) => void;
  /** Sends bytes; `sent` is called when there is room for more. Bytes must not be changed afterwards. */
  write(bytes: Uint8Array, sent?: () => void): void;
  /** Sends no more. */
  end(): void;
  /**
   * Gives the connection up: `onClose` without an error here. The other end gets what was written and the end of the stream, and ECONNRESET if it had sent
   * what was not read, or sends more.
   */
  destroy(): void;
  /** Stops reading: what arrives waits, and after a window's worth the sender waits too. */
  pause(): void;
  resume(): void;
}

interface Ends {
  readonly near: Host;
  readonly nearOwner: Incarnation;
  readonly far: Host;
  readonly farOwner: Incarnation;
  readonly way: Link;
  readonly back: Link;
}

/** Both ends of a new connection. */
export function openConnection({ near, nearOwner, far, farOwner, way, back }: Ends): [Connection, Connection] {
  const a = new StreamEnd(near, nearOwner, way);
  const b = new StreamEnd(far, farOwner, back);
  a.join(b);
  b.join(a);
  return [a, b];
}

/** Bytes that may be on their way or unread in one direction before the sender has to wait. */
const windowBytes = 64 * 1024;
/** Bytes that go together at most if they were written apart. */
const segmentBytes = 16 * 1024;
/** Waits before a lost segment is sent again, and how long until the sender gives up. */
const retransmitMs = 200;
const longestRetransmitMs = 3_000;
const giveUpMs = 20_000;

interface Segment {
  /** `undefined`: the end of the stream. */
  readonly bytes: Uint8Array | undefined;
  readonly sent: (() => void) | undefined;
}

class StreamEnd implements Connection {
  readonly #host: Host;
  readonly #owner: Incarnation;
  /** Towards the other end. */
  readonly #link: Link;
  readonly #forgetDeath: () => void;
  #peer!: StreamEnd;
  /** Not sent yet for want of room in the window. */
  readonly #outgoing: Segment[] = [];
  #inFlight = 0;
  /** The segment sent last was lost and will be sent again: those behind it wait. */
  #retrying = false;
  /** When the segment sent last arrives: no later one arrives before. */
  #tail = 0;
  readonly #unread: (Uint8Array | undefined)[] = [];
  #reading = true;
  /** Nothing more is to be sent. */
  #ended = false;
  /** The other end will get to know. */
  #endSent = false;
  #peerEnded = false;
  /** Whoever holds this end is done with it. What it has written goes on its way. */
  #closed = false;
  /** Nothing goes on its way any more. */
  #dead = false;
  /** Nothing that is sent arrives any more, and nobody says so. */
  #deaf = false;
  onData: (bytes: Uint8Array) => void = () => {};
  onEnd: () => void = () => {};
  onClose: (error?: Error) => void = () => {};

  constructor(host: Host, owner: Incarnation, link: Link) {
    this.#host = host;
    this.#owner = owner;
    this.#link = link;
    this.#forgetDeath = owner.onDeath(() => this.#died());
  }

  join(peer: StreamEnd): void {
    this.#peer = peer;
  }

  get localAddress(): string {
    return this.#host.name;
  }

  get remoteAddress(): string {
    return this.#link.to;
  }

  /** A stream has no borders: what is written at once may arrive in parts, and what is written apart may arrive together. */
  write(bytes: Uint8Array, sent?: () => void): void {
    if (this.#closed || this.#ended) return;
    const { dice } = this.#link;
    const cut = bytes.length > 1 && dice.hits(0.1) ? 1 + dice.below(bytes.length - 1) : 0;
    if (cut > 0) this.#outgoing.push({ bytes: bytes.subarray(0, cut), sent: undefined });
    this.#outgoing.push({ bytes: bytes.subarray(cut), sent });
    if (dice.hits(0.1)) this.#owner.schedule(dice.between(0.05, 1), this.#link.label, () => this.#fill());
    else this.#fill();
  }

  end(): void {
    if (this.#closed || this.#ended) return;
    this.#ended = true;
    this.#outgoing.push({ bytes: undefined, sent: undefined });
    this.#fill();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#leave();
    this.onClose();
  }

  /** As a kernel does when a socket is closed or its process has died. */
  #leave(): void {
    this.#closed = true;
    this.#forgetDeath();
    if (this.#unread.length > 0) {
      this.#dead = true;
      this.#tellReset();
    } else if (!this.#ended) {
      this.#ended = true;
      this.#outgoing.push({ bytes: undefined, sent: undefined });
      this.#fill();
    }
  }

  pause(): void {
    this.#reading = false;
  }

  resume(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#owner.schedule(0, this.#link.label, () => this.#read());
  }

  /** Sends while there is room and no earlier segment is being sent again. */
  #fill(): void {
    while (!this.#retrying && !this.#dead && this.#inFlight < windowBytes) {
      const segment = this.#next();
      if (!segment) return;
      this.#inFlight += segment.bytes?.length ?? 0;
      this.#transmit(segment, 0);
      segment.sent?.();
    }
  }

  /** What waits for room goes together, as far as there is any. */
  #next(): Segment | undefined {
    const first = this.#outgoing.shift();
    const parts: Uint8Array[] = [];
    let size = first?.bytes?.length ?? 0;
    const sent = [first?.sent];
    for (let next = this.#outgoing[0]; first?.bytes && next?.bytes; next = this.#outgoing[0]) {
      size += next.bytes.length;
      if (size > segmentBytes) break;
      parts.push(next.bytes);
      sent.push(next.sent);
      this.#outgoing.shift();
    }
    if (!first?.bytes || parts.length === 0) return first;
    return { bytes: concat(first.bytes, ...parts), sent: () => sent.forEach((each) => void each?.()) };
  }

  /** @param waited milliseconds since it was first tried */
  #transmit(segment: Segment, waited: number): void {
    if (this.#dead || this.#deaf) return;
    const link = this.#link;
    if (!this.#peer.#owner.alive && this.#peer.#host.powered && !link.cut) {
      this.#hearReset(link.latency());
      return;
    }
    if (link.reset.strikes()) {
      this.#break(resetError());
      this.#peer.#break(resetError());
      return;
    }
    if (link.halfOpen.strikes()) {
      this.#deaf = true;
      this.#owner.schedule(giveUpMs, link.label, () => this.#break(timeoutError()));
      this.#peer.#deaf = true;
      if (link.halfOpen.dice.hits(0.5)) this.#peer.#break(resetError());
      return;
    }
    if (link.cut || !this.#peer.#owner.alive || link.loss.strikes()) {
      this.#retry(segment, waited);
      return;
    }
    const now = this.#owner.trueNow;
    this.#tail = Math.max(this.#tail + 1e-6, now + link.latency());
    this.#peer.#arriveIn(this.#tail - now, segment);
    if (segment.bytes !== undefined) return;
    this.#endSent = true;
    if (this.#peerEnded) this.#close();
  }

  #retry(segment: Segment, waited: number): void {
    if (waited >= giveUpMs) {
      this.#break(timeoutError());
      return;
    }
    this.#retrying = true;
    const wait = Math.min(longestRetransmitMs, retransmitMs + waited);
    this.#owner.schedule(wait, this.#link.label, () => {
      this.#retrying = false;
      this.#transmit(segment, waited + wait);
      this.#fill();
    });
  }

  #arriveIn(ms: number, segment: Segment): void {
    const { label, arrived } = this.#peer.#link;
    const sentAt = this.#owner.trueNow;
    this.#owner.schedule(ms, label, () => {
      arrived?.(sentAt, segment.bytes ? `${segment.bytes.length} bytes` : "end of the stream");
      if (this.#closed) {
        if (segment.bytes) this.#tellReset();
        return;
      }
      this.#unread.push(segment.bytes);
      this.#read();
    });
  }

  #read(): void {
    while (this.#reading && !this.#closed && this.#unread.length > 0) {
      const bytes = this.#unread.shift();
      if (bytes === undefined) {
        this.#peerEnded = true;
        this.onEnd();
        if (this.#endSent) this.#close();
        return;
      }
      this.#peer.#roomFor(bytes.length, this.#link.latency());
      this.onData(bytes);
    }
  }

  #roomFor(bytes: number, latency: number): void {
    this.#owner.schedule(latency, this.#link.label, () => {
      this.#inFlight -= bytes;
      this.#fill();
    });
  }

  /** The kernel of a machine that still has power answers for the dead process. */
  #died(): void {
    if (this.#host.powered) this.#leave();
    else this.#dead = true;
  }

  /** Whoever is not told finds out when it sends, or never. */
  #tellReset(): void {
    if (!this.#link.cut && !this.#deaf) this.#peer.#hearReset(this.#link.latency());
  }

  #hearReset(ms: number): void {
    this.#owner.schedule(ms, this.#link.label, () => this.#close(resetError()));
  }

  #break(error: Error): void {
    this.#owner.schedule(0, this.#link.label, () => this.#close(error));
  }

  #close(error?: Error): void {
    this.#dead = true;
    this.#outgoing.length = 0;
    if (this.#closed) return;
    this.#closed = true;
    this.#forgetDeath();
    this.onClose(error);
  }
}

function resetError(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read", errno: -104 });
}

function timeoutError(): Error {
  return Object.assign(new Error("read ETIMEDOUT"), { code: "ETIMEDOUT", syscall: "read", errno: -110 });
}

export function refusedError(host: string, port: number): Error {
  return Object.assign(new Error(`connect ECONNREFUSED ${host}:${port}`), {
    code: "ECONNREFUSED",
    syscall: "connect",
    errno: -111,
    address: host,
    port,
  });
}

export function unknownHostError(host: string): Error {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), {
    code: "ENOTFOUND",
    syscall: "getaddrinfo",
    errno: -3008,
    hostname: host,
  });
}
