import { invalidArgument } from "../../core/index.ts";
import type { Incarnation } from "../incarnation.ts";
import type { Links } from "./links.ts";
import { type Connection, type Listener, openConnection, refusedError, unknownHostError } from "./streams.ts";

/** The network as one process sees it. */
export interface Network {
  /** The name of the machine, which is also its address. */
  readonly address: string;
  /** Hands datagrams that arrive at the port to `receive`, until the function that this returns is called, or death. */
  bind(port: number, receive: (datagram: Datagram) => void): () => void;
  /**
   * Sends a message that may be lost, duplicated, delayed or overtaken, whether or not somebody listens. The payload is copied
   * (structured clone), as a wire would.
   */
  send(to: string, port: number, payload: unknown, fromPort?: number): void;
  /** Accepts streams at the port. @throws an Error with code EADDRINUSE */
  listen(port: number, accept: (connection: Connection) => void): Listener;
  /**
   * Opens a stream of bytes: in order, without loss while it lives; it may be reset, and an end may not hear of the death of the other.
   * Rejects with ECONNREFUSED (nobody listens), ENOTFOUND (no such machine) or ETIMEDOUT (no answer).
   */
  connect(to: string, port: number): Promise<Connection>;
}

export interface Datagram {
  readonly from: string;
  /** The port that the sender named, for an answer; 0 if none. */
  readonly fromPort: number;
  readonly payload: unknown;
}

/** A machine as the network knows it. */
export interface Host {
  readonly name: string;
  readonly incarnation: Incarnation | undefined;
  readonly ports: Map<number, (datagram: Datagram) => void>;
  readonly listeners: Map<number, (connection: Connection) => void>;
  /** Whether the dead process's kernel still answers: not after a loss of power. */
  readonly powered: boolean;
}

/** The cables between the machines. */
export class Fabric {
  readonly links: Links;
  readonly #hosts = new Map<string, Host>();

  constructor(links: Links) {
    this.links = links;
  }

  add(host: Host): void {
    this.#hosts.set(host.name, host);
  }

  host(name: string): Host | undefined {
    return this.#hosts.get(name);
  }

  get names(): string[] {
    return [...this.#hosts.keys()];
  }

  /** The network for one life of a process on the host. */
  open(host: Host, incarnation: Incarnation): Network {
    incarnation.onDeath(() => {
      host.ports.clear();
      host.listeners.clear();
    });
    return {
      address: host.name,
      bind: (port, receive) => {
        claim(host.ports, "bind", port, receive);
        return () => void (incarnation.alive && host.ports.delete(port));
      },
      send: (to, port, payload, fromPort = 0) => this.#send(host, incarnation, to, port, { payload, fromPort }),
      listen: (port, accept) => {
        claim(host.listeners, "listen", port, accept);
        return { port, close: () => void (incarnation.alive && host.listeners.delete(port)) };
      },
      connect: (to, port) => this.#connect(host, incarnation, to, port),
    };
  }

  #send(
    host: Host,
    sender: Incarnation,
    to: string,
    port: number,
    { payload, fromPort }: { readonly payload: unknown; readonly fromPort: number },
  ): void {
    if (!sender.alive) return;
    const link = this.links.link(host.name, to);
    if (link.cut || link.loss.strikes()) return;
    const datagram = { from: host.name, fromPort, payload: structuredClone(payload) };
    const sentAt = sender.trueNow;
    const copies = link.duplicate.strikes() ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const target = this.#hosts.get(to);
      const receiver = target?.incarnation;
      receiver?.schedule(link.latency(), link.label, () => {
        if (!this.links.reaches(host.name, to)) return;
        link.arrived?.(sentAt, `datagram to port ${port}`);
        target?.ports.get(port)?.(i === 0 ? datagram : structuredClone(datagram));
      });
    }
  }

  #connect(host: Host, dialler: Incarnation, to: string, port: number): Promise<Connection> {
    const name = to === "localhost" || to === "127.0.0.1" || to === "::1" ? host.name : to;
    const { promise, resolve, reject } = Promise.withResolvers<Connection>();
    const way = this.links.link(host.name, name);
    const back = this.links.link(name, host.name);
    const fail = (after: number, error: Error): void => void dialler.schedule(after, back.label, () => reject(error));
    const target = this.#hosts.get(name);
    if (!target) {
      fail(way.latency(), unknownHostError(name));
      return promise;
    }
    if (way.cut || back.cut || !target.powered) {
      fail(connectTimeoutMs, timedOutError(name, port));
      return promise;
    }
    const acceptor = target.incarnation;
    if (!acceptor) {
      fail(way.latency() + back.latency(), refusedError(name, port));
      return promise;
    }
    const sentAt = dialler.trueNow;
    acceptor.schedule(way.latency(), way.label, () => {
      way.arrived?.(sentAt, `connects to port ${port}`);
      const accept = target.listeners.get(port);
      if (!accept) {
        fail(back.latency(), refusedError(name, port));
        return;
      }
      const [near, far] = openConnection({
        near: host,
        nearOwner: dialler,
        far: target,
        farOwner: acceptor,
        way,
        back,
      });
      // What the acceptor says at once waits until the dialler has the connection in hand.
      near.pause();
      let broken: Error | undefined;
      near.onClose = (error) => {
        broken = error;
      };
      dialler.schedule(back.latency(), back.label, () => {
        if (broken) reject(broken);
        else resolve(near);
        near.resume();
      });
      accept(far);
    });
    // Whoever dies before it answers says nothing.
    const gaveUp = dialler.schedule(connectTimeoutMs, back.label, () => reject(timedOutError(name, port)));
    void promise.then(
      () => {
        gaveUp.cancelled = true;
      },
      () => {
        gaveUp.cancelled = true;
      },
    );
    return promise;
  }
}

/** Shorter than the kernels' own (about two minutes), as clients set it. */
const connectTimeoutMs = 10_000;

function timedOutError(host: string, port: number): Error {
  return Object.assign(new Error(`connect ETIMEDOUT ${host}:${port}`), {
    code: "ETIMEDOUT",
    syscall: "connect",
    address: host,
    port,
  });
}

function claim<T>(ports: Map<number, T>, syscall: string, port: number, handler: T): void {
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw invalidArgument("port", port, "an integer from 0 to 65535");
  if (ports.has(port))
    throw Object.assign(new Error(`${syscall} EADDRINUSE: address already in use :${port}`), {
      code: "EADDRINUSE",
      syscall,
      port,
    });
  ports.set(port, handler);
}
