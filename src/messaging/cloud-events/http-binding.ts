import { decodeUtf8, encodeUtf8, InvalidArgumentError, invalidArgument, UnsupportedError } from "../../core/index.ts";
import { checkExtensionName } from "./attributes.ts";
import { attributesOf, type CloudEvent } from "./cloud-event.ts";
import { decodeHeaderValue, encodeHeaderValue } from "./header-values.ts";
import { decodeJson, decodeJsonBatch, encodeJson, encodeJsonBatch, parse } from "./json-format.ts";
import { essenceOf, formOf } from "./media-types.ts";
import { assertCloudEvent } from "./validate.ts";

/** What goes into a request or a response: hand both to `fetch`. */
export interface HttpMessage {
  /** Names in small letters. */
  readonly headers: Readonly<Record<string, string>>;
  /** Absent: without a body. */
  readonly body?: Uint8Array<ArrayBuffer>;
}

/** What came with a request or a response: `Headers`, or the object of Node's `IncomingMessage`. */
export interface ReceivedMessage {
  readonly headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body?: Uint8Array | string | undefined;
}

export interface Received {
  readonly mode: "binary" | "structured" | "batch";
  /** One, but in a batch any number. */
  readonly events: readonly CloudEvent[];
}

const structured = "application/cloudevents+json";
const batch = "application/cloudevents-batch+json";

/**
 * The event as an HTTP message (HTTP binding 1.0.2). `binary` (default): the attributes in `ce-` headers, the data as the body; `structured`: all in a body of JSON.
 * @throws InvalidArgumentError no valid event
 */
export function toHttp(event: CloudEvent, options: { readonly mode?: "binary" | "structured" } = {}): HttpMessage {
  const { mode = "binary" } = options;
  if (mode === "structured") return jsonMessage(structured, encodeJson(event));
  if (mode !== "binary") throw invalidArgument("mode", mode, '"binary" or "structured"');
  assertCloudEvent(event);
  const headers: Record<string, string> = { __proto__: null as never };
  for (const [name, value] of attributesOf(event))
    if (name !== "datacontenttype") headers[`ce-${name}`] = encodeHeaderValue(String(value));
  const { data, datacontenttype } = event;
  // JSON data without a type is JSON by the JSON format's rule; HTTP has none such, so it is said.
  const contentType = datacontenttype ?? (isStructure(data) ? "application/json" : undefined);
  if (contentType !== undefined) headers["content-type"] = contentType;
  if (data === undefined) return { headers: { ...headers } };
  return { headers: { ...headers }, body: toBody(data, contentType) };
}

/** The events as one HTTP message in batched mode. @throws InvalidArgumentError not all are valid events */
export function toHttpBatch(events: readonly CloudEvent[]): HttpMessage {
  return jsonMessage(batch, encodeJsonBatch(events));
}

/**
 * The events of an HTTP message, in whichever mode it is.
 * @throws InvalidArgumentError it is no CloudEvent, or no valid one
 * @throws UnsupportedError an event format other than JSON
 */
export function fromHttp({ headers: given, body = "" }: ReceivedMessage): Received {
  const headers = toHeaders(given);
  const contentType = headers.get("content-type");
  const essence = essenceOf(contentType ?? "");
  if (essence === structured) return { mode: "structured", events: [decodeJson(body)] };
  if (essence === batch) return { mode: "batch", events: decodeJsonBatch(body) };
  if (essence.startsWith("application/cloudevents"))
    throw new UnsupportedError(`${essence}: of the event formats only JSON is understood`, { details: { essence } });
  if (!headers.has("ce-specversion"))
    throw new InvalidArgumentError(
      `headers: no CloudEvent: neither ce-specversion nor a content-type of ${structured} or ${batch}`,
    );
  return { mode: "binary", events: [fromBinary(headers, contentType, body)] };
}

function fromBinary(
  headers: ReadonlyMap<string, string>,
  contentType: string | undefined,
  body: Uint8Array | string,
): CloudEvent {
  const event: Record<string, unknown> = { __proto__: null };
  for (const [header, value] of headers) {
    if (!header.startsWith("ce-")) continue;
    const name = header.slice(3);
    checkExtensionName(name, `headers.${header}`);
    if (name === "datacontenttype")
      throw new InvalidArgumentError("headers.ce-datacontenttype: the type of the data belongs into content-type");
    event[name] = decodeHeaderValue(value, `headers.${header}`);
  }
  if (contentType !== undefined) event["datacontenttype"] = contentType;
  if (body.length > 0) event["data"] = fromBody(body, contentType);
  assertCloudEvent(event);
  return { ...event };
}

function isStructure(data: unknown): boolean {
  return data !== undefined && !(data instanceof Uint8Array);
}

function toBody(data: unknown, contentType: string | undefined): Uint8Array<ArrayBuffer> {
  if (data instanceof Uint8Array) return new Uint8Array(data);
  const isText = contentType !== undefined && formOf(contentType) !== "json";
  return new Uint8Array(encodeUtf8(isText ? String(data) : JSON.stringify(data)));
}

function fromBody(body: Uint8Array | string, contentType: string | undefined): unknown {
  const form = contentType === undefined ? "bytes" : formOf(contentType);
  if (form === "json") return parse(body, "body");
  if (form === "bytes") return typeof body === "string" ? encodeUtf8(body) : new Uint8Array(body);
  if (typeof body === "string") return body;
  try {
    return decodeUtf8(body);
  } catch {
    // A sender that is wrong about its charset: the bytes are what is certain.
    return new Uint8Array(body);
  }
}

function toHeaders(given: ReceivedMessage["headers"]): Map<string, string> {
  const headers = new Map<string, string>();
  const entries = given instanceof Headers ? given.entries() : Object.entries(given);
  for (const [name, value] of entries) {
    const key = name.toLowerCase();
    if (value === undefined || !(key.startsWith("ce-") || key === "content-type")) continue;
    if (typeof value !== "string" || headers.has(key)) throw invalidArgument(`headers.${key}`, value, "one value");
    headers.set(key, value);
  }
  return headers;
}

function jsonMessage(type: string, json: string): HttpMessage {
  return { headers: { "content-type": `${type}; charset=utf-8` }, body: new Uint8Array(encodeUtf8(json)) };
}
