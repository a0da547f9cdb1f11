import type { Runtime } from "../core/index.ts";
import type { CacheSettings } from "./cache-options.ts";

/** What lies in the engine under an entry's key. Its age follows from the time to live that the engine reports: nobody's clock is compared with another's. */
export interface StoredEntry<V> {
  /** Absent: the source has no such thing, and that is what is cached. */
  readonly value?: V;
  /** The generation's id when it was stored; "" if there was none. Another one now: it was cleared. */
  readonly generation: string;
  /** Tags and their ids when it was stored. Another id now: it was invalidated. */
  readonly tags: readonly (readonly [tag: string, id: string])[];
  /** Milliseconds, from when it was stored, in which it is fresh. */
  readonly fresh: number;
  /** Milliseconds after which the engine drops it: fresh, then stale. */
  readonly life: number;
  /** Milliseconds that the load took. */
  readonly cost: number;
}

type Timing = Pick<CacheSettings<never>, "jitter" | "staleWhileRevalidate" | "staleIfError">;

/** What a reader may do with an entry now. Milliseconds; negative: past. */
export interface Freshness {
  readonly freshFor: number;
  readonly staleFor: number;
  readonly staleIfErrorFor: number;
}

export function freshnessOf(entry: StoredEntry<unknown>, remaining: number | undefined, settings: Timing): Freshness {
  const age = entry.life - (remaining ?? 0);
  const freshFor = entry.fresh - age;
  // Not beyond the life that it was stored with, should the options have changed since.
  const left = entry.life - age;
  return {
    freshFor,
    staleFor: Math.min(left, freshFor + settings.staleWhileRevalidate),
    staleIfErrorFor: Math.min(left, freshFor + settings.staleIfError),
  };
}

/** How long a new entry is to be fresh and to live. Shortened by chance, so that what was stored together does not expire together. */
export function drawLifetime(
  ttl: number,
  settings: Timing,
  runtime: Pick<Runtime, "random">,
): { readonly fresh: number; readonly life: number } {
  const fresh = Math.max(1, Math.floor(ttl * (1 - settings.jitter * runtime.random.next())));
  return { fresh, life: fresh + Math.max(settings.staleWhileRevalidate, settings.staleIfError) };
}

/**
 * Whether a reader of a fresh entry should have it loaded again already: when the share of its fresh time that `refreshAhead` names is over, or by the dice of XFetch
 * (Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015), the likelier the nearer the end and the
 * costlier the load.
 */
export function wantsRefresh(
  entry: { readonly fresh: number; readonly cost: number },
  freshFor: number,
  settings: Pick<CacheSettings<never>, "refreshAhead" | "earlyRefresh">,
  runtime: Pick<Runtime, "random">,
): boolean {
  if (settings.refreshAhead < 1 && freshFor <= entry.fresh * (1 - settings.refreshAhead)) return true;
  if (settings.earlyRefresh === 0) return false;
  // 1 - x, because the logarithm of 0 would refresh anything.
  return freshFor <= -entry.cost * settings.earlyRefresh * Math.log(1 - runtime.random.next());
}
