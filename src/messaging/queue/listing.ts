import { invalidArgument, refuseUnknown } from "../../core/index.ts";
import type { Engine, Entry, Version } from "../../engine/index.ts";
import type { JobInfo, ListedState } from "./contract.ts";
import type { Lane } from "./lane.ts";
import {
  type ChildState,
  type ClaimValue,
  type DeadJob,
  type Death,
  type FinishedJob,
  type Head,
  keys,
  type StoredJob,
} from "./layout.ts";
import type { LocalQueue } from "./local.ts";
import type { Location } from "./locate.ts";
import { unsettled } from "./recovery.ts";

const page = 100;

/** What is known of a job that was found. */
export function describe<T>(id: string, found: Location): JobInfo<T> {
  if (found.in === "finished") return fromFinished(id, found.finished);
  if (found.in === "dead") return fromDead(id, found.dead);
  const state = {
    ready: "waiting",
    lane: "waiting",
    delayed: "delayed",
    chain: "blocked",
    children: "blocked",
    claim: "active",
  } as const;
  return fromStored(id, found.job, state[found.in]) as JobInfo<T>;
}

/** The jobs in a state. */
export async function* listJobs<T>(
  local: Pick<LocalQueue, "engine" | "lane">,
  state: ListedState,
  options: { readonly limit?: number; readonly signal?: AbortSignal },
): AsyncGenerator<JobInfo<T>> {
  refuseUnknown(options, ["limit", "signal"]);
  const { limit = Number.POSITIVE_INFINITY, signal } = options;
  if (limit !== Number.POSITIVE_INFINITY && !(Number.isInteger(limit) && limit >= 0))
    throw invalidArgument("limit", limit, "a whole number of at least 0");
  const source = sources[state];
  if (source === undefined) throw invalidArgument("state", state, Object.keys(sources).join(", "));
  let left = limit;
  if (left === 0) return;
  for await (const info of source(local, signal)) {
    yield info as JobInfo<T>;
    if (--left === 0) return;
  }
}

type Source = (local: Pick<LocalQueue, "engine" | "lane">, signal: AbortSignal | undefined) => AsyncGenerator<JobInfo>;

const sources: Readonly<Record<ListedState, Source>> = {
  async *waiting({ engine, lane }, signal) {
    yield* onShelf(engine, "ready", "waiting", signal);
    yield* inLane(engine, lane, signal);
  },
  delayed: ({ engine }, signal) => onShelf(engine, "delayed", "delayed", signal),
  async *blocked({ engine }, signal) {
    yield* onShelf(engine, "chain", "blocked", signal);
    yield* parents(engine, signal);
  },
  async *active(local, signal) {
    const { engine } = local;
    for await (const claim of engine.kv.list<ClaimValue>({ prefix: ["claim"] }, readOptions(signal))) {
      const [, lease, number] = claim.key as [string, string, number];
      const done = await engine.kv.get<number>(keys.done(lease, number));
      for (const { id, job } of await unsettled(local, claim, done?.value ?? 0, lease))
        yield fromStored(id, job, "active");
    }
  },
  async *dead({ engine }, signal) {
    for await (const dead of listDead(engine, signal))
      for (const { id, job, death } of dead) yield fromDead(id, { ...job, ...death });
  },
  async *finished({ engine }, signal) {
    for await (const { key, value } of engine.kv.list<FinishedJob>({ prefix: ["finished"] }, readOptions(signal)))
      yield fromFinished(key[1] as string, value);
  },
};

/** A dead letter as it was read. */
export interface DeadLetter {
  readonly id: string;
  readonly job: StoredJob;
  readonly death: Death;
  /** Of its mark. */
  readonly version: Version;
}

/** Dead letters, in pages; those that are added meanwhile are not waited for. */
export async function* listDead(
  engine: Engine,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly DeadLetter[]> {
  let entries: Entry<Death>[] = [];
  for await (const entry of engine.kv.list<Death>({ prefix: ["dead"] }, readOptions(signal))) {
    entries.push(entry);
    if (entries.length < pageOf(engine)) continue;
    yield await readDead(engine, entries);
    entries = [];
  }
  if (entries.length > 0) yield await readDead(engine, entries);
}

/** The jobs of these marks; what is gone meanwhile is left out. */
export async function readDead(engine: Engine, entries: readonly Entry<Death>[]): Promise<DeadLetter[]> {
  const jobs = await engine.kv.getMany<StoredJob>(entries.map(({ key }) => keys.job(key[1] as string)));
  return entries.flatMap(({ key, value, version }, i) => {
    const job = jobs[i]?.value;
    return job === undefined ? [] : [{ id: key[1] as string, job, death: value, version }];
  });
}

export function pageOf({ limits }: Engine): number {
  return Math.min(page, limits.operations);
}

async function* onShelf(
  engine: Engine,
  shelf: "ready" | "delayed" | "chain",
  state: "waiting" | "delayed" | "blocked",
  signal: AbortSignal | undefined,
): AsyncGenerator<JobInfo> {
  let ids: string[] = [];
  const read = async function* (): AsyncGenerator<JobInfo> {
    const jobs = await engine.kv.getMany<StoredJob>(ids.map(keys.job), readOptions(signal));
    // Whatever has moved on meanwhile is not in this state any more.
    for (const [i, id] of ids.entries()) {
      const job = jobs[i]?.value;
      if (job) yield fromStored(id, job, state);
    }
    ids = [];
  };
  for await (const { key } of engine.kv.list({ prefix: [shelf] }, readOptions(signal))) {
    ids.push(key.at(-1) as string);
    if (ids.length === pageOf(engine)) yield* read();
  }
  if (ids.length > 0) yield* read();
}

async function* inLane(engine: Engine, lane: Lane, signal: AbortSignal | undefined): AsyncGenerator<JobInfo> {
  const head = await engine.kv.get<Head>(keys.head, readOptions(signal));
  const { next } = await lane.engine.log.bounds(lane.topic, readOptions(signal));
  let from = head?.value.at ?? 0;
  while (from < next) {
    const records = await lane.engine.log.read(lane.topic, { from, limit: 1000, ...readOptions(signal) });
    const last = records.at(-1);
    if (last === undefined) return;
    const skips = new Set<unknown>();
    if ((head?.value.skips ?? 0) > 0)
      for await (const { key } of engine.kv.list({ start: keys.skip(from), end: keys.skip(last.offset + 1) }))
        skips.add(key[1]);
    for (const record of records) {
      if (skips.has(record.offset) || record.offset >= next || !lane.wants(record)) continue;
      const { id, job } = lane.jobOf(record);
      yield fromStored(id, job, "waiting");
    }
    from = last.offset + 1;
  }
}

async function* parents(engine: Engine, signal: AbortSignal | undefined): AsyncGenerator<JobInfo> {
  let last: unknown;
  for await (const { key } of engine.kv.list<ChildState>({ prefix: ["parent"] }, readOptions(signal))) {
    if (key[1] === last) continue;
    last = key[1];
    const job = await engine.kv.get<StoredJob>(keys.job(key[1] as string));
    if (job && job.value.due === undefined) yield fromStored(key[1] as string, job.value, "blocked");
  }
}

function fromStored(id: string, job: StoredJob, state: JobInfo["state"]): JobInfo {
  return {
    id,
    state,
    data: job.data,
    headers: job.headers ?? {},
    priority: job.priority ?? 0,
    added: job.added,
    failures: job.failures,
    history: job.history ?? [],
    ...(job.key !== undefined && { key: job.key }),
    ...(state === "delayed" && job.due !== undefined && { due: job.due }),
  };
}

function fromDead<T>(id: string, dead: DeadJob): JobInfo<T> {
  return { ...(fromStored(id, dead, "dead") as JobInfo<T>), reason: dead.reason, ended: dead.died };
}

function fromFinished<T>(id: string, { state, at, attempts, result, error }: FinishedJob): JobInfo<T> {
  return {
    id,
    state,
    ended: at,
    failures: state === "done" ? attempts - 1 : attempts,
    ...(result !== undefined && { result }),
    ...(error && { history: [error] }),
  };
}

function readOptions(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal ? { signal } : {};
}
