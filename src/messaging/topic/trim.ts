import type { Engine, Offset } from "../../engine/index.ts";
import { neededFrom } from "../queue/index.ts";
import { eventsTopic } from "./event-record.ts";

/**
 * Forgets the events that are older than the retention and that every durable subscription has done with. The bounds are read first: a subscription that begins meanwhile
 * begins at what is kept, or says that it wants what is gone already.
 */
export async function trimTopic(engine: Engine, retention: number): Promise<Offset> {
  const { first, next } = await engine.log.bounds(eventsTopic);
  const horizon = (await engine.now()) - retention;
  let before = await firstSince(engine, first, next, horizon);
  for await (const { key } of engine.kv.list({ prefix: ["subscriptions"] }))
    before = Math.min(before, await neededFrom(subscriptionScope(engine, String(key[1]))));
  if (before > first) await engine.log.trim(eventsTopic, before);
  return Math.max(first, before);
}

/** Where a subscription keeps its keys. */
export function subscriptionScope(engine: Engine, name: string): Engine {
  return engine.scope("subscription", name);
}

/** The first event published at this time or later, by halving. */
export async function firstSince(engine: Engine, first: Offset, next: Offset, time: number): Promise<Offset> {
  let low = first;
  let high = next;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [record] = await engine.log.read(eventsTopic, { from: middle, limit: 1 });
    if (record === undefined || record.time >= time) high = middle;
    else low = middle + 1;
  }
  return low;
}
