import net from "node:net";
import os from "node:os";
import type { Incarnation } from "../incarnation.ts";
import { networkOf } from "../network/network.ts";
import type { Connection } from "../network/streams.ts";
import { SimulationEscapeError } from "./escape-error.ts";
import { currentIncarnation } from "./identity.ts";
import { named, replace } from "./patch.ts";
import { type AcceptingServer, type NormalizedOptions, normalize, VirtualSocket } from "./virtual-socket.ts";

interface PatchedServer extends net.Server, AcceptingServer {
  _handle: unknown;
  allowHalfOpen: boolean;
  highWaterMark?: number;
  /** `node:http`: how often it looks for requests that take too long, on a real timer. */
  connectionsCheckingInterval?: number;
}

/** Puts `node:net` on the simulated network. */
export function patchSockets(): void {
  const RealSocket = net.Socket;
  const realConnect = net.connect as (...args: unknown[]) => net.Socket;
  const PatchedSocket = new Proxy(VirtualSocket, {
    construct: (target, args, newTarget) => {
      if (!currentIncarnation()) return Reflect.construct(RealSocket, args);
      const given = args[0] as NormalizedOptions | undefined;
      if (given?.fd !== undefined || given?.handle)
        throw new SimulationEscapeError("net.Socket over a file descriptor", "use net.connect");
      return Reflect.construct(target, args, newTarget);
    },
    apply: (target, _, args) => Reflect.construct(currentIncarnation() ? target : RealSocket, args) as object,
  });
  const connect = (...args: unknown[]): unknown => {
    if (!currentIncarnation()) return realConnect(...args);
    const normalized = normalize(args);
    return new VirtualSocket(normalized[0]).connect(normalized);
  };
  replace(net, "Socket", PatchedSocket);
  replace(net, "Stream", PatchedSocket);
  replace(net, "connect", named("connect", connect));
  replace(net, "createConnection", net.connect);
  patchListen();
  const realHostname = os.hostname;
  replace(os, "hostname", () => currentIncarnation()?.name ?? realHostname());
}

function patchListen(): void {
  const { prototype } = net.Server;
  const realListen = prototype.listen as (...args: unknown[]) => net.Server;
  replace(prototype, "listen", function listen(this: PatchedServer, ...args: unknown[]): net.Server {
    const owner = currentIncarnation();
    if (!owner) return Reflect.apply(realListen, this, args);
    const [options, callback] = normalize(args);
    if (options.path !== undefined || options.fd !== undefined || options.handle !== undefined)
      throw new SimulationEscapeError("listening on anything but a port", "listen on a port");
    if (this.listening) throw alreadyListening();
    if (callback) this.once("listening", callback);
    // It would end requests by the real clock.
    if (this.connectionsCheckingInterval !== undefined) this.connectionsCheckingInterval = 2 ** 31 - 1;
    listenOn(this, owner, options);
    return this;
  });
}

function listenOn(server: PatchedServer, owner: Incarnation, { port: wanted, host, signal }: NormalizedOptions): void {
  const network = networkOf(owner)?.network;
  if (!network) throw new SimulationEscapeError("Server.listen outside a node", "call it in the node's start function");
  // A process that was killed in the middle of a function does not get this far.
  if (!owner.alive) return;
  try {
    const listener = claimPort(Number(wanted ?? 0), (port) =>
      network.listen(port, (connection) => accept(server, owner, port, connection)),
    );
    server._handle = new ListeningHandle(listener, host ?? "::");
    if (signal?.aborted) server.close();
    else signal?.addEventListener("abort", () => server.close(), { once: true });
    process.nextTick(() => {
      if (server.listening) server.emit("listening");
    });
  } catch (error) {
    process.nextTick(() => server.emit("error", Object.assign(error as Error, { address: host ?? "::" })));
  }
}

interface Claimed {
  readonly port: number;
  close(): void;
}

/** The port that was asked for, or the first free one of those that kernels give. */
function claimPort(wanted: number, listen: (port: number) => Claimed): Claimed {
  if (wanted !== 0) return listen(wanted);
  for (let port = 49_152; ; port++) {
    try {
      return listen(port);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
  }
}

function accept(server: PatchedServer, owner: Incarnation, port: number, connection: Connection): void {
  if (server.maxConnections && server._connections >= server.maxConnections) {
    connection.destroy();
    server.emit("drop", { localPort: port, remoteAddress: connection.remoteAddress });
    return;
  }
  const { allowHalfOpen, highWaterMark } = server;
  const socket = new VirtualSocket({ allowHalfOpen, ...(highWaterMark !== undefined && { highWaterMark }) });
  server._connections++;
  socket.accept(connection, owner, port, server);
  server.emit("connection", socket);
}

/** What `net.Server` keeps as its handle while it listens; its own methods ask for nothing else. */
class ListeningHandle {
  readonly #listener: Claimed;
  readonly #address: string;

  constructor(listener: Claimed, address: string) {
    this.#listener = listener;
    this.#address = address;
  }

  close(): void {
    this.#listener.close();
  }

  getsockname(into: { address?: string; family?: string; port?: number }): number {
    into.address = this.#address;
    into.family = net.isIPv4(this.#address) ? "IPv4" : "IPv6";
    into.port = this.#listener.port;
    return 0;
  }

  ref(): void {}

  unref(): void {}
}

function alreadyListening(): Error {
  const error = new Error("Listen method has been called more than once without closing.");
  return Object.assign(error, { code: "ERR_SERVER_ALREADY_LISTEN" });
}
