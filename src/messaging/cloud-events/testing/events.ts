import fc from "fast-check";
import { assertCloudEvent, type CloudEvent } from "../index.ts";

/** Nothing but what every event must have. */
export const minimal: CloudEvent = { specversion: "1.0", id: "1", source: "/orders", type: "order.created" };

const text = fc.string({ unit: "binary", minLength: 1 }).filter((each) => {
  try {
    assertCloudEvent({ ...minimal, id: each });
    return true;
  } catch {
    return false;
  }
});

/** Valid events of all kinds. */
export const anyEvent: fc.Arbitrary<CloudEvent> = fc
  .record(
    {
      specversion: fc.constant("1.0" as const),
      id: text,
      source: fc.oneof(
        fc.webUrl({ withFragments: true, withQueryParameters: true }),
        fc.constantFrom("/a", "urn:x:y", "a%20b"),
      ),
      type: text,
      subject: text,
      time: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }).map((date) => date.toISOString()),
      dataschema: fc.webUrl(),
      traceparent: text,
      flag: fc.boolean(),
      count: fc.integer(),
    },
    { requiredKeys: ["specversion", "id", "source", "type"] },
  )
  .chain((event) =>
    fc
      .oneof(
        fc.constant({}),
        fc.record({
          data: fc.jsonValue(),
          datacontenttype: fc.constantFrom("application/json", "application/vnd.a+json; charset=utf-8"),
        }),
        fc.record({
          data: fc.string({ unit: "grapheme", minLength: 1 }),
          datacontenttype: fc.constantFrom("text/plain", "application/xml"),
        }),
        fc.record({ data: fc.uint8Array({ minLength: 1 }), datacontenttype: fc.constant("image/png") }),
      )
      .map((data) => ({ ...event, ...data })),
  );

/** As JSON has it: -0 is 0. */
export const plain = (event: CloudEvent): CloudEvent =>
  event.data instanceof Uint8Array ? event : JSON.parse(JSON.stringify(event));
