import { isAshlarError, type Key, sleep } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import { writeAttributes } from "./attributes.ts";
import type { Attributes } from "./contract.ts";
import { keys, type RunRecord } from "./layout.ts";

/** Looks for what is to be forgotten once in so many milliseconds. */
const every = 60_000;
/** Runs of one look. */
const page = 50;

export interface ForgettingParts {
  readonly engine: Engine;
  readonly shard: number;
  readonly now: () => Promise<number>;
  /** Makes a commit hold only for the owner of the shard. */
  readonly guard: (tx: Transaction) => void;
  readonly trouble: (error: unknown) => void;
}

/** Forgets runs of a shard that ended long ago, and histories of those that went on anew, until the signal. */
export async function forget(parts: ForgettingParts, signal: AbortSignal): Promise<void> {
  const { engine, shard, now, trouble } = parts;
  while (!signal.aborted) {
    try {
      const at = await now();
      const ended = await Array.fromAsync(engine.kv.list({ prefix: ["ended", shard] }, { limit: page }));
      const due = ended.filter(({ key }) => (key[2] as number) <= at);
      for (const { key } of due) await forgetRun(parts, key, key[3] as string);
      const old = await Array.fromAsync(engine.kv.list({ prefix: ["old", shard] }, { limit: page }));
      for (const { key } of old) {
        await clear(parts, ["history", key[2] as string, key[3] as number]);
        await commit(parts, [key]);
      }
      if (due.length === page || old.length === page) continue;
    } catch (error) {
      if (isAshlarError(error, "CLOSED")) return;
      if (!signal.aborted) trouble(error);
    }
    await sleep(engine.runtime, every, { signal, ref: false }).catch(() => {});
  }
}

/** The record last: what is left when this is cut short is found again. A mark that is older than the end of the run is of an earlier run of this name. */
async function forgetRun(parts: ForgettingParts, mark: Key, id: string): Promise<void> {
  const { kv } = parts.engine;
  const [record, attributes] = await kv.getMany([keys.run(id), keys.attributes(id)]);
  const { ended } = (record?.value as RunRecord | undefined) ?? {};
  if (ended === undefined || ended > (mark[2] as number)) return await commit(parts, [mark]);
  for (const kind of ["history", "signal", "child"]) await clear(parts, [kind, id]);
  await commit(parts, [keys.run(id), mark], (tx) =>
    writeAttributes(tx, id, (attributes?.value as Attributes | undefined) ?? {}, {}),
  );
}

async function clear(parts: ForgettingParts, prefix: Key): Promise<void> {
  const { engine } = parts;
  const most = Math.min(500, engine.limits.operations - 10);
  for (;;) {
    const entries = await Array.fromAsync(engine.kv.list({ prefix }, { limit: most }));
    if (entries.length === 0) return;
    await commit(
      parts,
      entries.map(({ key }) => key),
    );
  }
}

async function commit(
  { engine, guard }: ForgettingParts,
  deleted: readonly Key[],
  also?: (tx: Transaction) => void,
): Promise<void> {
  await using open = engine.begin();
  guard(open.tx);
  for (const key of deleted) open.tx.delete(key);
  also?.(open.tx);
  await open.commit();
}
