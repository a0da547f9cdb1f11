import type { Engine, Entry, LogRecord } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import { bitOf, Claim, hasBit, type Slot } from "./claim.ts";
import { spent } from "./failures.ts";
import { bytesOfJob, fitting } from "./fitting.ts";
import { fromRecord, type Lane } from "./lane.ts";
import { type ClaimValue, type Failure, keys, type StoredJob } from "./layout.ts";
import type { LocalQueue } from "./local.ts";
import { type Desk, type Outcome, withFailure, writeOutcome } from "./outcome.ts";
import { slotOf } from "./taker.ts";

/** Operations of one job given back, at most. */
const operationsEach = 12;

/** How the one who had taken them has left: dead, or alive but not knowing what became of them. */
export type Leaving = "died" | "lost-track";

/** Gives back what was taken under the lease, by a process that has died, and is not settled. */
export async function inherit(local: LocalQueue, desk: Desk, lease: string): Promise<void> {
  const { kv } = local.engine;
  let jobs = 0;
  for await (const { key } of kv.list<ClaimValue>({ prefix: ["claim", lease] }))
    jobs += await recoverClaim(local, desk, lease, key[2] as number, "died");
  const handed = keys.handed(lease);
  if (await kv.get(handed)) await kv.delete(handed);
  if (jobs === 0) return;
  if (channels.recovered.hasSubscribers)
    channels.recovered.publish({ queue: desk.name, lease, jobs } satisfies channels.RecoveredMessage);
  local.ring();
}

/** From those that died before anybody looked out for it. */
export async function inheritAll(local: LocalQueue, desk: Desk): Promise<void> {
  const found = new Set<string>();
  for (const prefix of [["claim"], ["handed"]])
    for await (const { key } of local.engine.kv.list({ prefix })) found.add(key[1] as string);
  const living = await local.leases.living(found);
  for (const lease of found) if (!living.has(lease)) await inherit(local, desk, lease);
}

/**
 * Gives back the unsettled jobs of one claim, in as many commits as they need. Each holds only if neither the claim nor its bits have changed since they were read, and, of one that
 * died, only if its lease has ended: nobody else is at it then.
 */
export async function recoverClaim(
  local: LocalQueue,
  desk: Desk,
  lease: string,
  number: number,
  leaving: Leaving,
): Promise<number> {
  const { engine, leases } = local;
  let jobs = 0;
  for (;;) {
    const [claimed, done] = await engine.kv.getMany([keys.claim(lease, number), keys.done(lease, number)]);
    if (claimed === undefined) return jobs;
    const left = await unsettled(local, claimed as Entry<ClaimValue>, (done?.value as number | undefined) ?? 0, lease);
    const most = Math.max(1, Math.floor((engine.limits.operations - 10) / operationsEach));
    const now = await leases.now();
    const some = fitting(left, engine.limits, most, ({ job }) => bytesOfJob(job));
    const cancelled = await engine.kv.getMany(some.map(({ id }) => keys.cancelled(id)));
    await using open = engine.begin();
    const { tx } = open;
    tx.check({ key: claimed.key, version: claimed.version });
    tx.check({ key: keys.done(lease, number), version: done?.version });
    if (leaving === "died") local.root.join(tx).check({ key: leases.keyOf(lease), version: undefined });
    for (const [i, slot] of some.entries()) {
      const outcome = outcomeOf(slot, desk, now, leaving, cancelled[i] !== undefined);
      writeOutcome(tx, desk, outcome.slot, outcome.outcome, now);
    }
    if (some.length === left.length) {
      tx.delete(claimed.key);
      tx.delete(keys.done(lease, number));
    } else
      tx.add(
        keys.done(lease, number),
        some.reduce((sum, { index }) => sum + bitOf(index), 0),
      );
    if (!(await open.commit())) {
      // The owner is alive after all, or somebody else recovers: then there is nothing to do here.
      if (leaving === "died" && (await leases.lives(lease))) return jobs;
      continue;
    }
    jobs += some.length;
    if (some.length === left.length) return jobs;
  }
}

function outcomeOf(
  slot: Slot,
  desk: Desk,
  now: number,
  leaving: Leaving,
  cancelled: boolean,
): { readonly slot: Slot; readonly outcome: Outcome } {
  if (cancelled) return { slot, outcome: { kind: "end", state: "cancelled", failure: undefined } };
  if (leaving === "lost-track") return { slot, outcome: { kind: "return" } };
  const failure: Failure = {
    attempt: spent(slot.job) + 1,
    at: now,
    name: "ProcessDied",
    message: "the process that had taken the job died, or lost its lease",
  };
  const job: StoredJob = { ...withFailure(slot.job, failure), deaths: (slot.job.deaths ?? 0) + 1 };
  if (spent(job) >= desk.settings.attempts) return { slot, outcome: { kind: "dead", reason: "attempts", failure } };
  // Written anew, with its death.
  return { slot: { ...slot, job, stored: false }, outcome: { kind: "return" } };
}

/** The jobs of a claim whose bits are not set. */
export async function unsettled(
  { engine, lane }: Pick<LocalQueue, "engine" | "lane">,
  { key, value }: Entry<ClaimValue>,
  done: number,
  lease: string,
): Promise<Slot[]> {
  const slots = await slotsOf(engine, lane, value, lease, key[2] as number);
  return slots.filter(({ index }) => !hasBit(done, index));
}

/** The jobs of a claim, settled or not. */
export async function slotsOf(
  engine: Engine,
  lane: Lane,
  value: ClaimValue,
  lease: string,
  number: number,
): Promise<Slot[]> {
  if ("lane" in value) {
    const { from, to, only } = value.lane;
    const wanted = only && new Set(only);
    const records = (await stretch(lane, from, to)).filter(({ offset }) => wanted === undefined || wanted.has(offset));
    const claim = new Claim(lease, number, records.length);
    return records.map((record, index) => slotOf(claim, index, lane.jobOf(record)));
  }
  if ("inline" in value) {
    const claim = new Claim(lease, number, value.inline.length);
    return value.inline.map((record, index) => ({
      claim,
      index,
      id: record[0],
      job: fromRecord(record, value.at),
      stored: false,
      progressed: true,
    }));
  }
  const claim = new Claim(lease, number, value.shelf.length);
  const jobs: (Entry<StoredJob> | undefined)[] = [];
  const { operations } = engine.limits;
  for (let i = 0; i < value.shelf.length; i += operations)
    jobs.push(...(await engine.kv.getMany<StoredJob>(value.shelf.slice(i, i + operations).map(keys.job))));
  return value.shelf.flatMap((id, index) => {
    const job = jobs[index]?.value;
    // Settled jobs have no entry any more.
    return job === undefined ? [] : [{ claim, index, id, job, stored: true, progressed: true }];
  });
}

async function stretch({ engine, topic }: Lane, from: number, to: number): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for (let at = from; at < to; ) {
    const page = await engine.log.read(topic, { from: at, limit: to - at });
    records.push(...page.filter(({ offset }) => offset < to));
    const last = page.at(-1);
    if (last === undefined) break;
    at = last.offset + 1;
  }
  return records;
}
