import net from "node:net";
import type { Incarnation } from "../incarnation.ts";
import type { Connection } from "../network/streams.ts";
import { SimulationEscapeError } from "./escape-error.ts";
import type { Identity } from "./identity.ts";
import { type ServerSide, VirtualSocket } from "./virtual-socket.ts";

/** `net.connect` and servers' `listen`, on the simulated network. */
export function patchSockets(identity: Identity): void {
  const RealSocket = net.Socket;
  const realConnect = net.connect as (...given: unknown[]) => net.Socket;
  const dial = (socket: VirtualSocket, given: readonly unknown[]): void => {
    const owner = identity.current;
    const [options, callback] = normalize([...given]);
    if (options.path)
      throw new SimulationEscapeError("a Unix socket (net.connect with a path)", "use TCP between machines");
    if (!owner) throw new SimulationEscapeError("a socket of a simulation that is over", "end it with its machine");
    if (options.timeout) socket.setTimeout(options.timeout);
    if (callback) socket.once("connect", callback);
    options.signal?.addEventListener("abort", () => socket.destroy(options.signal?.reason), { once: true });
    const { host = "localhost", port } = options;
    socket.open(() => networkOf(identity, owner).connect(host, Number(port)));
  };
  const createSocket = (owner: Incarnation, { allowHalfOpen = false }: ConnectOptions) =>
    new VirtualSocket({ owner, allowHalfOpen, dial });
  const connect = (...given: unknown[]): unknown => {
    const owner = identity.current;
    return owner ? createSocket(owner, normalize(given)[0]).connect(...given) : realConnect(...given);
  };
  const PatchedSocket = new Proxy(RealSocket, {
    construct: (target, given, newTarget) => {
      const owner = identity.current;
      const options = (given[0] ?? {}) as ConnectOptions & { readonly fd?: number; readonly handle?: unknown };
      if (!owner) return Reflect.construct(target, given, newTarget);
      if (newTarget !== PatchedSocket || options.fd !== undefined || options.handle !== undefined)
        throw new SimulationEscapeError("a subclass of net.Socket, or one over a file descriptor", "use net.connect");
      return createSocket(owner, options);
    },
  });
  // A stream of ours is a socket to whoever asks.
  const isSocket = Function.prototype[Symbol.hasInstance];
  Object.defineProperty(RealSocket, Symbol.hasInstance, {
    value: (candidate: unknown) => candidate instanceof VirtualSocket || isSocket.call(RealSocket, candidate),
  });
  Object.assign(net, { connect, createConnection: connect, Socket: PatchedSocket, Stream: PatchedSocket });
  patchListen(identity);
}

function patchListen(identity: Identity): void {
  const realListen = net.Server.prototype.listen as (...given: unknown[]) => net.Server;
  net.Server.prototype.listen = function (this: ServerSide, ...given: unknown[]) {
    const owner = identity.current;
    if (!owner) return realListen.apply(this, given);
    const [options, callback] = normalize(given);
    if (options.path) throw new SimulationEscapeError("a Unix socket (listen with a path)", "listen on a port");
    listen(identity, owner, this, { port: Number(options.port ?? 0), callback });
    return this;
  } as typeof net.Server.prototype.listen;
}

/** The forms that the arguments of `connect` and `listen` may have, as Node itself reads them. */
const normalize = (net as unknown as { _normalizeArgs(given: unknown[]): [ConnectOptions, (() => void) | null] })
  ._normalizeArgs;

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
