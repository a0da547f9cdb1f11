import type { Key } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { hasBit } from "./claim.ts";
import type { Counts } from "./contract.ts";
import type { Lane } from "./lane.ts";
import { type ClaimValue, type Head, keys, type StoredJob } from "./layout.ts";
import type { LocalQueue } from "./local.ts";

/** The store as it is, or as a transaction sees it. */
interface View {
  get<V>(key: Key): Promise<V | undefined>;
  list<V>(prefix: string): AsyncIterable<{ readonly key: Key; readonly value: V }>;
}

/** Entries of a place in a snapshot: what is more is counted again without one. */
const mostOfSnapshot = 8;
/** Somebody may be at the few jobs that there are all the time. */
const snapshotAttempts = 100;

/**
 * Counts beside everything else; a job that moves from one place to the next meanwhile may be seen in neither. So that a queue is empty is only said of one that was, at one instant.
 * @throws ConflictError the few jobs that there are moved on each time they were looked at
 */
export async function countJobs(local: Pick<LocalQueue, "engine" | "lane">, upTo: number): Promise<Counts> {
  for (;;) {
    const counts = await countBeside(local, upTo);
    if (total(counts) > 0) return counts;
    const atOnce = await countAtOnce(local);
    if (atOnce) return { ...counts, ...atOnce };
  }
}

function total({ waiting, delayed, blocked, active }: Waiting): number {
  return waiting + delayed + blocked + active;
}

async function countBeside({ engine, lane }: Pick<LocalQueue, "engine" | "lane">, upTo: number): Promise<Counts> {
  const view: View = {
    get: async <V>(key: Key) => (await engine.kv.get<V>(key))?.value,
    list: <V>(prefix: string) => engine.kv.list<V>({ prefix: [prefix] }, { limit: upTo }),
  };
  const [shelf, ahead, dead, paused] = await Promise.all([
    countShelf(view, upTo),
    laneLength(engine, lane),
    count(view.list("dead"), upTo),
    view.get(keys.paused),
  ]);
  return { ...shelf, waiting: shelf.waiting + ahead, dead, paused: paused !== undefined };
}

/** `undefined`: there is more than fits into a snapshot. */
async function countAtOnce({ engine, lane }: Pick<LocalQueue, "engine" | "lane">): Promise<Waiting | undefined> {
  const [shelf, taken] = await engine.transact(
    async (tx) => {
      let more = false;
      const view: View = {
        get: (key) => tx.get(key),
        async *list<V>(prefix: string) {
          let seen = 0;
          for await (const entry of tx.list<V>({ prefix: [prefix] }, { limit: mostOfSnapshot })) {
            if (++seen === mostOfSnapshot) more = true;
            yield entry;
          }
        },
      };
      const head = await tx.get<Head>(keys.head);
      const counted = await countShelf(view, mostOfSnapshot);
      return [more ? undefined : counted, (head?.at ?? 0) + (head?.skips ?? 0)] as const;
    },
    { attempts: snapshotAttempts },
  );
  // Nothing comes back to the lane: what is there by now was there, or was added since.
  const { next } = await lane.engine.log.bounds(lane.topic);
  return shelf && { ...shelf, waiting: shelf.waiting + Math.max(0, next - taken) };
}

type Waiting = Pick<Counts, "waiting" | "delayed" | "blocked" | "active">;

/** All but the lane. */
async function countShelf(view: View, upTo: number): Promise<Waiting> {
  const [waiting, delayed, chain, parents, active] = await Promise.all([
    count(view.list("ready"), upTo),
    count(view.list("delayed"), upTo),
    count(view.list("chain"), upTo),
    count(waitingParents(view), upTo),
    countActive(view),
  ]);
  return { waiting, delayed, blocked: chain + parents, active };
}

async function count(source: AsyncIterable<unknown>, upTo: number): Promise<number> {
  let n = 0;
  for await (const _ of source) if (++n === upTo) break;
  return n;
}

async function* waitingParents(view: View): AsyncGenerator<string> {
  let last: unknown;
  for await (const { key } of view.list("parent")) {
    if (key[1] === last) continue;
    last = key[1];
    const job = await view.get<StoredJob>(keys.job(key[1] as string));
    if (job && job.due === undefined) yield key[1] as string;
  }
}

async function countActive(view: View): Promise<number> {
  let jobs = 0;
  for await (const { key, value } of view.list<ClaimValue>("claim")) {
    const size = sizeOf(value);
    const done = (await view.get<number>(keys.done(key[1] as string, key[2] as number))) ?? 0;
    for (let i = 0; i < size; i++) if (!hasBit(done, i)) jobs++;
  }
  return jobs;
}

function sizeOf(value: ClaimValue): number {
  if ("inline" in value) return value.inline.length;
  if ("shelf" in value) return value.shelf.length;
  return value.lane.only?.length ?? value.lane.to - value.lane.from;
}

async function laneLength(engine: Engine, lane: Lane): Promise<number> {
  const head = await engine.kv.get<Head>(keys.head);
  const { next } = await lane.engine.log.bounds(lane.topic);
  const { at, skips } = head?.value ?? { at: 0, skips: 0 };
  return Math.max(0, next - at - skips);
}
