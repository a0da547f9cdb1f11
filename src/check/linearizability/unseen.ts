import type { Model } from "./model.ts";
import { type Entry, isRead } from "./timeline.ts";

/**
 * Leaves out writes of unknown outcome to states that nobody needs. If what every entry does is known (`Transition`), that loses
 * no legal order: after such a write comes nothing, or a write that is possible everywhere, and so also without it; for any other
 * needs the state that it finds. It also adds none, since such a write is optional.
 */
export function withoutUnseen(model: Model, entries: readonly Entry[]): readonly Entry[] {
  const transitions = new Map(entries.map((entry) => [entry, model.transition?.(entry.operation)]));
  for (const transition of transitions.values()) if (transition === undefined) return entries;
  for (let kept = entries; ; ) {
    const needed = new Set(kept.map((entry) => transitions.get(entry)?.from));
    const seen = kept.filter(
      (entry) => !entry.optional || needed.has(transitions.get(entry)?.to) || isRead(model, entry.operation),
    );
    if (seen.length === kept.length) return kept;
    kept = seen;
  }
}
