import { invalidArgument } from "../core/index.ts";

/** What a commit may check besides: the portable limit is a hundred operations. */
const tagsAtMost = 20;

/** The tags without repetitions. @throws InvalidArgumentError too many, or one that is no tag */
export function checkTags(tags: readonly string[]): string[] {
  const unique = Array.isArray(tags) ? [...new Set<string>(tags)] : undefined;
  if (unique === undefined || unique.length > tagsAtMost) {
    throw invalidArgument("tags", tags, `an array of at most ${tagsAtMost} strings`);
  }
  for (const tag of unique) checkName("tag", tag);
  return unique;
}

/** Keys and tags: with the cache's name they must fit into an engine's key. @throws InvalidArgumentError */
export function checkName(what: string, name: string): void {
  if (typeof name !== "string" || name === "" || name.length > 512 || !name.isWellFormed()) {
    throw invalidArgument(what, name, "a string of 1 to 512 characters without lone surrogates");
  }
}
