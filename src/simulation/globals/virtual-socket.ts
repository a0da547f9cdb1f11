import type net from "node:net";
import { Duplex } from "node:stream";
import type { Timer } from "../../core/index.ts";
import type { Incarnation } from "../incarnation.ts";
import type { Connection } from "../network/streams.ts";

/** The part of `net.Server` that a socket reports to. */
export interface ServerSide extends net.Server {
  _connections: number;
  _emitCloseIfDrained?(): void;
}

export interface SocketOptions {
  readonly owner: Incarnation;
  readonly allowHalfOpen: boolean;
  /** The server that accepted it. */
  readonly server?: ServerSide;
  /** Opens a connection for `connect`, given its arguments. */
  readonly dial?: (socket: VirtualSocket, given: readonly unknown[]) => void;
}

/** A `net.Socket` over a simulated stream of bytes: what `node:http`, undici and other protocols are given. */
export class VirtualSocket extends Duplex {
  readonly #owner: Incarnation;
  readonly server: ServerSide | undefined;
  readonly #dial: SocketOptions["dial"];
  #connection: Connection | undefined;
  #idleMs = 0;
  #idle: Timer | undefined;
  connecting = false;
  bytesRead = 0;
  bytesWritten = 0;
  readonly remotePort: number | undefined;

  constructor({ owner, allowHalfOpen, server, dial }: SocketOptions) {
    super({ allowHalfOpen, emitClose: true, autoDestroy: true });
    this.#owner = owner;
    this.server = server;
    this.#dial = dial;
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

  connect(...given: unknown[]): this {
    this.#dial?.(this, given);
    return this;
  }

  /** Becomes a connection to a machine. */
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
