import { type StandardSchema, validate } from "../../core/index.ts";
import type { LogRecord } from "../../engine/index.ts";
import type { Lane, LaneJob } from "../queue/index.ts";
import type { TopicEvent } from "./contract.ts";

/**
 * Key layout of a topic, under `["topic", name]`:
 *
 * | key | value | |
 * |---|---|---|
 * | topic `["events"]` | `EventRecord` | the events, once, in the order of their publishing |
 * | `["subscriptions", name]` | true | the durable subscriptions that there are |
 * | `["subscription", name, …]` | | the position, claims, retries and dead letters of one, laid out like a queue's |
 */
export type EventRecord = readonly [id: string, type: string, data: unknown, more?: More];

export interface More {
  readonly key?: string;
  readonly subject?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Of the data; absent: 1. */
  readonly version?: number;
}

export const eventsTopic = ["events"];

/** What a subscription keeps of an event that it has to keep. */
type Kept = readonly [offset: number, time: number, record: EventRecord];

/** The events as jobs of a subscription. */
export function laneOf(
  engine: Lane["engine"],
  options: {
    readonly inOrder: boolean;
    readonly wants: (record: LogRecord) => boolean;
    readonly forget: () => Promise<void>;
  },
): Lane {
  return {
    engine,
    topic: eventsTopic,
    own: false,
    wants: options.wants,
    forget: options.forget,
    offsetOf: (id) => Number.parseInt(id, 32),
    jobOf: ({ offset, time, value }): LaneJob => {
      const record = value as EventRecord;
      const key = options.inOrder ? record[3]?.key : undefined;
      const data: Kept = [offset, time, record];
      return { id: jobIdOf(offset), job: { data, added: time, failures: 0, ...(key !== undefined && { key }) } };
    },
  };
}

/** Sorts like the offset: thirteen digits of base 32 hold any. */
function jobIdOf(offset: number): string {
  const digits = offset.toString(32).toUpperCase().padStart(11, "0");
  // Letters that could be taken for digits are no part of ids.
  return digits.replace(/[IJKLMNOPQRSTUV]/g, (letter) => crockford.charAt(letters.indexOf(letter)));
}

const letters = "IJKLMNOPQRSTUV";
const crockford = "JKMNPQRSTVWXYZ";

/** How stored data become what handlers get. */
export interface Reading<T> {
  readonly topic: string;
  readonly schema: StandardSchema<T> | undefined;
  readonly version: number;
  readonly upgrade: ((data: unknown, version: number) => unknown) | undefined;
}

/** The event as it was published. */
export function toPlainEvent(topic: string, { offset, time, value }: LogRecord): TopicEvent<unknown> {
  return fromKept(topic, [offset, time, value as EventRecord]);
}

export function fromKept(topic: string, kept: unknown): TopicEvent<unknown> {
  const [offset, time, [id, type, data, more = {}]] = kept as Kept;
  return {
    id,
    topic,
    type,
    subject: more.subject,
    data,
    key: more.key,
    headers: more.headers ?? {},
    offset,
    time,
    version: more.version ?? 1,
  };
}

/**
 * The event with its data as this program knows them.
 * @throws InvalidArgumentError they do not satisfy the schema
 */
export async function read<T>(event: TopicEvent<unknown>, reading: Reading<T>): Promise<TopicEvent<T>> {
  let { data } = event;
  if (event.version < reading.version && reading.upgrade) data = await reading.upgrade(data, event.version);
  if (reading.schema !== undefined) data = await validate(reading.schema, data, "event.data");
  return { ...event, data: data as T };
}
