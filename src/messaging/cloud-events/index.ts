/** CloudEvents 1.0: the envelope in which events leave and enter, its JSON format and HTTP binding; and what chooses among events: patterns of names, and filters as data. */
export { type AttributeValue, type CloudEvent, extensionsOf } from "./cloud-event.ts";
export { compileFilter, type EventFilter, type EventPredicate, type Filterable } from "./filter.ts";
export {
  fromHttp,
  type HttpMessage,
  type Received,
  type ReceivedMessage,
  toHttp,
  toHttpBatch,
} from "./http-binding.ts";
export { decodeJson, decodeJsonBatch, encodeJson, encodeJsonBatch } from "./json-format.ts";
export { type EventMessage, fromCloudEvent, type ReceivedEvent, toCloudEvent } from "./messages.ts";
export { compilePattern, matchPattern, type NamePattern } from "./pattern.ts";
export { assertCloudEvent } from "./validate.ts";
