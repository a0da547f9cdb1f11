/**
 * A CloudEvent 1.0 (cloudevents.io) in the shape of its JSON format: the context attributes and the extensions side by side, and the data. Attributes that are not set are absent.
 */
export interface CloudEvent<T = unknown> {
  readonly specversion: "1.0";
  /** With `source` it names the event: two events with the same pair are the same event, sent twice. */
  readonly id: string;
  /** Where it happened: a URI-reference, such as "/shop/orders" or "https://example.com/orders". */
  readonly source: string;
  /** What happened, such as "com.example.order.created". */
  readonly type: string;
  /** What it happened to, within the source. */
  readonly subject?: string;
  /** When it happened: RFC 3339. */
  readonly time?: string;
  /** Media type of the data. Absent: JSON, or, if the data is bytes, not known. */
  readonly datacontenttype?: string;
  /** An absolute URI of the schema that the data satisfies. */
  readonly dataschema?: string;
  /** A JSON value; text if `datacontenttype` is not JSON; or bytes. */
  readonly data?: T;
  /** Extensions such as `traceparent` and `partitionkey`: names of small letters and digits, values text, booleans or whole numbers of 32 bits. */
  readonly [extension: string]: unknown;
}

/** The value of a context attribute. Bytes, URIs and times are text in their canonical form. */
export type AttributeValue = string | number | boolean;

const coreAttributes: ReadonlySet<string> = new Set([
  "specversion",
  "id",
  "source",
  "type",
  "subject",
  "time",
  "datacontenttype",
  "dataschema",
]);

/** The extension attributes of an event, by name. */
export function extensionsOf(event: CloudEvent): Record<string, AttributeValue> {
  const extensions: Record<string, AttributeValue> = {};
  for (const [name, value] of Object.entries(event))
    if (name !== "data" && !coreAttributes.has(name) && value !== undefined) extensions[name] = value as AttributeValue;
  return extensions;
}

/** All context attributes that are set, extensions included, by name. */
export function attributesOf(event: CloudEvent): [string, AttributeValue][] {
  return Object.entries(event).filter(([name, value]) => name !== "data" && value !== undefined) as [
    string,
    AttributeValue,
  ][];
}
