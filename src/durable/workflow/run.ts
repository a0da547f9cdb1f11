import { leasesOf, patiently } from "../../coordination/lease/index.ts";
import {
  type Duration,
  decodeValue,
  encodeValue,
  type Ids,
  InvalidStateError,
  invalidArgument,
  refuseUnknown,
  throwIfAborted,
  validate,
} from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import type { Attributes, HistoryEvent, Query, Run, RunInfo, Signal, Update } from "./contract.ts";
import { text } from "./definition.ts";
import { writeTermination } from "./endings.ts";
import type { EndingsHere } from "./endings-here.ts";
import { WorkflowFailedError } from "./errors.ts";
import { cancelName, generationOf, isOver, keys, type Message, type RunRecord } from "./layout.ts";
import { ask } from "./requests.ts";
import { reset } from "./reset.ts";
import { reopen } from "./shard-owner.ts";
import { assertFits } from "./sizes.ts";

export interface RunParts {
  readonly engine: Engine;
  readonly ids: Ids;
  readonly retention: number;
  readonly shardOf: (id: string) => number;
  /** @throws InvalidStateError runs are spread over another number of shards */
  readonly ready: () => Promise<void>;
  readonly endings: EndingsHere;
}

export class EngineRun<O> implements Run<O> {
  readonly id: string;
  readonly #parts: RunParts;

  constructor(parts: RunParts, id: string) {
    this.#parts = parts;
    this.id = id;
  }

  async signal<P>(signal: Signal<P>, payload: P, options: { readonly tx?: Transaction } = {}): Promise<void> {
    refuseUnknown(options, ["tx"]);
    text(signal?.name, "signal.name");
    const checked = signal.schema ? await validate(signal.schema, payload, "payload") : payload;
    const { engine, ids } = this.#parts;
    assertFits(engine, checked, "payload");
    await this.#parts.ready();
    const message: Message = { name: signal.name, ...(checked !== undefined && { payload: checked }) };
    const id = ids.next();
    const send = (tx: Transaction) => this.#sendTo(tx, id, message);
    if (options.tx) await send(engine.join(options.tx));
    else await engine.transact(send);
  }

  query<A, R>(
    query: Query<A, R>,
    args: A,
    options: { readonly timeout?: Duration; readonly signal?: AbortSignal } = {},
  ): Promise<R> {
    return ask(this.#parts, this.id, query, args, options) as Promise<R>;
  }

  update<A, R>(
    update: Update<A, R>,
    args: A,
    options: { readonly id?: string; readonly signal?: AbortSignal } = {},
  ): Promise<R> {
    return ask(this.#parts, this.id, update, args, options) as Promise<R>;
  }

  async cancel(reason = "cancelled"): Promise<void> {
    if (typeof reason !== "string") throw invalidArgument("reason", reason, "a text");
    const id = this.#parts.ids.next();
    await this.#change(async (tx, record) => {
      if (!isOver(record)) this.#send(tx, id, { name: cancelName, payload: reason.slice(0, 1000) }, record);
      return true;
    });
  }

  async terminate(reason = "terminated"): Promise<boolean> {
    if (typeof reason !== "string") throw invalidArgument("reason", reason, "a text");
    const { engine, shardOf } = this.#parts;
    const now = await leasesOf(engine).now();
    return await this.#change(async (tx, record) => {
      if (isOver(record)) return false;
      await writeTermination(tx, shardOf, this.id, record, reason, now);
      return true;
    });
  }

  retry(): Promise<boolean> {
    return this.#change(async (tx, record, shard) => {
      if (record.status !== "stuck") return false;
      tx.delete(keys.stuck(shard, this.id));
      reopen(tx, shard, this.id, record);
      return true;
    });
  }

  pause(): Promise<boolean> {
    return this.#change(async (tx, record, shard) => {
      if (record.status !== "open") return false;
      tx.set(keys.run(this.id), { ...record, status: "paused" } satisfies RunRecord);
      tx.set(keys.active(shard, this.id), true);
      return true;
    });
  }

  resume(): Promise<boolean> {
    return this.#change(async (tx, record, shard) => {
      if (record.status !== "paused") return false;
      reopen(tx, shard, this.id, record);
      return true;
    });
  }

  async reset(events: number): Promise<void> {
    if (!Number.isSafeInteger(events) || events < 0)
      throw invalidArgument("events", events, "a whole number of at least 0");
    await this.#parts.ready();
    await reset(this.#parts, this.id, events);
  }

  async result(options: { readonly signal?: AbortSignal } = {}): Promise<O> {
    refuseUnknown(options, ["signal"]);
    const { engine } = this.#parts;
    throwIfAborted(options.signal);
    const here = await this.#parts.endings.ending(this.id, options.signal);
    // What the store has, not what the workflow's code may still hold.
    if (here) return this.#resultOf(decodeValue(encodeValue(here)) as RunRecord);
    const signal = options.signal ?? new AbortController().signal;
    const wait = async (): Promise<RunRecord> => {
      for await (const [change] of engine.kv.watch<RunRecord>({ key: keys.run(this.id) }, { signal })) {
        if (change === undefined || change.deleted)
          throw new InvalidStateError(`there is no run ${JSON.stringify(this.id)}`);
        if (isOver(change.value)) return change.value;
      }
      throw signal.reason;
    };
    return this.#resultOf(await patiently(engine, wait, signal));
  }

  #resultOf(record: RunRecord): O {
    if (record.status === "completed") return record.result as O;
    throw new WorkflowFailedError(this.id, record.status, record.error);
  }

  async info(): Promise<RunInfo<O> | undefined> {
    const [record, attributes] = await this.#parts.engine.kv.getMany([keys.run(this.id), keys.attributes(this.id)]);
    return record && (infoOf(this.id, record.value as RunRecord, attributes?.value as Attributes) as RunInfo<O>);
  }

  async history(): Promise<readonly HistoryEvent[]> {
    const { kv } = this.#parts.engine;
    const record = await kv.get<RunRecord>(keys.run(this.id));
    const generation = record ? generationOf(record.value) : 0;
    const entries = kv.list<HistoryEvent>({ prefix: ["history", this.id, generation] });
    return (await Array.fromAsync(entries)).map(({ value }) => value);
  }

  /** False, too, if there is no such run. */
  async #change(fn: (tx: Transaction, record: RunRecord, shard: number) => Promise<boolean>): Promise<boolean> {
    const { engine, shardOf, ready } = this.#parts;
    await ready();
    return await engine.transact(async (tx) => {
      const record = await tx.get<RunRecord>(keys.run(this.id));
      return record !== undefined && (await fn(tx, record, shardOf(this.id)));
    });
  }

  async #sendTo(tx: Transaction, id: string, message: Message): Promise<void> {
    const record = await tx.get<RunRecord>(keys.run(this.id));
    if (record === undefined || isOver(record))
      throw new InvalidStateError(
        `run ${JSON.stringify(this.id)} ${record ? `is ${record.status}` : "does not exist"}: it hears no signals`,
      );
    this.#send(tx, id, message, record);
  }

  /** A run that is stuck or paused hears of it when it goes on. */
  #send(tx: Transaction, id: string, message: Message, { status }: RunRecord): void {
    tx.set(keys.message(this.id, id), message);
    if (status === "open") tx.set(keys.active(this.#parts.shardOf(this.id), this.id), true);
  }
}

export function infoOf(id: string, { parent, ...record }: RunRecord, attributes: Attributes | undefined): RunInfo {
  const { renewed: _, deadline: __, attributes: ___, ...told } = record;
  return { id, ...told, ...(parent && { parent: { id: parent.id } }), ...(attributes && { attributes }) };
}
