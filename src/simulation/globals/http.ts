import http from "node:http";
import type { Incarnation } from "../incarnation.ts";
import type { Identity } from "./identity.ts";

/**
 * `node:http` and `fetch` keep connections in pools that all of a process shares. Machines in a simulation share nothing: each life of a process gets
 * pools of its own.
 */
export function patchHttp(identity: Identity): void {
  const agents = new WeakMap<Incarnation, http.Agent>();
  const agentOf = (owner: Incarnation): http.Agent => {
    let agent = agents.get(owner);
    if (!agent) {
      agent = new http.Agent({ keepAlive: true, scheduling: "lifo", timeout: 5000 });
      agents.set(owner, agent);
    }
    return agent;
  };
  const realRequest = http.request;
  const request = (...given: unknown[]): http.ClientRequest => {
    const owner = identity.current;
    const call = realRequest as (...given: unknown[]) => http.ClientRequest;
    return owner ? call(...withAgent(given, () => agentOf(owner))) : call(...given);
  };
  http.request = request as typeof http.request;
  http.get = ((...given: unknown[]) => {
    const sent = request(...given);
    sent.end();
    return sent;
  }) as typeof http.get;
  patchPoolNames(identity);
  patchDateHeader();
  patchFetch(identity);
}

/**
 * An agent files its sockets under a name. With the process in it, an agent that all machines share, because their module made it, gives no socket of one
 * machine to another.
 */
function patchPoolNames(identity: Identity): void {
  const pools = new WeakMap<Incarnation, string>();
  let last = 0;
  const { prototype } = http.Agent;
  const realGetName = prototype.getName;
  prototype.getName = function (this: http.Agent, options) {
    const name = realGetName.call(this, options);
    const owner = identity.current;
    if (!owner) return name;
    const pool = pools.get(owner) ?? `:${owner.name}#${++last}`;
    pools.set(owner, pool);
    return name + pool;
  };
}

function withAgent(given: unknown[], agent: () => http.Agent): unknown[] {
  const at = typeof given[0] === "string" || given[0] instanceof URL ? 1 : 0;
  const options = typeof given[at] === "object" && given[at] !== null ? (given[at] as http.RequestOptions) : undefined;
  if (options?.agent !== undefined) return given;
  const rest = given.slice(options ? at + 1 : at);
  return [...given.slice(0, at), { ...options, agent: agent() }, ...rest];
}

/** Node fills in the header from a clock that it has read before anything was patched. */
function patchDateHeader(): void {
  const { prototype } = http.ServerResponse;
  const realWriteHead = prototype.writeHead;
  prototype.writeHead = function (this: http.ServerResponse, ...given: never[]) {
    if (this.sendDate && !this.hasHeader("date")) this.setHeader("Date", new Date().toUTCString());
    return (realWriteHead as (...given: never[]) => http.ServerResponse).apply(this, given);
  } as typeof realWriteHead;
}

function patchFetch(identity: Identity): void {
  const realFetch = globalThis.fetch;
  const dispatchers = new WeakMap<Incarnation, object>();
  const dispatcherOf = (owner: Incarnation): object => {
    let dispatcher = dispatchers.get(owner);
    if (!dispatcher) {
      // The class of the dispatcher that Node's own fetch makes when it is first needed.
      const shared = (globalThis as Record<symbol, unknown>)[Symbol.for("undici.globalDispatcher.1")] as object;
      dispatcher = new (shared.constructor as new () => object)();
      dispatchers.set(owner, dispatcher);
    }
    return dispatcher;
  };
  globalThis.fetch = (input, init) => {
    const owner = identity.current;
    if (!owner || (init as { dispatcher?: unknown } | undefined)?.dispatcher) return realFetch(input, init);
    return realFetch(input, { ...init, dispatcher: dispatcherOf(owner) } as RequestInit);
  };
}

/** Makes Node load undici and set up its shared state before anything is patched or simulated. */
export async function warmFetch(): Promise<void> {
  await fetch("data:,").then((response) => response.text());
}
