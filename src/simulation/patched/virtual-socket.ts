import net from "node:net";
import { Duplex } from "node:stream";
import type { Timer } from "../../core/index.ts";
import type { Incarnation } from "../incarnation.ts";
import { networkOf } from "../network/network.ts";
import type { Connection } from "../network/streams.ts";
import { addressOf, machineOf } from "./addresses.ts";
import { SimulationEscapeError } from "./escape-error.ts";
import { currentIncarnation } from "./identity.ts";

/** What a socket is told about itself by a server that accepted it. */
export interface AcceptingServer {
  _connections: number;
  _emitCloseIfDrained(): void;
}

type Done = (error?: Error | null) => void;

/** Bytes that a kernel takes from a process before the process has to wait. */
const sendBufferBytes = 64 * 1024;

let lastPort = 32_767;

/** A port for one end of a connection, as a kernel picks them. */
function ephemeralPort(): number {
  lastPort = lastPort >= 49_151 ? 32_768 : lastPort + 1;
  return lastPort;
}

/** The options of `net._normalizeArgs`, which `net.connect` and `Server.listen` take. */
export interface NormalizedOptions {
  readonly port?: number | string;
  readonly host?: string;
  readonly path?: string;
  readonly timeout?: number;
  readonly signal?: AbortSignal;
  readonly fd?: number;
  readonly handle?: unknown;
}

export function normalize(args: readonly unknown[]): [options: NormalizedOptions, callback: (() => void) | null] {
  if (Array.isArray(args[0])) return args[0] as unknown as [NormalizedOptions, (() => void) | null];
  const { _normalizeArgs } = net as unknown as {
    _normalizeArgs(args: readonly unknown[]): [NormalizedOptions, (() => void) | null];
  };
  return _normalizeArgs(args);
}

/** A `net.Socket` over a simulated connection. It extends `Duplex` because that is what its users have in hand. */
export class VirtualSocket extends Duplex {
  connecting = false;
  bytesRead = 0;
  timeout = 0;
  server: AcceptingServer | undefined;
  _server: AcceptingServer | undefined;
  readonly autoSelectFamilyAttemptedAddresses: string[] = [];
  remoteAddress: string | undefined;
  remotePort: number | undefined;
  remoteFamily: string | undefined;
  localAddress: string | undefined;
  localPort: number | undefined;
  localFamily: string | undefined;
  #owner: Incarnation | undefined;
  #connection: Connection | undefined;
  #sent = 0;
  #unacknowledged = 0;
  #waiting: Done | undefined;
  #reset = false;
  #idle: Timer | undefined;
  #lastActive = 0;

  constructor(options: { readonly allowHalfOpen?: boolean; readonly highWaterMark?: number } = {}) {
    const { allowHalfOpen = false, highWaterMark } = options;
    super({ allowHalfOpen, emitClose: false, ...(highWaterMark !== undefined && { highWaterMark }) });
    this.#owner = currentIncarnation();
    // Node closes a half that the other end has ended.
    this.on("end", () => {
      if (!this.allowHalfOpen) this.write = writeAfterEnd;
    });
  }

  get pending(): boolean {
    return !this.#connection || this.connecting;
  }

  get readyState(): "opening" | "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.connecting) return "opening";
    if (this.readable && this.writable) return "open";
    if (this.readable) return "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  get bytesWritten(): number {
    return this.#sent + this.writableLength;
  }

  get bufferSize(): number {
    return this.writableLength;
  }

  connect(...args: unknown[]): this {
    const [options, callback] = normalize(args);
    if (options.path) throw new SimulationEscapeError("a Unix socket", "listen on a port");
    const owner = currentIncarnation() ?? this.#owner;
    const network = owner && networkOf(owner)?.network;
    if (!owner || !network) throw new SimulationEscapeError("net.connect outside a node or client", "call it from one");
    this.#owner = owner;
    if (callback) this.once("connect", callback);
    if (options.timeout) this.setTimeout(options.timeout);
    this.connecting = true;
    if (!owner.alive) return this;
    const host = options.host ?? "localhost";
    const port = Number(options.port);
    network.connect(machineOf(owner, host), port).then(
      (connection) => this.#connected(connection, host, port),
      (error: Error) => {
        this.connecting = false;
        this.destroy(error);
      },
    );
    return this;
  }

  /** Takes an accepted connection. */
  accept(connection: Connection, owner: Incarnation, port: number, server: AcceptingServer): void {
    this.#owner = owner;
    this.server = server;
    this._server = server;
    this.#name(connection, port, ephemeralPort());
    this.#attach(connection);
  }

  #connected(connection: Connection, host: string, port: number): void {
    this.#name(connection, ephemeralPort(), port);
    this.#attach(connection);
    this.connecting = false;
    if (this.destroyed) {
      this.#release();
      return;
    }
    if (!net.isIP(host)) this.emit("lookup", null, this.remoteAddress, 4, host);
    this.#touch();
    this.emit("connect");
    this.emit("ready");
    if (!this.isPaused()) this.read(0);
  }

  #name(connection: Connection, localPort: number, remotePort: number): void {
    const owner = this.#owner;
    this.localPort = localPort;
    this.remotePort = remotePort;
    this.localAddress = owner && addressOf(owner, connection.localAddress);
    this.remoteAddress = owner && addressOf(owner, connection.remoteAddress);
    this.localFamily = "IPv4";
    this.remoteFamily = "IPv4";
  }

  #attach(connection: Connection): void {
    this.#connection = connection;
    connection.onData = (bytes) => {
      this.bytesRead += bytes.length;
      this.#touch();
      if (!this.push(Buffer.from(bytes))) connection.pause();
    };
    connection.onEnd = () => {
      this.push(null);
      this.read(0);
    };
    connection.onClose = (error) => {
      if (error) this.destroy(error);
    };
  }

  override _read(): void {
    this.#connection?.resume();
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: Done): void {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding) : Buffer.from(chunk);
    this.#whenConnected(() => this.#send(bytes, done));
  }

  override _writev(chunks: readonly { chunk: Buffer | string; encoding: BufferEncoding }[], done: Done): void {
    const parts = chunks.map(({ chunk, encoding }) =>
      typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk,
    );
    this.#whenConnected(() => this.#send(Buffer.concat(parts), done));
  }

  override _final(done: Done): void {
    this.#whenConnected(() => {
      this.#connection?.end();
      done();
    });
  }

  override _destroy(error: Error | null, done: Done): void {
    this.connecting = false;
    this.#idle?.cancel();
    this.#idle = undefined;
    this.#release();
    done(error);
    process.nextTick(() => this.emit("close", error !== null));
    const server = this._server;
    this._server = undefined;
    if (!server) return;
    server._connections--;
    server._emitCloseIfDrained();
  }

  /** As a kernel closes: what was written still goes out, but what comes in is answered with a reset. */
  #release(): void {
    const connection = this.#connection;
    if (!connection) return;
    if (this.#reset || this.readableLength > 0) {
      connection.destroy();
      return;
    }
    connection.onData = () => connection.destroy();
    connection.onEnd = () => {};
    connection.onClose = () => {};
    connection.end();
    connection.resume();
  }

  #whenConnected(fn: () => void): void {
    if (this.#connection) fn();
    else this.once("connect", fn);
  }

  #send(bytes: Buffer, done: Done): void {
    this.#touch();
    this.#sent += bytes.length;
    this.#unacknowledged += bytes.length;
    this.#connection?.write(bytes, () => {
      this.#unacknowledged -= bytes.length;
      this.#touch();
      const waiting = this.#waiting;
      if (!waiting || this.#unacknowledged >= sendBufferBytes) return;
      this.#waiting = undefined;
      waiting();
    });
    if (this.#unacknowledged < sendBufferBytes) process.nextTick(done);
    else this.#waiting = done;
  }

  #touch(): void {
    this.#lastActive = this.#owner?.trueNow ?? 0;
  }

  setTimeout(ms: number, callback?: () => void): this {
    this.timeout = ms;
    this.#idle?.cancel();
    this.#idle = undefined;
    if (callback) {
      if (ms === 0) this.removeListener("timeout", callback);
      else this.once("timeout", callback);
    }
    this.#touch();
    if (ms > 0) this.#watch(ms);
    return this;
  }

  /** Looks again when the time is up, rather than set a timer anew for each byte. */
  #watch(after: number): void {
    const owner = this.#owner;
    if (this.destroyed || !owner) return;
    this.#idle = owner.runtime.timers.after(after, () => {
      const left = this.timeout - (owner.trueNow - this.#lastActive);
      if (left > 0.5) this.#watch(left);
      else this.emit("timeout");
    });
  }

  _unrefTimer(): void {
    this.#touch();
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  resetAndDestroy(): this {
    this.#reset = true;
    return this.destroy();
  }

  address(): { address?: string | undefined; port?: number | undefined; family?: string | undefined } {
    if (!this.#connection) return {};
    return { address: this.localAddress, port: this.localPort, family: this.localFamily };
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

function writeAfterEnd(this: Duplex, ...args: unknown[]): boolean {
  const error = Object.assign(new Error("This socket has been ended by the other party"), { code: "EPIPE" });
  const callback = args.at(-1);
  if (typeof callback === "function") process.nextTick(callback, error);
  this.destroy(error);
  return false;
}
