import { leasesOf, patiently } from "../../coordination/lease/index.ts";
import { createShardMap, type ShardMap } from "../../coordination/shard-map/index.ts";
import {
  createIds,
  decodeValue,
  encodeValue,
  type Ids,
  InvalidStateError,
  invalidArgument,
  limitExceeded,
  refuseUnknown,
  throwIfAborted,
  validate,
} from "../../core/index.ts";
import type { Engine, Transaction, Version } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import type {
  Definition,
  HistoryEvent,
  Run,
  RunInfo,
  RunStatus,
  Signal,
  StartOptions,
  Workflow,
  Workflows,
  WorkflowsOptions,
  WorkflowWorker,
  WorkOptions,
} from "./contract.ts";
import { text } from "./definition.ts";
import { EndingsHere } from "./endings-here.ts";
import { type StoredError, WorkflowFailedError } from "./errors.ts";
import { cancelName, keys, type Message, type RunRecord } from "./layout.ts";
import { type Settings, toSettings, toWorkSettings } from "./options.ts";
import { reopen } from "./shard-owner.ts";
import { GroupWorker } from "./worker.ts";

/**
 * Workflows that are carried out by whichever processes `work` for them.
 * @param definitions the workflows that this program knows; runs of others wait for a program that does
 */
export function createWorkflows(
  engine: Engine,
  definitions: readonly Definition[],
  options: WorkflowsOptions = {},
): Workflows {
  if (!Array.isArray(definitions)) throw invalidArgument("definitions", definitions, "an array of workflows");
  const known = new Map<string, Workflow>();
  for (const [i, definition] of definitions.entries()) {
    text(definition?.name, `definitions[${i}].name`);
    if (known.has(definition.name))
      throw invalidArgument(`definitions[${i}].name`, definition.name, "a name of its own");
    known.set(definition.name, definition as unknown as Workflow);
  }
  return new EngineWorkflows(engine, known, toSettings(options));
}

/**
 * A group of workflows as it is in the store: for looking after runs without the code of their workflows.
 * @param name of the group
 * @throws InvalidArgumentError
 */
export async function openWorkflows(engine: Engine, name = "default"): Promise<Workflows> {
  text(name, "name");
  const there = await engine.scope("workflow", name).kv.get<number>(keys.shards);
  return createWorkflows(engine, [], { name, ...(there && { shards: there.value }) });
}

class EngineWorkflows implements Workflows {
  readonly #user: Engine;
  readonly #engine: Engine;
  readonly #known: ReadonlyMap<string, Workflow>;
  readonly #settings: Settings;
  readonly #map: ShardMap;
  readonly #ids: Ids;
  readonly #workers = new Set<GroupWorker>();
  readonly #endings = new EndingsHere();
  #isChecked = false;

  constructor(engine: Engine, known: ReadonlyMap<string, Workflow>, settings: Settings) {
    this.#user = engine;
    this.#engine = engine.scope("workflow", settings.name);
    this.#known = known;
    this.#settings = settings;
    const { shards, lease } = settings;
    this.#map = createShardMap(engine, `workflow/${settings.name}`, { shards, ttl: lease });
    this.#ids = createIds(engine.runtime);
  }

  async start<I, O>(workflow: Workflow<I, O>, input: I, options: StartOptions = {}): Promise<Run<O>> {
    refuseUnknown(options, ["id", "tx"]);
    const { id = this.#ids.next(), tx } = options;
    text(id, "id");
    if (this.#known.get(workflow?.name) !== (workflow as unknown as Workflow))
      throw invalidArgument("workflow", workflow?.name, `one of these: ${[...this.#known.keys()].join(", ")}`);
    const checked = workflow.input ? await validate(workflow.input, input, "input") : input;
    assertFits(this.#engine, checked, "input");
    await this.#assertShards();
    const started = await leasesOf(this.#user).now();
    const begun = { workflow: workflow.name, started, status: "open" } as const;
    const record: RunRecord = checked === undefined ? begun : { ...begun, input: checked };
    if (tx) await this.#startWithin(this.#engine.join(tx), id, record);
    else await this.#startAlone(id, record);
    if (channels.started.hasSubscribers)
      channels.started.publish({
        name: this.#settings.name,
        id,
        workflow: workflow.name,
      } satisfies channels.RunMessage);
    return new EngineRun<O>(this.#parts, id);
  }

  run<O = unknown>(id: string): Run<O> {
    text(id, "id");
    return new EngineRun<O>(this.#parts, id);
  }

  async *list(
    options: { readonly status?: RunStatus; readonly workflow?: string; readonly signal?: AbortSignal } = {},
  ): AsyncIterableIterator<RunInfo> {
    refuseUnknown(options, ["status", "workflow", "signal"]);
    const { status, workflow, signal } = options;
    const runs = this.#engine.kv.list<RunRecord>({ prefix: ["run"] }, signal ? { signal } : {});
    for await (const { key, value } of runs) {
      if (status !== undefined && value.status !== status) continue;
      if (workflow !== undefined && value.workflow !== workflow) continue;
      yield { id: key[1] as string, ...value };
    }
  }

  work(options: WorkOptions = {}): WorkflowWorker {
    const settings = toWorkSettings(options);
    const parts = {
      user: this.#user,
      engine: this.#engine,
      settings: this.#settings,
      workflows: this.#known,
      now: () => leasesOf(this.#user).now(),
      endings: this.#endings,
    };
    const worker = new GroupWorker(parts, settings, options.signal, (closed) => this.#workers.delete(closed));
    this.#workers.add(worker);
    return worker;
  }

  /** Runs begun with another number of shards would be nobody's. */
  async #assertShards(): Promise<void> {
    if (this.#isChecked) return;
    const { shards, name } = this.#settings;
    const key = keys.shards;
    let there = await this.#engine.kv.get<number>(key);
    if (there === undefined) {
      const set = { set: key, value: shards };
      await this.#engine.kv.tryCommit({ checks: [{ key, version: undefined }], mutations: [set] });
      there = await this.#engine.kv.get<number>(key);
    }
    if (there?.value !== shards)
      throw new InvalidStateError(
        `the workflows ${JSON.stringify(name)} have ${there?.value} shards, not ${shards}: their number cannot be changed`,
      );
    this.#isChecked = true;
  }

  get #parts(): RunParts {
    const ready = () => this.#assertShards();
    return {
      engine: this.#engine,
      ids: this.#ids,
      shardOf: (id) => this.#map.shardOf(id),
      ready,
      endings: this.#endings,
    };
  }

  async #startWithin(tx: Transaction, id: string, record: RunRecord): Promise<void> {
    const there = await tx.get<RunRecord>(keys.run(id));
    if (there) {
      assertSame(id, there, record);
      return;
    }
    tx.set(keys.run(id), record);
    tx.set(keys.active(this.#map.shardOf(id), id), true);
  }

  async #startAlone(id: string, record: RunRecord): Promise<void> {
    const shard = this.#map.shardOf(id);
    await using open = this.#engine.begin();
    const { tx } = open;
    tx.check({ key: keys.run(id), version: undefined });
    tx.set(keys.run(id), record);
    tx.set(keys.active(shard, id), true);
    if (!(await open.commit())) {
      const there = await this.#engine.kv.get<RunRecord>(keys.run(id));
      if (there) assertSame(id, there.value, record);
      return;
    }
    const version: Version | undefined = open.version;
    if (version !== undefined) for (const worker of this.#workers) worker.offer(shard, id, record, version);
  }
}

/** Records hold more than what they are given. */
function assertFits({ limits }: Engine, value: unknown, name: string): void {
  const bytes = value === undefined ? 0 : encodeValue(value, name).length;
  const most = Math.floor(limits.valueBytes / 2);
  if (bytes > most) throw limitExceeded(name, bytes, most, "bytes encoded");
}

function assertSame(id: string, there: RunRecord, { workflow }: RunRecord): void {
  if (there.workflow !== workflow)
    throw new InvalidStateError(
      `there is a run ${JSON.stringify(id)} already, of ${JSON.stringify(there.workflow)}, not of ${JSON.stringify(workflow)}`,
    );
}

interface RunParts {
  readonly engine: Engine;
  readonly ids: Ids;
  readonly shardOf: (id: string) => number;
  /** @throws InvalidStateError runs are spread over another number of shards */
  readonly ready: () => Promise<void>;
  readonly endings: EndingsHere;
}

class EngineRun<O> implements Run<O> {
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
    assertFits(this.#parts.engine, checked, "payload");
    await this.#parts.ready();
    const message: Message = { name: signal.name, ...(checked !== undefined && { payload: checked }) };
    const id = this.#parts.ids.next();
    const send = async (tx: Transaction): Promise<void> => {
      const record = await tx.get<RunRecord>(keys.run(this.id));
      if (record?.status !== "open" && record?.status !== "stuck")
        throw new InvalidStateError(
          `run ${JSON.stringify(this.id)} ${record ? `is ${record.status}` : "does not exist"}: it hears no signals`,
        );
      this.#send(tx, id, message, record);
    };
    if (options.tx) await send(this.#parts.engine.join(options.tx));
    else await this.#parts.engine.transact(send);
  }

  async cancel(reason = "cancelled"): Promise<void> {
    if (typeof reason !== "string") throw invalidArgument("reason", reason, "a text");
    await this.#parts.ready();
    const id = this.#parts.ids.next();
    await this.#parts.engine.transact(async (tx) => {
      const record = await tx.get<RunRecord>(keys.run(this.id));
      if (record?.status === "open" || record?.status === "stuck")
        this.#send(tx, id, { name: cancelName, payload: reason.slice(0, 1000) }, record);
    });
  }

  async terminate(reason = "terminated"): Promise<boolean> {
    if (typeof reason !== "string") throw invalidArgument("reason", reason, "a text");
    const { engine, shardOf, ready } = this.#parts;
    await ready();
    const shard = shardOf(this.id);
    const now = await leasesOf(engine).now();
    return await engine.transact(async (tx) => {
      const record = await tx.get<RunRecord>(keys.run(this.id));
      if (record?.status !== "open" && record?.status !== "stuck") return false;
      const error: StoredError = { name: "Terminated", message: reason.slice(0, 1000) };
      tx.set(keys.run(this.id), { ...record, status: "terminated", error, ended: now } satisfies RunRecord);
      tx.delete(keys.stuck(shard, this.id));
      // Its owner finds that it has ended, and puts it among those to be forgotten.
      tx.set(keys.active(shard, this.id), true);
      return true;
    });
  }

  async retry(): Promise<boolean> {
    const { engine, shardOf, ready } = this.#parts;
    await ready();
    const shard = shardOf(this.id);
    return await engine.transact(async (tx) => {
      const record = await tx.get<RunRecord>(keys.run(this.id));
      if (record?.status !== "stuck") return false;
      tx.delete(keys.stuck(shard, this.id));
      reopen(tx, shard, this.id, record);
      return true;
    });
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
        if (change.value.status !== "open" && change.value.status !== "stuck") return change.value;
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
    const entry = await this.#parts.engine.kv.get<RunRecord>(keys.run(this.id));
    return entry && ({ id: this.id, ...entry.value } as RunInfo<O>);
  }

  async history(): Promise<readonly HistoryEvent[]> {
    const entries = this.#parts.engine.kv.list<HistoryEvent>({ prefix: ["history", this.id] });
    return (await Array.fromAsync(entries)).map(({ value }) => value);
  }

  /** A run that is stuck hears of it when it is tried again. */
  #send(tx: Transaction, id: string, message: Message, { status }: RunRecord): void {
    tx.set(keys.message(this.id, id), message);
    if (status === "open") tx.set(keys.active(this.#parts.shardOf(this.id), this.id), true);
  }
}
