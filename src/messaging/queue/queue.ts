import { invalidArgument, limitExceeded, refuseUnknown, validate } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import { Admin } from "./admin.ts";
import * as channels from "./channels.ts";
import type {
  Added,
  AddManyOptions,
  AddOptions,
  Counts,
  DeadLetters,
  FlowChild,
  FlowParent,
  Handler,
  JobInfo,
  ListedState,
  Queue,
  QueueOptions,
  Worker,
  WorkOptions,
} from "./contract.ts";
import { hubOf } from "./hub.ts";
import { ownLane } from "./lane.ts";
import { type ChildState, keys, type StoredJob } from "./layout.ts";
import { type LocalQueue, scopeOf } from "./local.ts";
import {
  type Order,
  plainOrder,
  type Settings,
  shortText,
  sizeOf,
  toOrder,
  toSettings,
  toWorkSettings,
} from "./options.ts";
import type { Desk } from "./outcome.ts";
import { Producer, type Sized } from "./producer.ts";
import { awaitResult } from "./results.ts";
import { maxChildren } from "./stirs.ts";
import { QueueWorker } from "./worker.ts";

/**
 * A queue of jobs, kept on the engine under this name. All options but the limits are this program's own; `perKey`, `concurrency`, `rateLimit` and `maxWaiting` are to be the same
 * wherever the queue is used.
 * @param name 1 to 200 characters
 * @throws InvalidArgumentError an option is wrong
 */
export function createQueue<T = unknown>(engine: Engine, name: string, options: QueueOptions<T> = {}): Queue<T> {
  shortText(name, "name");
  return new EngineQueue<T>(engine, name, toSettings(engine, options as unknown as QueueOptions<never>));
}

class EngineQueue<T> implements Queue<T> {
  readonly name: string;
  readonly deadLetters: DeadLetters<T>;
  readonly #user: Engine;
  readonly #engine: Engine;
  readonly #settings: Settings;
  readonly #local: LocalQueue<QueueWorker>;
  readonly #producer: Producer;
  readonly #desk: Desk;
  readonly #admin: Admin<T>;

  constructor(user: Engine, name: string, settings: Settings) {
    this.name = name;
    this.#user = user;
    this.#settings = settings;
    const scope = scopeOf(user, name);
    this.#local = hubOf(user).local(scope, ownLane(scope));
    this.#engine = this.#local.engine;
    this.#producer = new Producer(this.#local, settings);
    this.#desk = { name, settings, scopeOf: (queue) => scopeOf(user, queue) };
    this.#admin = new Admin<T>(this.#local, this.#desk);
    this.deadLetters = this.#admin;
  }

  async add(data: T, options?: AddOptions): Promise<Added> {
    const order = options === undefined ? plainOrder : toOrder(options);
    if (this.#settings.schema !== undefined) await this.#check(data);
    // In a bounded queue each add waits for room by itself, and may be called off.
    const shared = order.plain && options?.tx === undefined && this.#settings.maxWaiting === undefined;
    const added = shared ? await this.#addShared(data, order) : await this.#addOne(data, order, options?.tx);
    this.#tellAdded(added, order);
    return added;
  }

  async addMany(items: readonly T[], options: AddManyOptions = {}): Promise<readonly Added[]> {
    if (!Array.isArray(items)) throw invalidArgument("items", items, "an array of jobs' data");
    const order = toOrder(options, true);
    if (this.#settings.schema !== undefined)
      for (const [i, item] of items.entries()) await this.#check(item, `items[${i}]`);
    const now = await this.#producer.now();
    const jobs = items.map((item, i) => this.#producer.prepare(item, order.headers, `items[${i}]`));
    if (!order.plain) await this.#addShelf(jobs, order, now, options.tx);
    else if (options.tx) this.#producer.writeLane(this.#joined(options.tx), jobs);
    else await this.#producer.addLane(jobs, options.signal);
    const added = jobs.map(({ record }) => ({ id: record[0] }));
    for (const each of added) this.#tellAdded(each, order);
    return added;
  }

  async addFlow(
    parent: FlowParent<T>,
    options: { readonly tx?: Transaction; readonly signal?: AbortSignal } = {},
  ): Promise<Added> {
    refuseUnknown(options, ["tx", "signal"]);
    refuseUnknown(parent, ["data", "options", "children", "onChildFailure"], "parent");
    const { children, onChildFailure = "fail" } = parent;
    if (!Array.isArray(children) || children.length === 0)
      throw invalidArgument("parent.children", children, "an array of at least one child");
    // Parent and children are one commit.
    const most = Math.min(maxChildren, Math.floor((this.#engine.limits.operations - 12) / 5));
    if (children.length > most) throw limitExceeded("parent.children", children.length, most, "children");
    if (onChildFailure !== "fail" && onChildFailure !== "run")
      throw invalidArgument("parent.onChildFailure", onChildFailure, '"fail" or "run"');
    const order = toOrder(parent.options ?? {});
    const { data } = parent;
    await this.#check(data, "parent.data");
    sizeOf(data, this.#settings, "parent.data");
    const now = await this.#producer.now();
    const id = this.#producer.nextId();
    const job: StoredJob = { ...this.#producer.toJob(data, order, now), children: onChildFailure };
    const prepared = await Promise.all(
      children.map((child, i) => this.#prepare(child, id, now, `parent.children[${i}]`)),
    );
    const write = (tx: Transaction): void => {
      const own = this.#joined(tx);
      own.set(keys.job(id), job);
      for (const child of prepared) {
        own.set(keys.parent(id, child.id), { state: "waiting", queue: child.queue.name } satisfies ChildState);
        child.queue.#producer.writeShelf(child.queue.#joined(tx), child.id, child.job, now);
      }
    };
    if (options.tx) write(options.tx);
    else {
      await this.#commit(write, options.signal);
      for (const { queue } of prepared) queue.#local.ring();
    }
    return { id };
  }

  work<R = unknown>(handler: Handler<T, R>, options: WorkOptions = {}): Worker {
    if (typeof handler !== "function") throw invalidArgument("handler", handler, "a function of a job");
    return new QueueWorker({
      user: this.#user,
      local: this.#local,
      hub: hubOf(this.#user),
      desk: this.#desk,
      handler: handler as Handler<unknown>,
      settings: toWorkSettings(options),
    });
  }

  async result<R = unknown>(id: string, options: { readonly signal?: AbortSignal } = {}): Promise<R> {
    return (await awaitResult(this.#engine, this.#settings, id, () => this.#admin.get(id), options.signal)) as R;
  }

  get(id: string): Promise<JobInfo<T> | undefined> {
    return this.#admin.get(id);
  }

  list(
    state: ListedState,
    options: { readonly limit?: number; readonly signal?: AbortSignal } = {},
  ): AsyncIterableIterator<JobInfo<T>> {
    return this.#admin.listState(state, options);
  }

  counts(options: { readonly upTo?: number } = {}): Promise<Counts> {
    return this.#admin.counts(options);
  }

  cancel(id: string): Promise<boolean> {
    return this.#admin.cancel(id);
  }

  promote(id: string): Promise<boolean> {
    return this.#admin.promote(id);
  }

  pause(): Promise<void> {
    return this.#admin.pause();
  }

  resume(): Promise<void> {
    return this.#admin.resume();
  }

  purge(options: { readonly dead?: boolean; readonly signal?: AbortSignal } = {}): Promise<number> {
    return this.#admin.purge(options);
  }

  async #addShared(data: unknown, order: Order): Promise<Added> {
    const sized = this.#producer.prepare(data, order.headers, "data");
    await this.#producer.addPlain(sized, order.signal);
    return { id: sized.record[0] };
  }

  async #addOne(data: unknown, order: Order, given: Transaction | undefined): Promise<Added> {
    const now = await this.#producer.now();
    const sized = this.#producer.prepare(data, order.headers, "data");
    const [id] = sized.record;
    const job = this.#producer.toJob(data, order, now);
    const write = (tx: Transaction): void => {
      const own = this.#joined(tx);
      if (order.plain) this.#producer.writeLane(own, [sized]);
      else this.#producer.writeShelf(own, id, job, now);
    };
    const { dedupe } = order;
    if (dedupe === undefined) {
      if (given) write(given);
      else await this.#commit(write, order.signal);
      return { id };
    }
    const once = async (tx: Transaction): Promise<Added> => {
      const own = this.#joined(tx);
      const key = keys.dedupe(dedupe.key);
      const known = await own.get<string>(key);
      if (known !== undefined) return { id: known, duplicate: true };
      own.set(key, id, dedupe.window === undefined ? {} : { ttl: dedupe.window });
      // Its end lets go of the key: it needs an entry that says so.
      this.#producer.writeShelf(own, id, job, now);
      return { id };
    };
    if (given) return await once(given);
    let added: Added = { id };
    await this.#producer.whenRoom(async () => {
      added = await this.#user.transact(once, order.signal ? { signal: order.signal } : {});
    }, order.signal);
    this.#local.ring();
    return added;
  }

  async #addShelf(records: readonly Sized[], order: Order, now: number, given: Transaction | undefined): Promise<void> {
    const write = (tx: Transaction, part: typeof records): void => {
      const own = this.#joined(tx);
      for (const { record } of part)
        this.#producer.writeShelf(own, record[0], this.#producer.toJob(record[1], order, now), now);
    };
    if (given) {
      write(given, records);
      return;
    }
    // Four operations each at most, and the bell.
    const most = Math.max(1, Math.floor((this.#engine.limits.operations - 10) / 4));
    for (let i = 0; i < records.length; ) {
      let bytes = 0;
      let end = i;
      while (end < records.length && end - i < most) {
        bytes += (records[end] as { bytes: number }).bytes + 512;
        if (end > i && bytes > this.#engine.limits.commitBytes / 2) break;
        end++;
      }
      const part = records.slice(i, end);
      await this.#commit((tx) => write(tx, part), order.signal);
      i = end;
    }
  }

  async #commit(write: (tx: Transaction) => void, signal: AbortSignal | undefined): Promise<void> {
    await this.#producer.whenRoom(async () => {
      await using open = this.#user.begin();
      write(open.tx);
      await open.commit(signal ? { signal } : {});
    }, signal);
    this.#local.ring();
  }

  async #prepare(
    child: FlowChild,
    parent: string,
    now: number,
    name: string,
  ): Promise<{ readonly queue: EngineQueue<unknown>; readonly id: string; readonly job: StoredJob }> {
    refuseUnknown(child, ["queue", "data", "options"], name);
    const queue = (child.queue ?? this) as unknown;
    if (!(queue instanceof EngineQueue) || !isBeside(queue.#local, this.#local))
      throw invalidArgument(`${name}.queue`, child.queue, "a queue made on the same engine and namespace");
    const order = toOrder(child.options ?? {});
    if (order.dedupe) throw invalidArgument(`${name}.options.dedupe`, order.dedupe.key, "no deduplication of children");
    const { data } = child;
    await queue.#check(data, `${name}.data`);
    sizeOf(data, queue.#settings, `${name}.data`);
    const job = { ...queue.#producer.toJob(data, order, now), parent: { queue: this.name, id: parent } };
    return { queue, id: queue.#producer.nextId(), job };
  }

  #joined(tx: Transaction): Transaction {
    return this.#engine.join(tx);
  }

  async #check(data: unknown, name = "data"): Promise<void> {
    const { schema } = this.#settings;
    // What is kept is what was given; handlers get the schema's output.
    if (schema !== undefined) await validate(schema, data, name);
  }

  #tellAdded({ id, duplicate }: Added, order: Order): void {
    if (duplicate || !channels.added.hasSubscribers) return;
    channels.added.publish({ queue: this.name, id, headers: order.headers ?? {} } satisfies channels.QueueMessage);
  }
}

/** Whether two queues are of the same store and namespace, so that what is written in one names the other. */
function isBeside(one: LocalQueue<QueueWorker>, other: LocalQueue<QueueWorker>): boolean {
  const namespaceOf = ({ engine }: LocalQueue<QueueWorker>) => JSON.stringify(engine.namespace.slice(0, -1));
  return one.root === other.root && namespaceOf(one) === namespaceOf(other);
}
