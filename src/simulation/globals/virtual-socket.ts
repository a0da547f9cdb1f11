import net from "node:net";
import { Duplex } from "node:stream";
import type { Timer } from "../../core/index.ts";
import type { Incarnation } from "../incarnation.ts";
import type { Connection } from "../network/streams.ts";
import { SimulationEscapeError } from "./escape-error.ts";
import type { Identity } from "./identity.ts";

/** The part of `net.Server` that a socket reports to. */
export interface ServerSide extends net.Server {
  _connections: number;
  _emitCloseIfDrained?(): void;
}

export interface SocketOptions {
  readonly owner: Incarnation;
  readonly allowHalfOpen: boolean;
  readonly server?: ServerSide;
}

/** A `net.Socket` over a simulated stream of bytes: what `node:http`, undici and other protocols are given. */
export class VirtualSocket extends Duplex {
  readonly #owner: Incarnation;
  readonly server: ServerSide | undefined;
  #connection: Connection | undefined;
  #idleMs = 0;
  #idle: Timer | undefined;
  connecting = false;
  bytesRead = 0;
  bytesWritten = 0;
  readonly remotePort: number | undefined;

  constructor({ owner, allowHalfOpen, server }: SocketOptions) {
    super({ allowHalfOpen, emitClose: true, autoDestroy: true });
    this.#owner = owner;
    this.server = server;
    if (server) server._connections++;
  }

  /** The connection that the socket stands for is there. */
  attach(connection: Connection): void {
    this.#connection = connection;
    connection.onData = (bytes) => {
      this.bytesRead += bytes.length;
      this.#refresh();
      if (!this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))) connection.pause();
    };
    connection.onEnd = () => this.push(null);
    connection.onClose = (error) => {
      if (error) this.destroy(error);
      else if (!this.readableEnded && !this.destroyed) this.push(null);
    };
  }

  /** Opens a connection to the machine; `net.connect` without its arguments' forms. */
  open(connect: () => Promise<Connection>): this {
    this.connecting = true;
    connect().then(
      (connection) => {
        if (this.destroyed) {
          connection.destroy();
          return;
        }
        this.connecting = false;
        this.attach(connection);
        this.#refresh();
        this.emit("connect");
        this.emit("ready");
      },
      (error: Error) => this.destroy(error),
    );
    return this;
  }

  override _read(): void {
    this.#connection?.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.connecting) {
      this.once("connect", () => this._write(chunk, _, done));
      return;
    }
    this.bytesWritten += chunk.length;
    this.#refresh();
    // Copied: the writer may use its buffer again once `done` was called, and the bytes are still on their way.
    this.#connection?.write(Uint8Array.from(chunk), () => done());
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.connecting) {
      this.once("connect", () => this._final(done));
      return;
    }
    this.#connection?.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.connecting = false;
    this.#idle?.cancel();
    this.#connection?.destroy();
    done(error);
    if (!this.server) return;
    this.server._connections--;
    this.server._emitCloseIfDrained?.();
  }

  setTimeout(ms: number, callback?: () => void): this {
    this.#idleMs = ms;
    if (callback) {
      if (ms === 0) this.off("timeout", callback);
      else this.once("timeout", callback);
    }
    this.#refresh();
    return this;
  }

  #refresh(): void {
    this.#idle?.cancel();
    if (this.#idleMs > 0) this.#idle = this.#owner.runtime.timers.after(this.#idleMs, () => void this.emit("timeout"));
  }

  get timeout(): number | undefined {
    return this.#idleMs === 0 ? undefined : this.#idleMs;
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  resetAndDestroy(): this {
    return this.destroy();
  }

  get remoteAddress(): string | undefined {
    return this.#connection?.remoteAddress;
  }

  get remoteFamily(): string {
    return "IPv4";
  }

  get localAddress(): string | undefined {
    return this.#connection?.localAddress;
  }

  get localPort(): number | undefined {
    return this.#connection && 0;
  }

  get pending(): boolean {
    return this.#connection === undefined;
  }

  get readyState(): string {
    if (this.connecting) return "opening";
    if (this.readable && this.writable) return "open";
    return this.readable ? "readOnly" : this.writable ? "writeOnly" : "closed";
  }

  address(): object {
    return { address: this.localAddress, family: "IPv4", port: this.localPort };
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

/** `net.connect` and servers' `listen`, on the simulated network. */
export function patchSockets(identity: Identity): void {
  const realConnect = net.connect;
  const realListen = net.Server.prototype.listen;
  const realSocketConnect = net.Socket.prototype.connect;
  const normalize = (net as unknown as { _normalizeArgs(given: unknown[]): [ConnectOptions, (() => void) | null] })
    ._normalizeArgs;

  const connect = (...given: unknown[]): unknown => {
    const owner = identity.current;
    if (!owner) return (realConnect as (...given: unknown[]) => unknown)(...given);
    const [options, callback] = normalize(given);
    if (options.path)
      throw new SimulationEscapeError("a Unix socket (net.connect with a path)", "use TCP between machines");
    const host = options.host ?? "localhost";
    const socket = new VirtualSocket({ owner, allowHalfOpen: options.allowHalfOpen ?? false });
    if (options.timeout) socket.setTimeout(options.timeout);
    if (callback) socket.once("connect", callback);
    options.signal?.addEventListener("abort", () => socket.destroy(options.signal?.reason), { once: true });
    return socket.open(() => networkOf(identity, owner).connect(host, Number(options.port)));
  };

  net.connect = connect as typeof net.connect;
  net.createConnection = connect as typeof net.createConnection;
  net.Socket.prototype.connect = function (this: net.Socket, ...given: never[]) {
    if (!identity.current) return (realSocketConnect as (...given: never[]) => net.Socket).apply(this, given);
    throw new SimulationEscapeError("new net.Socket().connect", "use net.connect");
  } as typeof realSocketConnect;
  // A stream of ours is a socket to whoever asks.
  Object.defineProperty(net.Socket, Symbol.hasInstance, {
    value: (candidate: unknown) =>
      candidate instanceof VirtualSocket || Function.prototype[Symbol.hasInstance].call(net.Socket, candidate),
  });
  net.Server.prototype.listen = function (this: ServerSide, ...given: unknown[]) {
    const owner = identity.current;
    if (!owner) return (realListen as (...given: unknown[]) => net.Server).apply(this, given);
    const [options, callback] = normalize(given);
    if (options.path) throw new SimulationEscapeError("a Unix socket (listen with a path)", "listen on a port");
    listen(identity, owner, this, { port: Number(options.port ?? 0), callback });
    return this;
  } as typeof realListen;
}

interface ConnectOptions {
  readonly port?: number | string;
  readonly host?: string;
  readonly path?: string;
  readonly allowHalfOpen?: boolean;
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

function networkOf(identity: Identity, owner: Incarnation) {
  const network = identity.surroundingsOf(owner)?.network;
  if (!network)
    throw new SimulationEscapeError(`a socket of ${owner.name}`, "only nodes and clients are on the network");
  return network;
}

/** Ports that the system chooses. */
const firstEphemeralPort = 49_152;

function listen(
  identity: Identity,
  owner: Incarnation,
  server: ServerSide,
  { port, callback }: { readonly port: number; readonly callback: (() => void) | null },
): void {
  const network = networkOf(identity, owner);
  if (callback) server.once("listening", callback);
  const accept = (connection: Connection): void => {
    if (server.maxConnections && server._connections >= server.maxConnections) {
      connection.destroy();
      return;
    }
    const { allowHalfOpen = false } = server as { allowHalfOpen?: boolean };
    const socket = new VirtualSocket({ owner, allowHalfOpen, server });
    socket.attach(connection);
    server.emit("connection", socket);
  };
  try {
    const listener = port === 0 ? listenAnywhere((free) => network.listen(free, accept)) : network.listen(port, accept);
    // What `net.Server` asks of its handle.
    const handle = {
      getsockname: (out: Record<string, unknown>) =>
        void Object.assign(out, { address: network.address, family: "IPv4", port: listener.port }),
      close: (done?: () => void) => {
        listener.close();
        if (done) process.nextTick(done);
      },
      ref: () => {},
      unref: () => {},
    };
    Object.assign(server, { _handle: handle });
    process.nextTick(() => {
      server.emit("listening");
      stopRealInterval(server);
    });
  } catch (error) {
    process.nextTick(() => server.emit("error", error));
  }
}

function listenAnywhere<T>(tryPort: (port: number) => T): T {
  for (let port = firstEphemeralPort; ; port++) {
    try {
      return tryPort(port);
    } catch (error) {
      if ((error as { code?: string }).code !== "EADDRINUSE" || port === 65_535) throw error;
    }
  }
}

/** An HTTP server looks after slow requests by a real interval, which virtual time knows nothing of. */
function stopRealInterval(server: object): void {
  for (const symbol of Object.getOwnPropertySymbols(server)) {
    if (symbol.description !== "http.server.connectionsCheckingInterval") continue;
    clearInterval((server as Record<symbol, NodeJS.Timeout>)[symbol]);
  }
}
