import type { RawCommit, RawOutcome } from "../driver.ts";
import type { Plan } from "./commit.ts";
import type { Statement } from "./connection.ts";
import { digestOf, isPossible, noDigest } from "./range-digest.ts";
import { byteaArray, float8Array, int4Array, orNull } from "./wire.ts";

/** A check's place: which commit, which of its checks. */
interface Place {
  readonly commit: number;
  readonly index: number;
}

/** Commits that write nothing: one snapshot tells which of them hold. */
export function planVerification(commits: readonly RawCommit[], statement: Statement): Plan {
  const keys: Uint8Array[] = [];
  const revisions: number[] = [];
  const keyPlaces: Place[] = [];
  const starts: Uint8Array[] = [];
  const ends: Uint8Array[] = [];
  const sizes: number[] = [];
  const digests: (Uint8Array | undefined)[] = [];
  const rangePlaces: Place[] = [];
  commits.forEach(({ checks }, commit) => {
    checks.forEach((check, index) => {
      if (check.kind === "key") {
        keyPlaces.push({ commit, index });
        keys.push(check.key);
        revisions.push(check.revision);
      } else {
        rangePlaces.push({ commit, index });
        starts.push(check.start);
        ends.push(check.end);
        sizes.push(check.keys.length);
        digests.push(isPossible(check) ? digestOf(check.keys, check.revisions) : noDigest);
      }
    });
  });
  const ranges =
    starts.length === 0
      ? [null, null, null, null]
      : [byteaArray(starts), byteaArray(ends), int4Array(sizes), byteaArray(digests)];
  return {
    statement,
    writes: false,
    values: [orNull(keys, byteaArray), orNull(revisions, float8Array), ...ranges],
    decode: ([revision, ...failed]) => {
      const first = new Map<number, number>();
      for (const position of failed as number[]) {
        const { commit, index } = (position > 0 ? keyPlaces[position - 1] : rangePlaces[-position - 1]) as Place;
        first.set(commit, Math.min(index, first.get(commit) ?? index));
      }
      return commits.map((_, commit): RawOutcome => {
        const index = first.get(commit);
        if (index !== undefined) return { ok: false, reason: "check", index };
        return { ok: true, revision: revision as number, adds: [], offsets: [] };
      });
    },
  };
}
