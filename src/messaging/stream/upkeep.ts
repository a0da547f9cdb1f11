import type { Engine } from "../../engine/index.ts";
import { compactPartition } from "./compaction.ts";
import { keys } from "./layout.ts";
import type { LayoutBook, Layouts } from "./layouts.ts";
import type { StreamSettings } from "./options.ts";
import { boundsOf } from "./reading.ts";
import { isBounded, trimPartition } from "./retention.ts";

type Rules = Pick<StreamSettings<unknown>, "retention" | "compaction">;

/** Whether anything is ever forgotten. */
export function needsUpkeep({ retention, compaction }: Rules): boolean {
  return compaction !== undefined || isBounded(retention);
}

/** Forgets of a partition what is not to be kept. Harmless when several do it at once. */
export async function tidyPartition(engine: Engine, layouts: Layouts, partition: number, rules: Rules): Promise<void> {
  if (rules.compaction) await compactPartition(engine, layouts, partition, rules.compaction);
  else if (isBounded(rules.retention)) await trimPartition(engine, partition, rules.retention);
}

/** Forgets the sealed layouts of which nothing is left, and what groups knew of them. */
export async function retireLayouts(engine: Engine, book: LayoutBook): Promise<void> {
  const gone = await book.retire(async (partition) => {
    const { first, next } = await boundsOf(engine, partition);
    return first === next;
  });
  if (gone.length === 0) return;
  for await (const { key } of engine.kv.list({ prefix: ["groups"] }))
    for (const partition of gone) await engine.kv.delete(keys.position(String(key[1]), partition));
  for (const partition of gone)
    for (const key of [keys.appended, keys.trimmed, keys.compacted, keys.keeping])
      await engine.kv.delete(key(partition));
}
