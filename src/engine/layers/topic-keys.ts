import { createHash } from "node:crypto";
import { type ByteRange, ByteReader, ByteWriter, concat, decodeKey, encodeKey } from "../../core/index.ts";
import type { RawEntry } from "../driver.ts";
import { systemPrefix } from "../namespaces.ts";

/*
 * The keys of a topic in an engine without a log of its own. All begin with 0xFF and the tuple ["log"].
 *
 *   "tail", topic, "count"                  integer: how many records were ever appended, so the next record's offset
 *   "tail", topic, "first"                  integer: the lowest offset kept; absent: 0
 *   "tail", topic, "head"                   Head: up to where records are packed into rows
 *   "tail", topic, "new", client, number    one append that is not packed yet (large ones: several); revision order is offset order
 *   "rows", topic, end                      packed records up to offset `end` (excluded)
 *   "index", topic, end                     which rows one commit packed, the last of them up to `end`
 *
 * `topic` is the topic's bytes, or, if they are many, their SHA-256 in hexadecimal: a string, so that it cannot be mistaken for bytes.
 */
const tails = encodeKey(["log", "tail"], systemPrefix);
const rows = encodeKey(["log", "rows"], systemPrefix);
const indexes = encodeKey(["log", "index"], systemPrefix);

const longestPlainTopic = 128;

/** Bytes of the longest key of a topic: 0xFF, two words, a topic of zeros (each written as two bytes), "new", the client's name, a number. */
export const longestTopicKey: number = 1 + 5 + 6 + (2 * longestPlainTopic + 2) + 5 + 18 + 9;

/** Where the parts of a topic lie. */
export interface TopicKeys {
  readonly topic: Uint8Array;
  /** The topic itself if its keys do not tell it, else empty: to be stored along, so that the change feed knows it. */
  readonly name: Uint8Array;
  readonly count: Uint8Array;
  readonly first: Uint8Array;
  readonly head: Uint8Array;
  /** All keys of "tail". */
  readonly tail: ByteRange;
  /** The rows with records at or after the offset. */
  rowsFrom(offset: number): ByteRange;
  row(end: number): Uint8Array;
  index(end: number): Uint8Array;
  /** The entries of the index whose rows all end at or below the offset. */
  indexUpTo(offset: number): ByteRange;
  newRow(client: string, number: number): Uint8Array;
}

export function topicKeys(topic: Uint8Array): TopicKeys {
  const isLong = topic.length > longestPlainTopic;
  const part = isLong ? createHash("sha256").update(topic).digest("hex") : topic;
  const tail = encodeKey([part], tails);
  const row = encodeKey([part], rows);
  const index = encodeKey([part], indexes);
  return {
    topic,
    name: isLong ? topic : nothing,
    count: encodeKey(["count"], tail),
    first: encodeKey(["first"], tail),
    head: encodeKey(["head"], tail),
    tail: { start: tail, end: concat(tail, systemPrefix) },
    rowsFrom: (offset) => ({ start: encodeKey([offset + 1], row), end: concat(row, systemPrefix) }),
    row: (end) => encodeKey([end], row),
    index: (end) => encodeKey([end], index),
    indexUpTo: (offset) => ({ start: index, end: encodeKey([offset + 1], index) }),
    newRow: (client, number) => encodeKey(["new", client, number], tail),
  };
}

const nothing = new Uint8Array(0);

/** The offset after a row's last record. */
export function endOfRow(key: Uint8Array): number {
  return decodeKey(key, systemPrefix.length).at(-1) as number;
}

/** Whether the key is one by whose change the growth of a topic shows. */
export function isTailKey(key: Uint8Array): boolean {
  if (key.length <= tails.length) return false;
  for (let i = 0; i < tails.length; i++) if (key[i] !== tails[i]) return false;
  return true;
}

/** The topic that this entry of a tail says has grown, or `undefined`. */
export function grownTopic({ key, value }: RawEntry): Uint8Array | undefined {
  const [topic, kind] = decodeKey(key, tails.length);
  if (kind !== "new" && kind !== "head") return undefined;
  if (topic instanceof Uint8Array) return topic;
  return kind === "new" ? readNewRow(value).name : decodeHead(value).name;
}

/** What is packed: Invariant: the rows hold exactly the offsets below `base`, and `time` is not below any of their times. */
export interface Head {
  readonly base: number;
  /** Time of the last record below `base`. */
  readonly time: number;
  readonly name: Uint8Array;
}

export function encodeHead({ base, time, name }: Head): Uint8Array {
  return new ByteWriter().u64(base).u64(time).bytes(name).take();
}

export function decodeHead(value: Uint8Array): Head {
  const reader = new ByteReader(value);
  const head = { base: reader.u64(), time: reader.u64(), name: reader.bytes() };
  reader.end();
  return head;
}

/** Bytes of a new row besides topic name and block. */
export const newRowOverhead = 4;

export function encodeNewRow(name: Uint8Array, block: Uint8Array): Uint8Array {
  const value = new Uint8Array(newRowOverhead + name.length + block.length);
  new DataView(value.buffer).setUint32(0, name.length);
  value.set(name, newRowOverhead);
  value.set(block, newRowOverhead + name.length);
  return value;
}

/** Both are views into the value. */
export function readNewRow(value: Uint8Array): { readonly name: Uint8Array; readonly block: Uint8Array } {
  const name = new ByteReader(value).bytes();
  const block = new Uint8Array(
    value.buffer,
    value.byteOffset + newRowOverhead + name.length,
    value.length - newRowOverhead - name.length,
  );
  return { name, block };
}

/** The offsets at which the rows of one packing end. */
export function encodeIndex(ends: readonly number[]): Uint8Array {
  const writer = new ByteWriter(8 * ends.length);
  for (const end of ends) writer.u64(end);
  return writer.take();
}

export function decodeIndex(value: Uint8Array): number[] {
  const reader = new ByteReader(value);
  const ends: number[] = [];
  while (reader.remaining > 0) ends.push(reader.u64());
  return ends;
}
