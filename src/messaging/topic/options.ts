import { encodeValue, invalidArgument, limitExceeded, refuseUnknown, toMilliseconds } from "../../core/index.ts";
import type { LogRecord } from "../../engine/index.ts";
import { compileFilter, compilePattern, type EventFilter } from "../cloud-events/index.ts";
import type { From, PublishOptions, SubscribeOptions, TopicOptions } from "./contract.ts";
import type { More, Reading } from "./event-record.ts";
import { toPlainEvent } from "./event-record.ts";

const year = 366 * 24 * 3600 * 1000;
const maxHeaderBytes = 8 * 1024;

export interface TopicSettings<T> extends Reading<T> {
  /** Milliseconds. */
  readonly retention: number;
}

export function toTopicSettings<T>(name: string, options: TopicOptions<T>): TopicSettings<T> {
  refuseUnknown(options, ["schema", "version", "upgrade", "retention"]);
  const { schema, version = 1, upgrade } = options;
  if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function")
    throw invalidArgument("schema", schema, "a schema that follows Standard Schema (standardschema.dev)");
  if (!Number.isInteger(version) || version < 1 || version > 1e6)
    throw invalidArgument("version", version, "a whole number from 1 to 1,000,000");
  if (upgrade !== undefined && typeof upgrade !== "function") throw invalidArgument("upgrade", upgrade, "a function");
  const retention = toMilliseconds(options.retention ?? "7d", "retention", { max: 100 * year });
  return { topic: name, schema, version, upgrade, retention };
}

export interface Publication {
  readonly id: string | undefined;
  readonly type: string;
  readonly more: More | undefined;
}

export function toPublication(options: PublishOptions, settings: TopicSettings<unknown>): Publication {
  refuseUnknown(options, ["tx", "key", "type", "subject", "id", "headers", "signal"]);
  const { key, subject, headers, id, type } = options;
  if (type !== undefined) assertName(type, "type");
  const more: More = {
    ...(key !== undefined && { key: text(key, "key") }),
    ...(subject !== undefined && { subject: text(subject, "subject") }),
    ...(headers !== undefined && { headers: toHeaders(headers) }),
    ...(settings.version !== 1 && { version: settings.version }),
  };
  return {
    id: id === undefined ? undefined : text(id, "id"),
    type: type ?? settings.topic,
    more: Object.keys(more).length === 0 ? undefined : more,
  };
}

/** A dotted name without wildcards. */
function assertName(given: string, name: string): void {
  if (typeof given !== "string" || compilePattern(given).only === undefined)
    throw invalidArgument(name, given, "tokens separated by dots, without wildcards");
}

export function text(given: unknown, name: string): string {
  if (typeof given !== "string" || given.length === 0 || given.length > 200)
    throw invalidArgument(name, given, "a text of 1 to 200 characters");
  return given;
}

function toHeaders(given: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw invalidArgument("headers", given, "an object of texts");
  for (const [name, value] of Object.entries(given))
    if (typeof value !== "string") throw invalidArgument(`headers.${name}`, value, "a text");
  const bytes = encodeValue(given, "headers").length;
  if (bytes > maxHeaderBytes) throw limitExceeded("headers", bytes, maxHeaderBytes, "bytes encoded");
  return { ...given };
}

/** Whether an event is chosen. */
export function toChoice(
  topic: string,
  types: string | readonly string[] | undefined,
  filter: EventFilter | readonly EventFilter[] | undefined,
): (record: LogRecord) => boolean {
  const patterns = types === undefined ? undefined : [types].flat().map((each) => compilePattern(each as string));
  const holds = filter === undefined ? undefined : compileFilter(filter);
  if (!patterns && !holds) return () => true;
  return (record) => {
    const event = toPlainEvent(topic, record);
    if (patterns && !patterns.some((pattern) => pattern.matches(event.type))) return false;
    const { headers, data, id, type, subject, key } = event;
    return holds === undefined || holds({ ...headers, id, type, subject, key, data });
  };
}

export function assertFrom(from: From): void {
  if (from === "start" || from === "end") return;
  if (typeof from === "object" && from !== null) {
    refuseUnknown(from, ["offset", "time"], "from");
    if ("offset" in from && Number.isSafeInteger(from.offset) && from.offset >= 0) return;
    if ("time" in from && Number.isFinite(Number(from.time))) return;
  }
  throw invalidArgument("from", from, '"start", "end", { offset } or { time }');
}

const workNames = ["concurrency", "prefetch", "timeout", "drain", "signal"] as const;
const consumerNames = ["retry", "deadLetter", "lease"] as const;

/** The parts of a subscription's options for the consumer and its worker. */
export function splitOptions<T>(options: SubscribeOptions<T>): {
  readonly work: Pick<SubscribeOptions<T>, (typeof workNames)[number]>;
  readonly consumer: Pick<SubscribeOptions<T>, (typeof consumerNames)[number]>;
} {
  refuseUnknown(options, [...workNames, ...consumerNames, "from", "types", "filter", "order", "classify"]);
  const { from = "end", order, classify } = options;
  assertFrom(from);
  if (order !== undefined && order !== "key") throw invalidArgument("order", order, '"key", or none at all');
  if (classify !== undefined && typeof classify !== "function")
    throw invalidArgument("classify", classify, "a function");
  return { work: pick(options, workNames), consumer: pick(options, consumerNames) };
}

function pick<O extends object, K extends keyof O>(options: O, names: readonly K[]): Pick<O, K> {
  return Object.fromEntries(
    names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  ) as Pick<O, K>;
}
