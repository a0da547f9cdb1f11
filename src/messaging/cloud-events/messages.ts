import {
  createIds,
  InvalidArgumentError,
  invalidArgument,
  type Runtime,
  refuseUnknown,
  systemRuntime,
} from "../../core/index.ts";
import { checkAttribute, checkExtensionName } from "./attributes.ts";
import { type AttributeValue, type CloudEvent, extensionsOf } from "./cloud-event.ts";
import { parseTimestamp } from "./timestamps.ts";
import { assertCloudEvent } from "./validate.ts";

/** An event as a program has it: what of a CloudEvent is envelope is apart from what is the program's own. */
export interface EventMessage<T = unknown> {
  /** Default: a fresh one, that sorts by time. */
  readonly id?: string;
  /** What happened: "order.created". */
  readonly type: string;
  /** Where: a URI-reference. */
  readonly source: string;
  /** What it happened to. */
  readonly subject?: string;
  /** When: milliseconds since the epoch. Default: now. */
  readonly time?: number | Date;
  /** A JSON value, text (with a `datacontenttype` other than JSON), or bytes. */
  readonly data?: T;
  /** Events of one key are kept in order: the extension `partitionkey`. */
  readonly key?: string;
  /** Default "application/json", for bytes "application/octet-stream". */
  readonly datacontenttype?: string;
  readonly dataschema?: string;
  /** Other extensions, such as `traceparent`: names of small letters and digits. */
  readonly headers?: Readonly<Record<string, AttributeValue>>;
}

/** What `fromCloudEvent` gives: nothing is missing that a CloudEvent must have. */
export interface ReceivedEvent<T = unknown> extends EventMessage<T> {
  readonly id: string;
  readonly time?: number;
  readonly headers: Readonly<Record<string, AttributeValue>>;
}

const names = ["id", "type", "source", "subject", "time", "data", "key", "datacontenttype", "dataschema", "headers"];

/** Sources of ids, one for each runtime: ids of one process ascend. */
const idsOf = new WeakMap<Runtime, ReturnType<typeof createIds>>();

/**
 * The message as a CloudEvent.
 * @param options `runtime`: where the clock and chance of a default id and time come from
 * @throws InvalidArgumentError it would be no valid CloudEvent
 */
export function toCloudEvent<T>(message: EventMessage<T>, options: { readonly runtime?: Runtime } = {}): CloudEvent<T> {
  refuseUnknown(message, names, "message");
  const { runtime = systemRuntime } = options;
  const { id, type, source, subject, time, data, key, dataschema, headers = {} } = message;
  const contentType = message.datacontenttype ?? defaultType(data);
  const event: Record<string, unknown> = {
    specversion: "1.0",
    id: id ?? freshId(runtime),
    source,
    type,
    ...(subject !== undefined && { subject }),
    time: toTimestamp(time ?? runtime.clock.now()),
    ...(contentType !== undefined && { datacontenttype: contentType }),
    ...(dataschema !== undefined && { dataschema }),
    ...(key !== undefined && { partitionkey: checkKey(key) }),
  };
  for (const [name, value] of Object.entries(headers)) {
    const path = `message.headers.${name}`;
    checkExtensionName(name, path);
    if (name in event || names.includes(name))
      throw new InvalidArgumentError(`${path}: this attribute has a place of its own in the message`);
    checkAttribute(name, value, path);
    event[name] = value;
  }
  if (data !== undefined) event["data"] = data;
  assertCloudEvent(event, "message");
  return event as CloudEvent<T>;
}

/**
 * The event as a program has it: the extension `partitionkey` as `key`, the time as a number, other extensions as headers.
 * @throws InvalidArgumentError no valid CloudEvent
 */
export function fromCloudEvent<T = unknown>(event: CloudEvent<T>): ReceivedEvent<T> {
  assertCloudEvent(event);
  const { id, type, source, subject, time, data, datacontenttype, dataschema } = event as CloudEvent<T>;
  const { partitionkey, ...headers } = extensionsOf(event);
  const ms = time === undefined ? undefined : parseTimestamp(time);
  return {
    id,
    type,
    source,
    ...(subject !== undefined && { subject }),
    ...(ms !== undefined && { time: ms }),
    ...(data !== undefined && { data }),
    ...(partitionkey !== undefined && { key: String(partitionkey) }),
    ...(datacontenttype !== undefined && { datacontenttype }),
    ...(dataschema !== undefined && { dataschema }),
    headers,
  };
}

function defaultType(data: unknown): string | undefined {
  if (data === undefined) return undefined;
  return data instanceof Uint8Array ? "application/octet-stream" : "application/json";
}

function freshId(runtime: Runtime): string {
  let ids = idsOf.get(runtime);
  if (ids === undefined) {
    ids = createIds(runtime);
    idsOf.set(runtime, ids);
  }
  return ids.next();
}

function toTimestamp(time: number | Date): string {
  const date = new Date(time);
  const year = date.getUTCFullYear();
  if (!(year >= 0 && year <= 9999))
    throw invalidArgument("message.time", time, "milliseconds since the epoch, or a Date, of the years 0 to 9999");
  return date.toISOString();
}

function checkKey(key: unknown): string {
  if (typeof key === "string" && key !== "") return key;
  throw invalidArgument("message.key", key, "a text that is not empty");
}
