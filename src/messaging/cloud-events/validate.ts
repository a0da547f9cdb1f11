import { InvalidArgumentError, invalidArgument } from "../../core/index.ts";
import { checkAttribute, checkExtensionName } from "./attributes.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { checkJson } from "./json-values.ts";
import { isJson } from "./media-types.ts";

const required = ["specversion", "id", "source", "type"] as const;

/**
 * Whether it is a CloudEvent 1.0 that every format can carry.
 * @param name of the value, for the message
 * @throws InvalidArgumentError what is wrong, by the attribute's name
 */
export function assertCloudEvent(value: unknown, name = "event"): asserts value is CloudEvent {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw invalidArgument(name, value, "a CloudEvent: an object of attributes and data");
  const event = value as Record<string, unknown>;
  for (const attribute of required)
    if (event[attribute] === undefined)
      throw new InvalidArgumentError(`${name}.${attribute}: missing; every CloudEvent has ${required.join(", ")}`, {
        details: { name: `${name}.${attribute}` },
      });
  for (const [attribute, given] of Object.entries(event)) {
    if (attribute === "data" || given === undefined) continue;
    const path = `${name}.${attribute}`;
    checkExtensionName(attribute, path);
    checkAttribute(attribute, given, path);
  }
  checkData(event["data"], event["datacontenttype"] as string | undefined, `${name}.data`);
}

function checkData(data: unknown, contentType: string | undefined, path: string): void {
  if (data === undefined || data instanceof Uint8Array) return;
  if (contentType === undefined || isJson(contentType)) {
    checkJson(data, path);
    return;
  }
  if (typeof data !== "string")
    throw invalidArgument(path, data, `text or bytes, as datacontenttype is ${contentType}`);
  if (!data.isWellFormed()) throw invalidArgument(path, data, "text without lone surrogates");
}
