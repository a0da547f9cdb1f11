import { leasesOf } from "../../coordination/lease/index.ts";
import { ConflictError, InvalidStateError, invalidArgument, limitExceeded } from "../../core/index.ts";
import type { Check, Mutation } from "../../engine/index.ts";
import { closeChildren } from "./children.ts";
import type { HistoryEvent } from "./contract.ts";
import { generationOf, keys, type Message, type RunRecord, updateName } from "./layout.ts";
import type { RunParts } from "./run.ts";

/** Events copied in one commit. */
const page = 40;
const mostTries = 20;

/**
 * Takes a run back to where it had so many events: they are copied into a history beside the present one, and the run goes over to it in one commit, which holds only if nothing has happened to it meanwhile.
 * Its owner finds itself with a run that is not in the store as it knows it, and reads it anew.
 */
export async function reset(parts: RunParts, id: string, events: number): Promise<void> {
  for (let tries = 0; tries < mostTries; tries++) if (await tryReset(parts, id, events)) return;
  throw new ConflictError(`run ${JSON.stringify(id)} went on each time it was to be reset: pause it before`);
}

async function tryReset({ engine, shardOf, retention }: RunParts, id: string, events: number): Promise<boolean> {
  const { kv } = engine;
  const entry = await kv.get<RunRecord>(keys.run(id));
  if (entry === undefined) throw new InvalidStateError(`there is no run ${JSON.stringify(id)}`);
  const before = generationOf(entry.value);
  const generation = before + 1;
  const history = await Array.fromAsync(kv.list<HistoryEvent>({ prefix: ["history", id, before] }));
  if (events > history.length) throw invalidArgument("events", events, `at most ${history.length}: so many there are`);
  const isAsRead: Check = { key: keys.run(id), version: entry.version };
  // What another attempt has left.
  for await (const { key } of kv.list({ prefix: ["history", id, generation] })) await kv.delete(key);
  for (let i = 0; i < events; i += page) {
    const some = history.slice(i, Math.min(events, i + page));
    const mutations = some.map(({ value }, j) => ({ set: keys.history(id, generation, i + j), value }));
    if (!(await kv.tryCommit({ checks: [isAsRead], mutations })).ok) return false;
  }
  const now = () => leasesOf(engine).now();
  const guard = { engine, shardOf, now, guard: (tx: { check(check: Check): void }) => tx.check(isAsRead) };
  await closeChildren(guard, id);
  const { ended, result: _, error: __, ...kept } = entry.value;
  const record: RunRecord = { ...kept, status: "open", generation };
  const shard = shardOf(id);
  const mutations: Mutation[] = [
    { set: keys.run(id), value: record },
    { set: keys.active(shard, id), value: true },
    { set: keys.old(shard, id, before), value: true },
    { delete: keys.stuck(shard, id) },
    ...(ended === undefined ? [] : [{ delete: keys.ended(shard, ended + retention, id) }]),
    ...toHearAgain(history.slice(events).map(({ value }) => value)).map(([message, value]) => ({
      set: keys.message(id, message),
      value,
    })),
  ];
  const most = engine.limits.operations - 5;
  if (mutations.length > most)
    throw limitExceeded("the messages that were taken since", mutations.length, most, "operations");
  const isAll: Check = { key: keys.history(id, before, history.length), version: undefined };
  const isChildless: Check = { range: { prefix: ["child", id] }, entries: [] };
  return (await kv.tryCommit({ checks: [isAsRead, isAll, isChildless], mutations })).ok;
}

/** What was heard since, as messages that come before all that have not been heard. */
function toHearAgain(taken: readonly HistoryEvent[]): [message: string, value: Message][] {
  const again: [string, Message][] = [];
  for (const { kind, name, value } of taken) {
    const message = ` ${String(again.length).padStart(6, "0")}`;
    if (kind === "signal" && value !== undefined) again.push([message, { name, payload: value }]);
    if (kind === "update") again.push([message, { name: updateName, payload: value }]);
  }
  return again;
}
