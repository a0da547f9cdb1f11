import { isAshlarError, sleep } from "../../core/index.ts";
import type { Engine, Fence } from "../../engine/index.ts";
import { type Captured, changesTopic, keys } from "./layout.ts";

export interface Trimming {
  /** Milliseconds. */
  readonly retention: number;
  readonly fence: Fence;
  readonly signal: AbortSignal;
}

const longestPause = 3600 * 1000;
const page = 500;

/** Forgets, again and again, changes that are older than the retention and that all followers have seen. */
export async function trim(scope: Engine, trimming: Trimming): Promise<never> {
  for (;;) {
    await trimOnce(scope, trimming).catch((error: unknown) => {
      if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) throw error;
    });
    const pause = Math.min(trimming.retention / 4, longestPause);
    await sleep(scope.runtime, pause, { signal: trimming.signal, ref: false });
  }
}

async function trimOnce(scope: Engine, trimming: Trimming): Promise<void> {
  const { signal } = trimming;
  const oldest = (await scope.now({ signal })) - trimming.retention;
  for (;;) {
    const { first } = await scope.log.bounds(changesTopic, { signal });
    const records = await scope.log.read<Captured>(changesTopic, { from: first, limit: page, signal });
    const old = records.filter(({ time }) => time < oldest);
    const last = old.at(-1);
    if (last === undefined) return;
    const floor = await raiseFloor(scope, last.offset + 1, trimming);
    // First the records: what they name is then named no more.
    await scope.log.trim(changesTopic, floor);
    for (const { offset, value } of old)
      if (offset < floor && value.large !== undefined) await scope.kv.delete(keys.large(value.large), { signal });
    if (floor <= last.offset || old.length < records.length) return;
  }
}

/** Against followers that begin meanwhile: either they are seen here, or they see the floor. */
async function raiseFloor(scope: Engine, to: number, { fence, signal }: Trimming): Promise<number> {
  return await scope.transact(
    async (tx) => {
      let floor = to;
      for await (const { value } of tx.list<number>({ prefix: ["position"] })) floor = Math.min(floor, value);
      tx.set(keys.floor, Math.max(floor, (await tx.get<number>(keys.floor)) ?? 0));
      return floor;
    },
    { fence, signal },
  );
}
