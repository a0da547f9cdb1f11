import { lookup as resolveHost } from "node:dns";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { LookupFunction } from "node:net";
import { isPublicAddress } from "./addresses.ts";

/** What came back, as far as it is looked at. */
export interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** The beginning of the body. */
  readonly body: string;
}

export interface Outbound {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

/** Bytes of a body that are read; a longer one is cut off with its connection. */
export const maxAnswerBytes = 16 * 1024;

/** The name leads to an address that is not public. */
export class PrivateAddressError extends Error {
  constructor(host: string, address: string) {
    super(`${host} leads to ${address}, which is no public address; allowPrivate lets it pass`);
    this.name = "PrivateAddressError";
  }
}

/**
 * Posts over HTTP or HTTPS, following no redirects. Addresses are judged where the connection is made, so that a name that changes its address in between (DNS rebinding) gains nothing.
 * Connections are kept for the next message.
 */
export function createPoster(options: { readonly allowPrivate: boolean }): (outbound: Outbound) => Promise<Answer> {
  // Agents of their own: a connection that somebody else made to a private address must not be used again here.
  const settings = { keepAlive: true, ...(!options.allowPrivate && { lookup: publicLookup }) };
  const agents = { http: new HttpAgent(settings), https: new HttpsAgent(settings) };
  return (outbound) => post(outbound, agents, true);
}

interface Agents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
}

function post(outbound: Outbound, agents: Agents, mayRepeat: boolean): Promise<Answer> {
  const { url, headers, body, signal } = outbound;
  return new Promise<Answer>((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const options = { method: "POST", headers: { ...headers, "content-length": String(body.length) } };
    const request =
      url.protocol === "https:"
        ? httpsRequest(url, { ...options, agent: agents.https })
        : httpRequest(url, { ...options, agent: agents.http });
    const onAbort = (): void => void request.destroy(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    const done = (): void => signal.removeEventListener("abort", onAbort);
    request.on("close", done);
    let answered = false;
    request.on("error", (error: NodeJS.ErrnoException) => {
      done();
      // What comes after the status changes nothing about it.
      if (answered) return;
      if (signal.aborted) reject(signal.reason);
      // The receiver had closed the kept connection before the request came.
      else if (mayRepeat && request.reusedSocket && error.code === "ECONNRESET")
        post(outbound, agents, false).then(resolve, reject);
      else reject(error);
    });
    request.on("response", (response) => {
      answered = true;
      const { statusCode: status = 0, headers: given } = response;
      readBody(response).then((text) => resolve({ status, retryAfter: given["retry-after"], body: text }), reject);
    });
    request.end(body);
  });
}

/** As much as there is of it, as is allowed, and as comes before the signal aborts, which destroys the response. */
async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let left = maxAnswerBytes;
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      chunks.push(chunk.subarray(0, left));
      left -= chunk.length;
      // Leaving the loop destroys the response and its connection.
      if (left <= 0) break;
    }
  } catch {}
  return Buffer.concat(chunks).toString("utf8");
}

const publicLookup: LookupFunction = (host, options, callback) => {
  resolveHost(host, options, (error, found, family) => {
    if (error) {
      callback(error, found as string, family);
      return;
    }
    const addresses = Array.isArray(found) ? found.map(({ address }) => address) : [found as string];
    const bad = addresses.find((address) => !isPublicAddress(address));
    if (bad !== undefined) callback(new PrivateAddressError(host, bad), "", 0);
    else callback(null, found, family);
  });
};
