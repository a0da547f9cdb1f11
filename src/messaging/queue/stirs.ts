import { ConflictError } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import { type ChildState, keys, type StirKind, type StoredJob } from "./layout.ts";
import { type Desk, placeReady, ring, writeEnd } from "./outcome.ts";

/** Given to one key in one transaction at most. */
const turnsAtOnce = 5;
/** Looked at in one go at most. */
const stirsAtOnce = 16;

/**
 * Lets become ready what may: the next jobs of ordering keys that have a turn free, and parents whose children have all ended. Producers and workers only leave a mark where something has
 * changed, blindly, so that they never wait for each other; whoever takes jobs next settles the marks, one transaction each.
 * @returns whether there may be more
 */
export async function settleStirs(engine: Engine, desk: Desk, now: number): Promise<boolean> {
  const marks = await Array.fromAsync(engine.kv.list({ prefix: ["stir"] }, { limit: stirsAtOnce }));
  await Promise.all(
    marks.map(async ({ key }) => {
      const [, kind, name] = key as ["stir", StirKind, string];
      try {
        await engine.transact(
          async (tx) => {
            // Read, so that a mark set meanwhile is not overlooked.
            if ((await tx.get(keys.stir(kind, name))) === undefined) return;
            tx.delete(keys.stir(kind, name));
            if (kind === "chain") await turn(tx, desk, name, now);
            else await gather(tx, desk, name, now);
          },
          { attempts: 4 },
        );
      } catch (error) {
        // Others are at it.
        if (!(error instanceof ConflictError)) throw error;
      }
    }),
  );
  return marks.length === stirsAtOnce;
}

/** Gives free turns of an ordering key to those who wait longest. The others' keys get ready in the order in which turns come up: fair between keys. */
async function turn(tx: Transaction, { settings }: Desk, key: string, now: number): Promise<void> {
  const turns = await count(tx.list({ prefix: ["turn", key] }, { limit: settings.perKey }));
  const free = settings.perKey - turns;
  if (free <= 0) return;
  // A few at a time: another mark asks for the rest.
  const most = Math.min(free, turnsAtOnce);
  let given = 0;
  for await (const waiting of tx.list({ prefix: ["chain", key] }, { limit: most })) {
    given++;
    const [, , negative, id] = waiting.key as ["chain", string, number, string];
    tx.delete(waiting.key);
    tx.set(keys.turn(key, id), now);
    tx.set(keys.ready(-negative, now, id), true);
    ring(tx);
  }
  if (given === turnsAtOnce && free > turnsAtOnce) tx.set(keys.stir("chain", key), true);
}

async function gather(tx: Transaction, desk: Desk, id: string, now: number): Promise<void> {
  const job = await tx.get<StoredJob>(keys.job(id));
  const children = await Array.fromAsync(tx.list<ChildState>({ prefix: ["parent", id] }, { limit: maxChildren }));
  if (job?.children === undefined) {
    // It has ended; a child that ends later leaves another mark.
    for (const { key } of children) tx.delete(key);
    return;
  }
  const failed = children.find(({ value }) => value.state === "failed");
  if (failed && job.children === "fail") {
    const [, , child] = failed.key as [string, string, string];
    const why = failed.value.state === "failed" ? failed.value.reason : "";
    const failure = { attempt: 0, at: now, name: "ChildFailed", message: `its child ${child} failed: ${why}` };
    writeEnd(tx, desk, { id, job, stored: true, progressed: false }, { kind: "dead", reason: "child", failure }, now);
    return;
  }
  if (children.some(({ value }) => value.state === "waiting")) return;
  if (job.due !== undefined) return;
  tx.set(keys.job(id), { ...job, due: now });
  placeReady(tx, id, job, now);
}

export const maxChildren = 40;

async function count(items: AsyncIterable<unknown>): Promise<number> {
  let n = 0;
  for await (const _ of items) n++;
  return n;
}
