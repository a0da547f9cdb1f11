import {
  AshlarError,
  type Duration,
  encodeUtf8,
  invalidArgument,
  isAshlarError,
  raceAbort,
  refuseUnknown,
  toMilliseconds,
  withDeadline,
} from "../../core/index.ts";
import { signWebhook, type WebhookSecret } from "../inbox/index.ts";
import { park } from "../queue/index.ts";
import { isPublicAddress, literalAddress } from "./addresses.ts";
import type { Deliver, DeliverContext } from "./contract.ts";
import { type Answer, createPoster, maxAnswerBytes, type Outbound, PrivateAddressError } from "./http-post.ts";
import { parseRetryAfter } from "./retry-after.ts";
import { stop } from "./stopping.ts";

/** What a message looks like on the wire; `toHttp` of CloudEvents makes one. */
export interface WebhookBody {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

export interface WebhookOptions<T = unknown> {
  /** Where to post to, http or https: always the same, or for each message. */
  readonly url: string | ((message: T, context: DeliverContext) => string);
  /** Signs by Standard Webhooks; several sign together, while one is being replaced. Default: not signed. */
  readonly secret?: WebhookSecret | readonly WebhookSecret[];
  /** Time for one request, the answer included. 1 ms to 5 minutes. Default "15s". */
  readonly timeout?: Duration;
  /** Headers of every request, such as `authorization`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How a message is written. Default: as JSON. */
  readonly encode?: (message: T, context: DeliverContext) => WebhookBody;
  /** Whether addresses may be posted to that are not public: of this machine, of private networks, of a cloud's metadata. Default false. */
  readonly allowPrivate?: boolean;
  /** What an answer of 410 (Gone) means: `"park"` the message (default), or `"stop"` the relay, which is then paused until somebody resumes it. */
  readonly gone?: "park" | "stop";
  /** The longest pause that a receiver may ask for by `Retry-After`. Default "1d". */
  readonly maxRetryAfter?: Duration;
  /** Posts instead of `node:http`: for proxies and tests. Names are then looked up by it, so only addresses that stand in the URL itself are judged. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

const names = ["url", "secret", "timeout", "headers", "encode", "allowPrivate", "gone", "maxRetryAfter", "fetch"];
const ownHeaders = /^(webhook-|content-length$|host$|connection$|transfer-encoding$|expect$|upgrade$|te$|trailer$)/i;
const minute = 60_000;

/**
 * Delivers by HTTP POST, signed by Standard Webhooks 1.0 (standardwebhooks.com). Any 2xx is a delivery; 410 and other 4xx park the message; 408, 425, 429, all of 3xx and 5xx, timeouts and
 * broken connections are retried, with 429 and 503 not before their `Retry-After`. Redirects are not followed, and no more than 16 KiB of an answer is read.
 * @throws InvalidArgumentError an option is wrong
 */
export function webhook<T = unknown>(options: WebhookOptions<T>): Deliver<T> {
  refuseUnknown(options, names);
  const { url, secret, headers = {}, encode = toJson, allowPrivate = false, gone = "park", fetch } = options;
  const timeout = toMilliseconds(options.timeout ?? "15s", "timeout", { min: 1, max: 5 * minute });
  const maxRetryAfter = toMilliseconds(options.maxRetryAfter ?? "1d", "maxRetryAfter");
  const fixed = typeof url === "function" ? undefined : toUrl(url, allowPrivate);
  if (secret !== undefined) signWebhook({ id: "check", timestamp: 0, body: "" }, secret);
  if (typeof encode !== "function") throw invalidArgument("encode", encode, "a function");
  if (typeof allowPrivate !== "boolean") throw invalidArgument("allowPrivate", allowPrivate, "true or false");
  if (gone !== "park" && gone !== "stop") throw invalidArgument("gone", gone, '"park" or "stop"');
  if (fetch !== undefined && typeof fetch !== "function") throw invalidArgument("fetch", fetch, "a function");
  const common = toHeaders(headers, "headers");
  const post = fetch === undefined ? createPoster({ allowPrivate }) : byFetch(fetch);
  return async (message, context) => {
    const { runtime } = context;
    const outbound = prepare(() => {
      const to = typeof url === "function" ? toUrl(url(message, context), allowPrivate) : (fixed as URL);
      const { headers: described = {}, body = "" } = encode(message, context);
      const bytes = typeof body === "string" ? encodeUtf8(body) : body;
      return { url: to, body: bytes, headers: { ...common, ...toHeaders(described, "encode(…).headers") } };
    });
    const signed = sign(context, outbound.body, secret);
    using limit = withDeadline(runtime, { deadlineMs: timeout, signal: context.signal, name: "the webhook" });
    const answer = await post({
      ...outbound,
      headers: { ...traceOf(context.headers), ...outbound.headers, ...signed },
      signal: limit.signal,
    }).catch((error: unknown) => {
      throw context.signal.aborted ? context.signal.reason : unanswered(outbound.url, error);
    });
    judge(answer, outbound.url, { gone, maxRetryAfter, now: runtime.clock.now() });
  };
}

/** A message that cannot be written, or has nowhere to go, is the same the next time. */
function prepare<O>(make: () => O): O {
  try {
    return make();
  } catch (cause) {
    throw park(`the request could not be made: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function sign(
  { id, runtime }: DeliverContext,
  body: Uint8Array,
  secret: WebhookOptions["secret"],
): Readonly<Record<string, string>> {
  const timestamp = runtime.clock.now();
  if (secret !== undefined) return { ...signWebhook({ id, timestamp, body }, secret) };
  return { "webhook-id": id, "webhook-timestamp": String(Math.floor(timestamp / 1000)) };
}

interface Rules {
  readonly gone: "park" | "stop";
  readonly maxRetryAfter: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

function judge({ status, retryAfter, body }: Answer, url: URL, { gone, maxRetryAfter, now }: Rules): void {
  if (status >= 200 && status < 300) return;
  const said = body.trim().replace(/\s+/g, " ").slice(0, 200);
  const what = `${where(url)} answered ${status}${said === "" ? "" : `: ${said}`}`;
  if (status === 410) throw gone === "stop" ? stop(what) : park(what);
  if (status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429) throw park(what);
  const asked = status === 429 || status === 503 ? parseRetryAfter(retryAfter, now) : undefined;
  const more = status >= 300 && status < 400 ? "; redirects are not followed" : "";
  throw undelivered(`${what}${more}`, {
    status,
    ...(asked !== undefined && asked > 0 && { retryAfterMs: Math.min(asked, maxRetryAfter) }),
  });
}

function unanswered(url: URL, error: unknown): unknown {
  if (error instanceof PrivateAddressError) return park(error.message, { cause: error });
  const reason = isAshlarError(error, "TIMEOUT") || error instanceof Error ? (error as Error).message : String(error);
  return undelivered(`${where(url)} did not answer: ${reason}`, {}, error);
}

/** Whether it took effect is known to the receiver alone. */
function undelivered(message: string, details: Readonly<Record<string, unknown>>, cause?: unknown): AshlarError {
  return new AshlarError(message, {
    code: "UNDELIVERED",
    definite: false,
    retryable: true,
    details,
    ...(cause !== undefined && { cause }),
  });
}

/** Without its query, where some receivers want their secrets. */
function where({ origin, pathname }: URL): string {
  return `${origin}${pathname}`;
}

function toUrl(given: unknown, allowPrivate: boolean): URL {
  const url = typeof given === "string" ? URL.parse(given) : null;
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:"))
    throw invalidArgument("url", given, "an absolute URL of http or https, or a function that makes one");
  if (url.username !== "" || url.password !== "")
    throw invalidArgument("url", given, "a URL without credentials; they go into headers");
  const address = literalAddress(url);
  if (!allowPrivate && address !== undefined && !isPublicAddress(address))
    throw invalidArgument("url", given, "a public address, unless allowPrivate is true");
  return url;
}

function toHeaders(given: Readonly<Record<string, string>>, name: string): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [field, value] of Object.entries(given)) {
    const path = `${name}.${field}`;
    if (!/^[!#$%&'*+\-.^_`|~\da-z]+$/i.test(field) || ownHeaders.test(field))
      throw invalidArgument(path, field, "a header's name, not one that the webhook or HTTP itself sets");
    if (typeof value !== "string" || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value))
      throw invalidArgument(path, "a value", "a text that a header can hold");
    headers[field.toLowerCase()] = value;
  }
  return headers;
}

function toJson(message: unknown): WebhookBody {
  const body = JSON.stringify(message);
  if (body === undefined) throw invalidArgument("message", message, "what JSON can write; or give encode");
  return { headers: { "content-type": "application/json" }, body };
}

/** What a header cannot hold is no trace context. */
function traceOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  const fits = ([name, value]: [string, string]): boolean =>
    (name === "traceparent" || name === "tracestate") && /^[\x20-\x7e]*$/.test(value);
  return Object.fromEntries(Object.entries(headers).filter(fits));
}

function byFetch(fetch: NonNullable<WebhookOptions["fetch"]>): (outbound: Outbound) => Promise<Answer> {
  return async ({ url, headers, body, signal }) => {
    const init: RequestInit = { method: "POST", headers, body: new Uint8Array(body), signal, redirect: "manual" };
    const response = await raceAbort(Promise.resolve(fetch(url.href, init)), signal);
    // Whatever becomes of the body, the status is known.
    const text = await raceAbort(beginningOf(response), signal).catch(() => "");
    return { status: response.status, retryAfter: response.headers.get("retry-after") ?? undefined, body: text };
  };
}

async function beginningOf({ body }: Response): Promise<string> {
  if (body === null) return "";
  const chunks: Uint8Array[] = [];
  let left = maxAnswerBytes;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk.subarray(0, left));
    left -= chunk.length;
    if (left <= 0) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}
