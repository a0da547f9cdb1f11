import type { Engine } from "../../engine/index.ts";
import { type ClaimValue, type Head, keys } from "./layout.ts";
import type { LocalQueue } from "./local.ts";

/**
 * Forgets the records of the lane that nobody needs: those before the head and before every claim. The head is read first, so a claim that is made meanwhile
 * begins at or after what was read.
 */
export async function trimLane({ engine, lane }: LocalQueue): Promise<void> {
  if (!lane.own) {
    await lane.forget?.();
    return;
  }
  const before = await neededFrom(engine);
  if (before > 0) await lane.engine.log.trim(lane.topic, before);
}

/** The first offset of the lane that a consumer still needs. */
export async function neededFrom(engine: Engine): Promise<number> {
  const head = await engine.kv.get<Head>(keys.head);
  if (head === undefined) return 0;
  let before = head.value.at;
  for await (const { value } of engine.kv.list<ClaimValue>({ prefix: ["claim"] }))
    if ("lane" in value) before = Math.min(before, value.lane.from);
  return before;
}
