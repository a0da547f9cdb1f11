import { watchUntil } from "../../coordination/lease/index.ts";
import { InvalidStateError } from "../../core/index.ts";
import type { Change, Engine } from "../../engine/index.ts";
import type { JobInfo } from "./contract.ts";
import { type FinishedJob, keys } from "./layout.ts";
import type { Settings } from "./options.ts";

/**
 * Waits for the end of a job, and returns its result.
 * @throws InvalidStateError it ended without one, or is not known
 */
export async function awaitResult(
  engine: Engine,
  settings: Settings,
  id: string,
  info: () => Promise<JobInfo | undefined>,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  if (settings.results === undefined)
    throw new InvalidStateError(
      "this queue keeps no results; create it with the option `results`, for how long to keep them",
    );
  let finished: FinishedJob | undefined;
  const found = (changes: readonly Change[], first: boolean): boolean => {
    for (const { value } of changes) if (value !== undefined) finished = value as FinishedJob;
    // An id that nobody knows would be waited for in vain.
    return finished !== undefined || (first && changes.length === 0 && unknown);
  };
  let unknown = false;
  if ((await engine.kv.get(keys.finished(id))) === undefined) unknown = (await info()) === undefined;
  await watchUntil(engine, { key: keys.finished(id) }, found, signal ?? new AbortController().signal);
  if (finished === undefined) throw new InvalidStateError(`job ${id} is not known (any more)`);
  if (finished.state === "done") return finished.result;
  const why = finished.error ? `: ${finished.error.name}: ${finished.error.message}` : "";
  throw new InvalidStateError(`job ${id} has no result: ${endings[finished.state]}${why}`, {
    details: { state: finished.state, ...(finished.error && { error: finished.error }) },
  });
}

const endings = {
  dropped: "it was dropped",
  dead: "it failed for good",
  cancelled: "it was cancelled",
  expired: "it was not begun in time",
} as const;
