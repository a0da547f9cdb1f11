import type { Engine } from "../../engine/index.ts";
import { type ClaimValue, type Head, keys, laneTopic } from "./layout.ts";

/**
 * Forgets the records of the lane that nobody needs: those before the head and before every claim. The head is read first, so a claim that is made meanwhile
 * begins at or after what was read.
 */
export async function trimLane(engine: Engine): Promise<void> {
  const head = await engine.kv.get<Head>(keys.head);
  if (head === undefined) return;
  let before = head.value.at;
  for await (const { value } of engine.kv.list<ClaimValue>({ prefix: ["claim"] }))
    if ("lane" in value) before = Math.min(before, value.lane.from);
  if (before > 0) await engine.log.trim(laneTopic, before);
}
