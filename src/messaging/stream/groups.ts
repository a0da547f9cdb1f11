import { invalidArgument } from "../../core/index.ts";
import type { Engine, Offset, Transaction } from "../../engine/index.ts";
import type { From, GroupInfo, Groups, ParkedRecord, PartitionPosition } from "./contract.ts";
import { fromStored, keys, type Parked, parkedTopic, type StoredRecord } from "./layout.ts";
import { type LayoutBook, partitionsOf } from "./layouts.ts";
import { assertFrom, text } from "./options.ts";
import { boundsOf, offsetOf, readRecords } from "./reading.ts";
import { bytesOf } from "./retention.ts";

/** Appends records within a transaction, as the stream does: to the partitions where they belong now. */
type WriteRecords = (tx: Transaction, records: readonly StoredRecord[]) => Promise<void>;

/** Records of one commit of a redrive. */
const redrivePage = 50;

/** The groups of a stream from outside. */
export class StreamGroups implements Groups {
  readonly #engine: Engine;
  readonly #book: LayoutBook;
  readonly #write: WriteRecords;

  constructor(engine: Engine, book: LayoutBook, write: WriteRecords) {
    this.#engine = engine;
    this.#book = book;
    this.#write = write;
  }

  async *list(): AsyncGenerator<string> {
    for await (const { key } of this.#engine.kv.list({ prefix: ["groups"] })) yield String(key[1]);
  }

  async info(group: string): Promise<GroupInfo | undefined> {
    text(group, "group");
    if ((await this.#engine.kv.get(keys.group(group))) === undefined) return undefined;
    const now = await this.#engine.now();
    const { all } = await this.#book.read();
    const details = await Promise.all(partitionsOf(...all).map((partition) => this.#position(group, partition, now)));
    return {
      name: group,
      lag: details.reduce((sum, { lag }) => sum + lag, 0),
      behindMs: Math.max(0, ...details.map(({ behindMs }) => behindMs)),
      partitions: details.map(({ behindMs: _, ...position }) => position),
    };
  }

  async seek(group: string, to: From, options: { readonly partition?: number } = {}): Promise<void> {
    assertFrom(to);
    await this.#assertKnown(group);
    const { partition } = options;
    const all = partitionsOf(...(await this.#book.read()).all);
    if (partition !== undefined && !all.includes(partition))
      throw invalidArgument("partition", partition, `a partition of the stream: ${all[0]} to ${all.at(-1)}`);
    for (const each of partition === undefined ? all : [partition])
      await this.#engine.kv.set(keys.position(group, each), await offsetOf(this.#engine, each, to));
  }

  async delete(group: string): Promise<void> {
    await this.#assertKnown(group);
    for await (const { key } of this.#engine.kv.list({ prefix: keys.positions(group) }))
      await this.#engine.kv.delete(key);
    const { next } = await this.#engine.log.bounds(parkedTopic(group));
    if (next > 0) await this.#engine.log.trim(parkedTopic(group), next);
    await this.#engine.kv.delete(keys.redriven(group));
    await this.#engine.kv.delete(keys.group(group));
  }

  async *parked(group: string): AsyncGenerator<ParkedRecord> {
    for await (const records of this.#parkedPages(group))
      for (const { value } of records) {
        const [partition, offset, time, record, error] = value;
        yield { ...fromStored(partition, offset, time, record), error };
      }
  }

  async redrive(group: string): Promise<number> {
    await this.#assertKnown(group);
    const topic = parkedTopic(group);
    const { next } = await this.#engine.log.bounds(topic);
    for (let total = 0; ; ) {
      // The mark moves in the commit that appends: a redrive that dies, or two at once, append nothing twice.
      const done = await this.#engine.transact(async (tx) => {
        const from = (await tx.get<Offset>(keys.redriven(group))) ?? 0;
        const page = await this.#engine.log.read<Parked>(topic, { from, limit: redrivePage });
        const some = this.#fitting(page.filter(({ offset }) => offset < next));
        const last = some.at(-1);
        if (last === undefined) return undefined;
        await this.#write(
          tx,
          some.map(({ value: [, , , record] }) => record),
        );
        tx.set(keys.redriven(group), last.offset + 1);
        return { to: last.offset + 1, count: some.length };
      });
      if (done === undefined) return total;
      total += done.count;
      await this.#engine.log.trim(topic, done.to);
    }
  }

  /** As many from the beginning as one commit holds. */
  #fitting<R extends { readonly value: Parked }>(records: readonly R[]): readonly R[] {
    let bytes = 0;
    const end = records.findIndex(({ value }, i) => {
      bytes += bytesOf(value[3]);
      return i > 0 && bytes > this.#engine.limits.commitBytes / 2;
    });
    return end < 0 ? records : records.slice(0, end);
  }

  async *#parkedPages(group: string) {
    text(group, "group");
    const { next } = await this.#engine.log.bounds(parkedTopic(group));
    const redriven = (await this.#engine.kv.get<Offset>(keys.redriven(group)))?.value ?? 0;
    for (let from = redriven; from < next; ) {
      const records = await this.#engine.log.read<Parked>(parkedTopic(group), { from });
      const last = records.at(-1);
      if (last === undefined) return;
      yield records.filter(({ offset }) => offset < next);
      from = last.offset + 1;
    }
  }

  async #position(
    group: string,
    partition: number,
    now: number,
  ): Promise<PartitionPosition & { readonly behindMs: number }> {
    const [entry, compacted, keeping] = (
      await this.#engine.kv.getMany<number>([
        keys.position(group, partition),
        keys.compacted(partition),
        keys.keeping(partition),
      ])
    ).map((each) => each?.value);
    const { first, next } = await boundsOf(this.#engine, partition);
    const at = Math.max(first, entry ?? first);
    const [oldest] = at < next ? await readRecords(this.#engine, partition, at, { limit: 1 }) : [];
    // Of what was compacted there are no more than are kept.
    const gone = compacted === undefined || at >= compacted ? 0 : Math.max(0, compacted - at - (keeping ?? 0));
    const behindMs = oldest ? Math.max(0, now - oldest.time) : 0;
    return { partition, position: entry, lag: oldest ? next - at - gone : 0, behindMs };
  }

  async #assertKnown(group: string): Promise<void> {
    text(group, "group");
    if ((await this.#engine.kv.get(keys.group(group))) === undefined)
      throw invalidArgument("group", group, "a group that exists");
  }
}
