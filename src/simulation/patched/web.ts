import http from "node:http";
import type { Incarnation } from "../incarnation.ts";
import { currentIncarnation } from "./identity.ts";
import { replace } from "./patch.ts";

/** Keeps connection pools of different machines apart and the real date out of headers. */
export function patchWeb(): void {
  patchAgents();
  patchDateHeader();
  patchFetch();
}

const poolNames = new WeakMap<Incarnation, string>();
let pools = 0;

/** An `http.Agent` files its sockets under a name: with the process in it, none is given to another one. */
function patchAgents(): void {
  const { prototype } = http.Agent;
  const realGetName = prototype.getName;
  replace(prototype, "getName", function getName(this: http.Agent, options?: http.AgentGetNameOptions): string {
    const name = Reflect.apply(realGetName, this, [options]);
    const incarnation = currentIncarnation();
    if (!incarnation) return name;
    let pool = poolNames.get(incarnation);
    if (pool === undefined) {
      pool = `:${incarnation.name}#${pools++}`;
      poolNames.set(incarnation, pool);
    }
    return name + pool;
  });
}

interface StoringMessage extends http.OutgoingMessage {
  sendDate: boolean;
}

/** Node keeps the text of the date for a second of real time. So the header is added where the first line is. */
function patchDateHeader(): void {
  const prototype = http.OutgoingMessage.prototype as unknown as Record<string, unknown>;
  const realStore = prototype["_storeHeader"] as (firstLine: string, headers: unknown) => void;
  replace(prototype, "_storeHeader", function storeHeader(this: StoringMessage, firstLine: string, headers: unknown) {
    if (!this.sendDate || !currentIncarnation()) return Reflect.apply(realStore, this, [firstLine, headers]);
    const date = hasDate(this, headers) ? "" : `Date: ${new Date().toUTCString()}\r\n`;
    this.sendDate = false;
    try {
      return Reflect.apply(realStore, this, [firstLine + date, headers]);
    } finally {
      this.sendDate = true;
    }
  });
}

function hasDate(message: http.OutgoingMessage, headers: unknown): boolean {
  if (message.hasHeader("date")) return true;
  const names = Array.isArray(headers) ? headers.flat() : Object.keys(headers ?? {});
  return names.some((name) => String(name).toLowerCase() === "date");
}

interface Dispatcher {
  readonly constructor: new (options?: object) => Dispatcher;
}

const globalDispatcher = Symbol.for("undici.globalDispatcher.1");

/** Gives each process a dispatcher of its own, for `fetch` keeps its connections there. */
function patchFetch(): void {
  const realFetch = globalThis.fetch;
  const dispatchers = new WeakMap<Incarnation, Dispatcher>();
  const dispatcherOf = (incarnation: Incarnation): Dispatcher => {
    let dispatcher = dispatchers.get(incarnation);
    if (!dispatcher) {
      const { constructor: Agent } = (globalThis as unknown as Record<symbol, Dispatcher>)[globalDispatcher] as Dispatcher;
      dispatcher = new Agent();
      dispatchers.set(incarnation, dispatcher);
    }
    return dispatcher;
  };
  const fetch = (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const incarnation = currentIncarnation();
    if (!incarnation) return realFetch(input, init);
    // Undici reads the option `dispatcher`, which the standard does not have.
    return realFetch(input, { dispatcher: dispatcherOf(incarnation), ...init } as RequestInit);
  };
  replace(globalThis, "fetch", fetch);
}
