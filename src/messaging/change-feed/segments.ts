import type { Key, KeyRange } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { Settings } from "./options.ts";

/**
 * The range in parts of so many keys at present, one after another; together they are the whole range, whatever is added to it while they are
 * being made.
 */
export async function* segmentsOf(
  engine: Engine,
  { range, segment }: Pick<Settings, "range" | "segment">,
  signal: AbortSignal,
): AsyncGenerator<KeyRange> {
  if (range.key !== undefined) {
    yield range;
    return;
  }
  let rest = range;
  for (;;) {
    const border = await keyAfter(engine, rest, segment, signal);
    if (border === undefined) break;
    yield { ...rest, end: border };
    const { after: _, ...kept } = rest;
    rest = { ...kept, start: border };
  }
  yield rest;
}

/** The key that comes after so many others of the range. */
async function keyAfter(engine: Engine, range: KeyRange, count: number, signal: AbortSignal): Promise<Key | undefined> {
  let seen = 0;
  for await (const { key } of engine.kv.list(range, { limit: count + 1, signal })) if (++seen > count) return key;
  return undefined;
}
