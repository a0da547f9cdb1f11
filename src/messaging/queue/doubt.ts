import { patiently } from "../../coordination/lease/index.ts";
import type { Key } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { ClaimValue } from "./layout.ts";

/**
 * Whether the claims of a commit that stayed unanswered stand. If not, they never will: the commit held only if its first claim's key was free, and now an empty claim
 * is there, until the lease ends.
 * @param key of the first claim of the commit
 */
export async function claimStands(engine: Engine, key: Key): Promise<boolean> {
  const settle = async (): Promise<boolean> => {
    const set = { set: key, value: { shelf: [] } satisfies ClaimValue };
    await engine.kv.tryCommit({ checks: [{ key, version: undefined }], mutations: [set] });
    const entry = await engine.kv.get<ClaimValue>(key);
    return entry !== undefined && !("shelf" in entry.value && entry.value.shelf.length === 0);
  };
  return await patiently(engine, settle, new AbortController().signal);
}
