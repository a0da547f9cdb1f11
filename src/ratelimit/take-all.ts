import { invalidArgument, throwIfAborted } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import { ClusterLimiter, type RateLimiter } from "./cluster-limiter.ts";
import { takeTogether } from "./demand.ts";
import { withoutEngine } from "./unavailable.ts";
import { announceRefusal, type Verdict } from "./verdict.ts";

/** One of several takes that happen together. */
export interface Take {
  readonly limiter: RateLimiter;
  readonly key: string;
  /** Default 1. */
  readonly cost?: number;
}

/** What several limits at once say. */
export type TakeAllVerdict =
  | {
      readonly allowed: true;
      /** One for each take, in order. */
      readonly verdicts: readonly Verdict[];
      readonly refusedBy: undefined;
      readonly retryAfterMs: undefined;
    }
  | {
      readonly allowed: false;
      /** One for each take, in order; of those that did not refuse, what they said when asked afterwards. */
      readonly verdicts: readonly Verdict[];
      /** The first take that refused. */
      readonly refusedBy: { readonly index: number; readonly limiter: string; readonly key: string };
      /** The longest wait that any of the limits asks for. */
      readonly retryAfterMs: number;
    };

/** Takes at most in one call: the smallest bound of operations of an engine, three of which a window needs. */
const mostTakes = 30;

/**
 * Takes from several limits over one engine in one commit: from all, or from none. Limits of `mode: "leased"` are asked exactly, past what is leased.
 * A refusal costs one more question for each of the other limits, to learn the longest wait.
 *
 * When the engine does not answer, the first limiter's `onUnavailable` that is not "allow" speaks for all.
 * @throws InvalidArgumentError limiters of different engines, the same limit and key twice, more than 30 takes
 */
export async function takeAll(
  takes: readonly Take[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<TakeAllVerdict> {
  const { signal } = options;
  const parts = toParts(takes);
  throwIfAborted(signal);
  const first = parts[0];
  if (first === undefined) return { allowed: true, verdicts: [], refusedBy: undefined, retryAfterMs: undefined };
  try {
    const sent = parts.filter(({ cost }) => cost > 0);
    if (sent.length === 0) return await allowed(parts, [], signal);
    for (const [index, { limiter, key, cost }] of parts.entries()) {
      const verdict = cost > 0 ? limiter.refusal(key, cost) : undefined;
      if (verdict !== undefined) return await refused(parts, index, verdict, signal);
    }
    const outcome = await takeTogether(
      first.limiter.engine,
      sent.map(({ limiter: { algorithm }, key, cost }) => ({ algorithm, key, cost })),
      signal,
    );
    if (outcome.allowed) return await allowed(parts, outcome.verdicts, signal);
    return await refused(parts, parts.indexOf(sent[outcome.index] as Part), outcome.verdict, signal);
  } catch (error) {
    throwIfAborted(signal);
    return unanswered(parts, error);
  }
}

interface Part {
  readonly limiter: ClusterLimiter;
  readonly key: string;
  readonly cost: number;
}

function toParts(takes: readonly Take[]): Part[] {
  if (!Array.isArray(takes) || takes.length > mostTakes)
    throw invalidArgument("takes", takes, `an array of at most ${mostTakes} takes`);
  const seen = new Set<string>();
  let engine: Engine | undefined;
  return takes.map(({ limiter, key, cost }: Take, i) => {
    if (!(limiter instanceof ClusterLimiter))
      throw invalidArgument(`takes[${i}].limiter`, limiter, "a limiter of createRateLimiter");
    engine ??= limiter.engine;
    if (limiter.engine !== engine)
      throw invalidArgument(`takes[${i}].limiter`, limiter.name, "limiters that were made with the same engine object");
    const id = JSON.stringify([limiter.name, key]);
    if (seen.has(id)) throw invalidArgument(`takes[${i}].key`, key, "each key of a limiter once; add the costs up");
    seen.add(id);
    return { limiter, key, cost: limiter.check(key, cost === undefined ? {} : { cost }) };
  });
}

/** The verdicts in the order of the takes; those that cost nothing were only to be asked. */
async function allowed(
  parts: readonly Part[],
  taken: readonly Verdict[],
  signal: AbortSignal | undefined,
): Promise<TakeAllVerdict> {
  const rest = [...taken];
  const verdicts = await Promise.all(
    parts.map(({ limiter, key, cost }) => (cost > 0 ? (rest.shift() as Verdict) : ask(limiter, key, 1, signal))),
  );
  return { allowed: true, verdicts, refusedBy: undefined, retryAfterMs: undefined };
}

async function refused(
  parts: readonly Part[],
  index: number,
  refusal: Verdict,
  signal: AbortSignal | undefined,
): Promise<TakeAllVerdict> {
  const verdicts = await Promise.all(
    parts.map(({ limiter, key, cost }, i) => (i === index ? refusal : ask(limiter, key, Math.max(1, cost), signal))),
  );
  const { limiter, key, cost } = parts[index] as Part;
  const retryAfterMs = Math.max(0, ...verdicts.map((verdict) => verdict.retryAfterMs ?? 0));
  announceRefusal(limiter.name, key, cost, refusal);
  return { allowed: false, verdicts, refusedBy: { index, limiter: limiter.name, key }, retryAfterMs };
}

function ask(limiter: ClusterLimiter, key: string, cost: number, signal: AbortSignal | undefined): Promise<Verdict> {
  return limiter.algorithm.peek(key, cost, signal);
}

function unanswered(parts: readonly Part[], error: unknown): TakeAllVerdict {
  const strictest = parts.findIndex(({ limiter }) => limiter.onUnavailable !== "allow");
  const index = Math.max(0, strictest);
  const { limiter, key, cost } = parts[index] as Part;
  const { name, policy, onUnavailable } = limiter;
  const verdict = withoutEngine(onUnavailable, error, { limiter: name, key, cost, policy });
  const verdicts = parts.map(() => verdict);
  if (verdict.allowed) return { allowed: true, verdicts, refusedBy: undefined, retryAfterMs: undefined };
  return {
    allowed: false,
    verdicts,
    refusedBy: { index, limiter: name, key },
    retryAfterMs: verdict.retryAfterMs ?? 0,
  };
}
