import { decodeUtf8, InvalidArgumentError, invalidArgument } from "../../core/index.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { isJson } from "./media-types.ts";
import { assertCloudEvent } from "./validate.ts";

/** The event as JSON (CloudEvents JSON format 1.0.2). @throws InvalidArgumentError no valid event */
export function encodeJson(event: CloudEvent): string {
  return JSON.stringify(toJson(event, "event"));
}

/** The events as one JSON array (batch format). @throws InvalidArgumentError not all are valid events */
export function encodeJsonBatch(events: readonly CloudEvent[]): string {
  if (!Array.isArray(events)) throw invalidArgument("events", events, "an array of CloudEvents");
  return JSON.stringify(events.map((event, i) => toJson(event, `events[${i}]`)));
}

/** @throws InvalidArgumentError no JSON, or no valid event */
export function decodeJson(json: string | Uint8Array): CloudEvent {
  return fromJson(parse(json), "event");
}

/** @throws InvalidArgumentError no JSON array, or not all in it are valid events */
export function decodeJsonBatch(json: string | Uint8Array): CloudEvent[] {
  const events = parse(json);
  if (!Array.isArray(events)) throw invalidArgument("events", events, "a JSON array of CloudEvents");
  return events.map((event, i) => fromJson(event, `events[${i}]`));
}

function toJson(event: CloudEvent, name: string): object {
  assertCloudEvent(event, name);
  const { data, ...attributes } = event;
  if (data === undefined) return attributes;
  if (data instanceof Uint8Array) return { ...attributes, data_base64: Buffer.from(data).toString("base64") };
  return { ...attributes, data };
}

function fromJson(given: unknown, name: string): CloudEvent {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw invalidArgument(name, given, "a JSON object");
  const { data, data_base64: base64, ...attributes } = given as Record<string, unknown>;
  const event: Record<string, unknown> = { __proto__: null };
  for (const [attribute, value] of Object.entries(attributes)) if (value !== null) event[attribute] = value;
  if (base64 !== undefined && base64 !== null) {
    if (data !== undefined) throw new InvalidArgumentError(`${name}: has both data and data_base64; only one may be`);
    event["data"] = fromBase64(base64, `${name}.data_base64`);
  } else if (data !== undefined && !(data === null && holdsText(attributes["datacontenttype"]))) {
    event["data"] = data;
  }
  assertCloudEvent(event, name);
  return { ...event };
}

/** Where data is text, `null` can only mean that there is none. */
function holdsText(contentType: unknown): boolean {
  return typeof contentType === "string" && !isJson(contentType);
}

function fromBase64(given: unknown, name: string): Uint8Array {
  if (typeof given === "string") {
    const bytes = Buffer.from(given, "base64");
    if (bytes.toString("base64") === given) return new Uint8Array(bytes);
  }
  throw invalidArgument(name, given, "base64 with padding (RFC 4648, section 4)");
}

export function parse(json: string | Uint8Array, name = "json"): unknown {
  try {
    return JSON.parse(typeof json === "string" ? json : decodeUtf8(json));
  } catch (error) {
    throw new InvalidArgumentError(`${name}: no JSON: ${(error as Error).message}`, {
      cause: error,
      details: { name },
    });
  }
}
