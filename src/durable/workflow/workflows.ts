import { leasesOf } from "../../coordination/lease/index.ts";
import { createShardMap, type ShardMap } from "../../coordination/shard-map/index.ts";
import {
  createIds,
  type Ids,
  InvalidStateError,
  invalidArgument,
  refuseUnknown,
  toMilliseconds,
  validate,
} from "../../core/index.ts";
import type { Engine, Transaction, Version } from "../../engine/index.ts";
import { assertAttributes, writeAttributes } from "./attributes.ts";
import * as channels from "./channels.ts";
import type {
  Attributes,
  Definition,
  Run,
  RunInfo,
  RunStatus,
  StartOptions,
  Workflow,
  Workflows,
  WorkflowsOptions,
  WorkflowWorker,
  WorkOptions,
} from "./contract.ts";
import { text } from "./definition.ts";
import { EndingsHere } from "./endings-here.ts";
import { keys, type RunRecord } from "./layout.ts";
import { type Settings, toSettings, toWorkSettings } from "./options.ts";
import { EngineRun, infoOf, type RunParts } from "./run.ts";
import { assertFits } from "./sizes.ts";
import { GroupWorker } from "./worker.ts";

/** Runs of one read of a list. */
const listed = 40;

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
    refuseUnknown(options, ["id", "tx", "attributes", "memo", "deadline"]);
    const { id = this.#ids.next(), tx, attributes = {}, memo } = options;
    text(id, "id");
    assertAttributes(attributes, "attributes");
    const limit = options.deadline === undefined ? undefined : toMilliseconds(options.deadline, "deadline", { min: 1 });
    if (this.#known.get(workflow?.name) !== (workflow as unknown as Workflow))
      throw invalidArgument("workflow", workflow?.name, `one of these: ${[...this.#known.keys()].join(", ")}`);
    const checked = workflow.input ? await validate(workflow.input, input, "input") : input;
    assertFits(this.#engine, [checked, memo], memo === undefined ? "input" : "input and memo");
    await this.#assertShards();
    const started = await leasesOf(this.#user).now();
    const record: RunRecord = {
      workflow: workflow.name,
      started,
      status: "open",
      ...(checked !== undefined && { input: checked }),
      ...(memo !== undefined && { memo }),
      ...(limit !== undefined && { deadline: started + limit }),
      ...(Object.keys(attributes).length > 0 && { attributes }),
    };
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
    options: {
      readonly status?: RunStatus;
      readonly workflow?: string;
      readonly attributes?: Attributes;
      readonly signal?: AbortSignal;
    } = {},
  ): AsyncIterableIterator<RunInfo> {
    refuseUnknown(options, ["status", "workflow", "attributes", "signal"]);
    const { status, workflow, attributes = {}, signal } = options;
    assertAttributes(attributes, "attributes");
    const isWanted = (run: RunInfo): boolean =>
      (status === undefined || run.status === status) &&
      (workflow === undefined || run.workflow === workflow) &&
      Object.entries(attributes).every(([name, value]) => run.attributes?.[name] === value);
    let ids: string[] = [];
    const [first] = Object.entries(attributes);
    const prefix = first ? ["by", ...first] : ["run"];
    for await (const { key } of this.#engine.kv.list({ prefix }, signal ? { signal } : {})) {
      ids.push(key.at(-1) as string);
      if (ids.length < listed) continue;
      yield* (await this.#infos(ids, signal)).filter(isWanted);
      ids = [];
    }
    yield* (await this.#infos(ids, signal)).filter(isWanted);
  }

  async #infos(ids: readonly string[], signal: AbortSignal | undefined): Promise<RunInfo[]> {
    if (ids.length === 0) return [];
    const wanted = ids.flatMap((id) => [keys.run(id), keys.attributes(id)]);
    const found = await this.#engine.kv.getMany(wanted, signal ? { signal } : {});
    return ids.flatMap((id, i) => {
      const record = found[2 * i]?.value as RunRecord | undefined;
      return record ? [infoOf(id, record, found[2 * i + 1]?.value as Attributes | undefined)] : [];
    });
  }

  work(options: WorkOptions = {}): WorkflowWorker {
    const settings = toWorkSettings(options);
    const parts = {
      user: this.#user,
      engine: this.#engine,
      settings: this.#settings,
      workflows: this.#known,
      shardOf: (id: string) => this.#map.shardOf(id),
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
      retention: this.#settings.retention,
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
    if (record.attributes) writeAttributes(tx, id, {}, record.attributes);
    tx.set(keys.active(this.#map.shardOf(id), id), true);
  }

  async #startAlone(id: string, record: RunRecord): Promise<void> {
    const shard = this.#map.shardOf(id);
    await using open = this.#engine.begin();
    const { tx } = open;
    tx.check({ key: keys.run(id), version: undefined });
    tx.set(keys.run(id), record);
    if (record.attributes) writeAttributes(tx, id, {}, record.attributes);
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

function assertSame(id: string, there: RunRecord, { workflow }: RunRecord): void {
  if (there.workflow !== workflow)
    throw new InvalidStateError(
      `there is a run ${JSON.stringify(id)} already, of ${JSON.stringify(there.workflow)}, not of ${JSON.stringify(workflow)}`,
    );
}
