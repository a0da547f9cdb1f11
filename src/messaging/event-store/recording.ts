import { Encoded, encodeValue, invalidArgument, limitExceeded, UnsupportedError, validate } from "../../core/index.ts";
import type { Limits, Mutation } from "../../engine/index.ts";
import type { DomainEvent, Metadata, RecordedEvent } from "./contract.ts";
import { idOf, keys, logTopic, type Reference, type StoredRow } from "./layout.ts";
import type { Settings } from "./options.ts";

/** A row without its time, and what it says of the stream. */
interface Part {
  readonly bodies: readonly unknown[];
  readonly ids: string | readonly string[];
  readonly forms: 0 | readonly number[];
}

/** Events made ready to be appended, wherever the stream may end. */
export interface Prepared {
  /** As they are stored: the schema's output. */
  readonly events: readonly DomainEvent[];
  readonly count: number;
  readonly firstId: string;
  /** Whether the ids were given, so that the same append may have been made before. */
  readonly given: boolean;
  readonly metadata: Metadata | null;
  readonly parts: readonly Part[];
  /** Bytes of one event at most. */
  readonly most: number;
}

/** Rows are split here, so that reading a few events does not read many. */
const rowBytes = 64 * 1024;
/** What a row and its key hold besides events, at most: metadata, ids, the namespace. */
const overhead = 16 * 1024;
/** Checks and mutations that an append has besides its rows and references. */
const otherOperations = 8;

export async function prepare<E extends DomainEvent>(
  settings: Pick<Settings<never, E, never>, "schema" | "upcasters">,
  limits: Limits,
  events: readonly E[],
  about: { readonly id: string; readonly ids: readonly string[] | undefined; readonly metadata: Metadata | null },
): Promise<Prepared> {
  if (!Array.isArray(events) || events.length === 0)
    throw invalidArgument("events", events, "an array of at least one event");
  const checked: readonly DomainEvent[] = settings.schema ? await validated(settings.schema, events) : events;
  const most = limits.valueBytes - overhead;
  for (const [i, event] of checked.entries()) assertEvent(event, `events[${i}]`);
  // One event is one row: its size shows when that is encoded.
  const sizes = checked.length === 1 ? [0] : checked.map((event, i) => sizeOf(event, `events[${i}]`, most));
  const parts: Part[] = [];
  for (let from = 0; from < checked.length; ) {
    let to = from;
    let bytes = 0;
    while (to < checked.length && (to === from || bytes + (sizes[to] as number) <= rowBytes))
      bytes += sizes[to++] as number;
    const bodies = checked.slice(from, to);
    const forms = bodies.map(({ type }) => settings.upcasters.get(type)?.length ?? 0);
    parts.push({
      bodies,
      ids: about.ids ? about.ids.slice(from, to) : idsFrom(about.id, from, to),
      forms: forms.some((form) => form > 0) ? forms : 0,
    });
    from = to;
  }
  const operations = checked.length + parts.length + otherOperations;
  if (operations > limits.operations)
    throw limitExceeded(
      "events",
      checked.length,
      limits.operations - parts.length - otherOperations,
      "events in one append",
    );
  const { metadata, ids } = about;
  return {
    events: checked,
    count: checked.length,
    firstId: ids?.[0] ?? about.id,
    given: ids !== undefined,
    metadata,
    parts,
    most,
  };
}

function idsFrom(id: string, from: number, to: number): string | readonly string[] {
  if (from === 0) return id;
  return Array.from({ length: to - from }, (_, i) => idOf(id, from + i));
}

async function validated<E extends DomainEvent>(
  schema: NonNullable<Settings<never, E, never>["schema"]>,
  events: readonly E[],
): Promise<E[]> {
  const results: E[] = [];
  for (const [i, event] of events.entries()) results.push(await validate(schema, event, `events[${i}]`));
  return results;
}

function assertEvent(event: DomainEvent, name: string): void {
  if (typeof event !== "object" || event === null) throw invalidArgument(name, event, "an object with a type");
  if (typeof event.type !== "string" || event.type === "" || event.type.length > 200)
    throw invalidArgument(`${name}.type`, event.type, "a text of 1 to 200 characters");
}

function sizeOf(event: unknown, name: string, most: number): number {
  const { length } = encodeValue(event, name);
  if (length > most) throw limitExceeded(name, length, most, "bytes encoded; put what is large into a blob");
  return length;
}

/** Encoded once: for its size, and for the commit. */
function encodeRow(row: StoredRow, most: number): Encoded {
  const bodies = row[2] as readonly unknown[];
  let encoded: Encoded;
  try {
    encoded = new Encoded(row);
  } catch (error) {
    // What is wrong is named by its path in the event.
    for (const [i, body] of bodies.entries()) encodeValue(body, `events[${i}]`);
    throw error;
  }
  if (encoded.bytes.length > most && bodies.length === 1) sizeOf(bodies[0], "events[0]", most);
  return encoded;
}

/** The rows after that version, and what goes into the log: the mutations of one commit. */
export function mutationsAfter(stream: string, version: number, prepared: Prepared, time: number): Mutation[] {
  const mutations: Mutation[] = [];
  const references: Reference[] = [];
  let first = version + 1;
  for (const { bodies, ids, forms } of prepared.parts) {
    mutations.push({
      set: keys.row(stream, first),
      value: encodeRow([time, ids, bodies, forms, prepared.metadata], prepared.most),
    });
    for (let i = 0; i < bodies.length; i++) references.push(i === 0 ? [stream, first] : [stream, first + i, i]);
    first += bodies.length;
  }
  mutations.push({ append: logTopic, records: references });
  return mutations;
}

/** The version of the last row of an append after that version. */
export function lastRowAfter(version: number, { count, parts }: Prepared): number {
  return version + count - (parts.at(-1)?.bodies.length ?? 0) + 1;
}

/** Turns stored events into those that the program knows. */
export class Reader<E extends DomainEvent> {
  readonly #upcasters: Settings<never, E, never>["upcasters"];

  constructor(upcasters: Settings<never, E, never>["upcasters"]) {
    this.#upcasters = upcasters;
  }

  /** The event at that place of the row; `undefined` if it has been truncated. */
  event(stream: string, first: number, row: StoredRow, index: number): RecordedEvent<E> | undefined {
    const [time, ids, bodies, forms, metadata] = row;
    const body = bodies?.[index] as DomainEvent | null | undefined;
    if (body === null || body === undefined) return undefined;
    const version = first + index;
    const data = this.#upcast(body, forms === 0 ? 0 : (forms[index] as number), stream, version);
    return { id: idOf(ids, index), stream, version, type: data.type, data, metadata: metadata ?? {}, time };
  }

  #upcast(body: DomainEvent, form: number, stream: string, version: number): E {
    const upcasters = this.#upcasters.get(body.type) ?? [];
    const known = upcasters.length;
    if (form > known) {
      throw new UnsupportedError(
        `event ${version} of stream ${stream} has form ${form} of type ${body.type}, and this program knows ${known}: it was written by a later version of the program`,
        { details: { stream, version, type: body.type, form, known } },
      );
    }
    let event = body;
    for (const upcaster of upcasters.slice(form)) event = (upcaster as (event: DomainEvent) => DomainEvent)(event);
    return event as E;
  }
}
