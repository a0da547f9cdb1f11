import { createElection, type Election, type Leadership } from "../../coordination/election/index.ts";
import { createIds, fullJitter, isAshlarError, linkSignals, sleep } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { Running } from "./contract.ts";

export interface Work {
  /** The scope of the feed. */
  readonly scope: Engine;
  /** What is led. */
  readonly office: string;
  /** Milliseconds. */
  readonly ttl: number;
  readonly signal: AbortSignal | undefined;
  /** Works as the leader until the signal aborts. */
  readonly work: (leadership: Leadership, signal: AbortSignal) => Promise<void>;
}

/** Does the work in this process whenever it is elected, until it is closed. */
export function runAsLeader(job: Work): Running {
  const { scope, office, ttl, signal: outer } = job;
  const closing = new AbortController();
  const stop = (): void => closing.abort(new DOMException("it was closed", "AbortError"));
  outer?.addEventListener("abort", stop, { once: true });
  if (outer?.aborted) stop();
  const state: State = { leadership: undefined };
  const election = createElection(scope, office, { candidate: createIds(scope.runtime).next(), ttl });
  const done = campaignAndWork(job, election, closing.signal, state).finally(async () => {
    outer?.removeEventListener("abort", stop);
    await election.close().catch(() => {});
  });
  // Who does not ask need not hear of it.
  done.catch(() => {});
  const close = async (): Promise<void> => {
    stop();
    await done.catch(() => {});
  };
  return {
    get leading() {
      return state.leadership?.held ?? false;
    },
    close,
    done,
    [Symbol.asyncDispose]: close,
  };
}

interface State {
  leadership: Leadership | undefined;
}

/** Resolves when the signal has aborted; rejects with what no pause heals. */
async function campaignAndWork(
  { scope, work }: Work,
  election: Election,
  signal: AbortSignal,
  state: State,
): Promise<void> {
  const { runtime } = scope;
  const lead = async (leadership: Leadership): Promise<void> => {
    state.leadership = leadership;
    using linked = linkSignals(leadership.signal, signal);
    await work(leadership, linked.signal).finally(() => {
      state.leadership = undefined;
    });
  };
  for (let failures = 0; ; failures++) {
    try {
      await election.lead(lead, { signal });
    } catch (error) {
      if (signal.aborted) return;
      if (!passes(error)) throw error;
    }
    await sleep(runtime, fullJitter(runtime, failures, { base: 10, cap: 2000 }), { signal }).catch(() => {});
    if (signal.aborted) return;
  }
}

/** Whether trying again may help: also when another was elected before this process knew. */
function passes(error: unknown): boolean {
  return isAshlarError(error) && (error.retryable || error.code === "OUTCOME_UNKNOWN" || error.code === "LEASE_LOST");
}
