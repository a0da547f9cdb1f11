import type { Leadership } from "../../coordination/election/index.ts";
import { fullJitter, isAshlarError, raceAbort, sleep } from "../../core/index.ts";
import type { Engine, LogRecord } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import type { FollowHandler } from "./contract.ts";
import { type Captured, changesTopic, keys } from "./layout.ts";
import type { FollowSettings } from "./options.ts";
import { expect, toChanges } from "./reading.ts";

export interface Following<V> {
  /** The engine whose transactions the handler gets. */
  readonly engine: Engine;
  readonly scope: Engine;
  readonly feed: string;
  readonly name: string;
  readonly handler: FollowHandler<V>;
  readonly settings: FollowSettings;
}

const longestPause = 30_000;

/** What one try to hand out changes came to. */
type Turn = "done" | "conflict" | "moved";

/** Hands out changes as long as it leads. */
export async function follow<V>(following: Following<V>, fence: Leadership, signal: AbortSignal): Promise<void> {
  const { scope } = following;
  for (let failures = 0; ; failures++) {
    let at = 0;
    try {
      at = await begin(following, fence, signal);
      for await (const records of scope.log.tail<Captured>(changesTopic, {
        from: at,
        limit: following.settings.batch,
        signal,
      })) {
        const next = expect(records, at);
        const turn = await handOut(following, fence, { records, at, next, signal });
        if (turn === "moved") break;
        at = next;
        failures = 0;
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      // The engine was closed under it, or changes that it has not seen are gone: no pause heals that.
      if (isAshlarError(error) && ["CLOSED", "INVALID_STATE", "LEASE_LOST"].includes(error.code)) throw error;
      tell(following, at, error);
    }
    await sleep(scope.runtime, fullJitter(scope.runtime, failures, { base: 20, cap: longestPause }), { signal });
  }
}

/** The position; a new follower's is written, so that it holds back the retention from the beginning. */
async function begin<V>(
  { scope, name, settings }: Following<V>,
  fence: Leadership,
  signal: AbortSignal,
): Promise<number> {
  const { first, next } = await scope.log.bounds(changesTopic, { signal });
  const from = settings.from === "end" ? next : Math.max(first, settings.from ?? first);
  return await scope.transact(
    async (tx) => {
      const known = await tx.get<number>(keys.position(name));
      if (known !== undefined) return known;
      const position = Math.max(from, (await tx.get<number>(keys.floor)) ?? 0);
      tx.set(keys.position(name), position);
      return position;
    },
    { fence, signal },
  );
}

interface Portion {
  readonly records: readonly LogRecord<Captured>[];
  readonly at: number;
  readonly next: number;
  readonly signal: AbortSignal;
}

/** Again and again, until the handler's writes have committed together with the position. "moved": the position is another than expected. */
async function handOut<V>(following: Following<V>, fence: Leadership, portion: Portion): Promise<Turn> {
  const { scope } = following;
  const { runtime } = scope;
  const { signal } = portion;
  for (let failures = 0; ; ) {
    try {
      const turn = await once(following, fence, portion);
      if (turn !== "conflict") return turn;
      await sleep(runtime, fullJitter(runtime, 0, { base: 5, cap: 5 }), { signal });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (isAshlarError(error, "CLOSED") || isAshlarError(error, "LEASE_LOST")) throw error;
      if (isAshlarError(error, "CONFLICT") && error.details["reason"] === "reread") continue;
      tell(following, portion.at, error);
      await sleep(runtime, fullJitter(runtime, failures++, { base: 100, cap: longestPause }), { signal });
    }
  }
}

async function once<V>(following: Following<V>, fence: Leadership, portion: Portion): Promise<Turn> {
  const { engine, scope, name, handler } = following;
  const { records, at, next, signal } = portion;
  await using open = engine.begin({ signal });
  const own = scope.join(open.tx);
  // Read in the transaction: a commit that comes late, or was thought to be lost, finds another position.
  const known = await own.get<number>(keys.position(name));
  if (known !== at) return "moved";
  const changes = await toChanges<V>(scope, records, signal);
  await raceAbort(Promise.resolve(handler(changes, { tx: open.tx, signal })), signal);
  own.set(keys.position(name), next);
  fence.guard(open.tx);
  return (await open.commit({ signal, deadline: "30s" })) ? "done" : "conflict";
}

function tell<V>({ feed, name }: Following<V>, position: number, error: unknown): void {
  if (channels.failed.hasSubscribers)
    channels.failed.publish({ feed, follower: name, position, error } satisfies channels.FollowMessage);
}
