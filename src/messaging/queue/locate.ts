import type { Key } from "../../core/index.ts";
import type { Engine, Entry, LogRecord } from "../../engine/index.ts";
import { hasBit } from "./claim.ts";
import { fromRecord, type Lane } from "./lane.ts";
import {
  type ClaimValue,
  type DeadJob,
  type Death,
  type FinishedJob,
  type Head,
  keys,
  type LaneRecord,
  type StoredJob,
  sinceOf,
} from "./layout.ts";
import type { LocalQueue } from "./local.ts";

/** Where a job is. */
export type Location =
  | { readonly in: "finished"; readonly finished: FinishedJob }
  | { readonly in: "dead"; readonly dead: DeadJob }
  /** On the shelf, with the entry that says what it waits for. */
  | { readonly in: "ready" | "delayed" | "chain"; readonly job: StoredJob; readonly entry: Key }
  | { readonly in: "children"; readonly job: StoredJob }
  | { readonly in: "lane"; readonly job: StoredJob; readonly offset: number }
  | { readonly in: "claim"; readonly job: StoredJob };

const idPattern = /^[0-9A-HJKMNP-TV-Z]{10,26}$/;

/** Finds a job. One that moves while it is looked for may be missed; so it is looked for twice. */
export async function locate(local: Pick<LocalQueue, "engine" | "lane">, id: string): Promise<Location | undefined> {
  if (!idPattern.test(id)) return undefined;
  return (await look(local, id)) ?? (await look(local, id));
}

async function look({ engine, lane }: Pick<LocalQueue, "engine" | "lane">, id: string): Promise<Location | undefined> {
  const [finished, dead, stored] = await engine.kv.getMany([keys.finished(id), keys.dead(id), keys.job(id)]);
  if (finished) return { in: "finished", finished: finished.value as FinishedJob };
  if (dead && stored) return { in: "dead", dead: { ...(stored.value as StoredJob), ...(dead.value as Death) } };
  if (stored) return await onShelf(engine, id, stored.value as StoredJob);
  return (await inClaims(engine, id)) ?? (await inLane(engine, lane, id));
}

async function onShelf(engine: Engine, id: string, job: StoredJob): Promise<Location> {
  const { key, priority = 0, due } = job;
  const turn = key === undefined ? undefined : await engine.kv.get<number>(keys.turn(key, id));
  const places: { readonly in: "ready" | "delayed" | "chain"; readonly entry: Key }[] = [
    { in: "ready", entry: keys.ready(priority, turn?.value ?? sinceOf(job), id) },
  ];
  if (due !== undefined) places.push({ in: "delayed", entry: keys.delayed(due, id) });
  if (key !== undefined) places.push({ in: "chain", entry: keys.chain(key, priority, id) });
  const entries = await engine.kv.getMany(places.map(({ entry }) => entry));
  const found = places.find((_, i) => entries[i] !== undefined);
  if (found) return { ...found, job };
  if (job.children !== undefined && due === undefined) return { in: "children", job };
  return { in: "claim", job };
}

async function inClaims(engine: Engine, id: string): Promise<Location | undefined> {
  for await (const { key, value } of engine.kv.list<ClaimValue>({ prefix: ["claim"] })) {
    if (!("inline" in value)) continue;
    const index = value.inline.findIndex(([each]) => each === id);
    if (index < 0) continue;
    const done = await engine.kv.get<number>(keys.done(key[1] as string, key[2] as number));
    if (hasBit(done?.value ?? 0, index)) return undefined;
    return { in: "claim", job: fromRecord(value.inline[index] as LaneRecord, value.at) };
  }
  return undefined;
}

/** A record of the lane is not older than its id, so what was written before need not be read. */
async function inLane(engine: Engine, lane: Lane, id: string): Promise<Location | undefined> {
  const offset = lane.offsetOf?.(id);
  if (offset !== undefined) {
    const [record] = await lane.engine.log.read(lane.topic, { from: offset, limit: 1 });
    return record?.offset === offset && lane.wants(record) ? await stateOf(engine, lane, record) : undefined;
  }
  const { first, next } = await lane.engine.log.bounds(lane.topic);
  let from = await firstSince(lane, first, next, timeOf(id) - clockTolerance);
  while (from < next) {
    const records = await lane.engine.log.read(lane.topic, { from });
    const last = records.at(-1);
    if (last === undefined) return undefined;
    const found = records.find((record) => lane.jobOf(record).id === id);
    if (found) return await stateOf(engine, lane, found);
    from = last.offset + 1;
  }
  return undefined;
}

async function stateOf(engine: Engine, lane: Lane, record: LogRecord): Promise<Location | undefined> {
  const { offset } = record;
  const [head, skip] = await engine.kv.getMany([keys.head, keys.skip(offset)]);
  const { job } = lane.jobOf(record);
  if (offset >= ((head?.value as Head | undefined)?.at ?? 0)) return skip ? undefined : { in: "lane", job, offset };
  for await (const claim of engine.kv.list<ClaimValue>({ prefix: ["claim"] }))
    if (await holds(engine, claim, offset)) return { in: "claim", job };
  return undefined;
}

/** Whether the record is in the claim, and not settled. */
async function holds(engine: Engine, { key, value }: Entry<ClaimValue>, offset: number): Promise<boolean> {
  if (!("lane" in value)) return false;
  const { from, to, only } = value.lane;
  const index = only ? only.indexOf(offset) : offset - from;
  if (index < 0 || offset >= to) return false;
  const done = await engine.kv.get<number>(keys.done(key[1] as string, key[2] as number));
  return !hasBit(done?.value ?? 0, index);
}

/** The clocks of producers and the engine agree to about a second; a minute is safe. */
const clockTolerance = 60_000;

/** The first record appended at this time or later, by halving. */
export async function firstSince({ engine, topic }: Lane, first: number, next: number, time: number): Promise<number> {
  let low = first;
  let high = next;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [record] = await engine.log.read(topic, { from: middle, limit: 1 });
    if (record === undefined || record.time >= time) high = middle;
    else low = middle + 1;
  }
  return low;
}

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** The milliseconds in the first ten characters of an id. */
function timeOf(id: string): number {
  let ms = 0;
  for (const character of id.slice(0, 10)) ms = ms * 32 + alphabet.indexOf(character);
  return ms;
}
