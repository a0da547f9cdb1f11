import { firstOf, patiently } from "../../coordination/lease/index.ts";
import {
  type Duration,
  InvalidStateError,
  linkSignals,
  refuseUnknown,
  sleep,
  TimeoutError,
  throwIfAborted,
  toMilliseconds,
  validate,
} from "../../core/index.ts";
import type { Query, Update } from "./contract.ts";
import { text } from "./definition.ts";
import { RequestFailedError } from "./errors.ts";
import {
  isOver,
  keys,
  type Message,
  queryName,
  type Reply,
  type Request,
  type RunRecord,
  updateName,
} from "./layout.ts";
import type { RunParts } from "./run.ts";
import { assertFits } from "./sizes.ts";

interface AskOptions {
  readonly id?: string;
  readonly timeout?: Duration;
  readonly signal?: AbortSignal;
}

/** Sends a query or an update to a run, as a message, and waits for the reply. */
export async function ask<A>(
  parts: RunParts,
  id: string,
  { kind, name, schema }: Query<A> | Update<A>,
  given: A,
  options: AskOptions,
): Promise<unknown> {
  refuseUnknown(options, kind === "query" ? ["timeout", "signal"] : ["id", "signal"]);
  text(name, `${kind}.name`);
  if (options.id !== undefined) text(options.id, "id");
  const { engine, ids, ready } = parts;
  throwIfAborted(options.signal);
  const args = schema ? await validate(schema, given, "args") : given;
  assertFits(engine, args, "args");
  await ready();
  const request = options.id ?? ids.next();
  const content: Request = { request, name, ...(args !== undefined && { args }) };
  const message: Message = { name: kind === "query" ? queryName : updateName, payload: content };
  // Asked again while it waits, it is the same message.
  const messageId = options.id === undefined ? request : `update ${request}`;
  const there = await engine.kv.get<Reply>(keys.reply(id, request));
  if (there) return opened(name, there.value);
  await send(parts, id, messageId, message, kind === "query");
  const timeout = kind === "query" ? toMilliseconds(options.timeout ?? "10s", "timeout", { min: 1 }) : undefined;
  return opened(name, await replyTo(parts, id, request, timeout, options.signal));
}

async function send({ engine, shardOf }: RunParts, id: string, messageId: string, message: Message, isQuery: boolean) {
  await engine.transact(async (tx) => {
    const record = await tx.get<RunRecord>(keys.run(id));
    const canHear = record && !isOver(record) && (record.status === "open" || !isQuery);
    if (!canHear)
      throw new InvalidStateError(
        `run ${JSON.stringify(id)} ${record ? `is ${record.status}` : "does not exist"}: it answers nobody`,
      );
    tx.set(keys.message(id, messageId), message);
    if (record.status === "open") tx.set(keys.active(shardOf(id), id), true);
  });
}

async function replyTo(
  { engine }: RunParts,
  id: string,
  request: string,
  timeout: number | undefined,
  given: AbortSignal | undefined,
): Promise<Reply> {
  const { kv, runtime } = engine;
  const key = keys.reply(id, request);
  const replied = async (signal: AbortSignal): Promise<Reply> => {
    for await (const [change] of kv.watch<Reply>({ key }, { signal }))
      if (change && !change.deleted) return change.value;
    throw signal.reason;
  };
  const ended = async (signal: AbortSignal): Promise<Reply> => {
    for await (const [change] of kv.watch<RunRecord>({ key: keys.run(id) }, { signal })) {
      if (change && !change.deleted && !isOver(change.value)) continue;
      // Its last words may have been the reply.
      const last = await kv.get<Reply>(key, { signal });
      if (last) return last.value;
      throw new InvalidStateError(`run ${JSON.stringify(id)} has ended without an answer`);
    }
    throw signal.reason;
  };
  const late = async (signal: AbortSignal): Promise<Reply> => {
    await sleep(runtime, timeout as number, { signal });
    throw new TimeoutError(`run ${JSON.stringify(id)} has not answered within ${timeout} ms`);
  };
  const waits = [
    (signal: AbortSignal) => patiently(engine, () => replied(signal), signal),
    (signal: AbortSignal) => patiently(engine, () => ended(signal), signal),
    ...(timeout === undefined ? [] : [late]),
  ];
  const none = new AbortController();
  using linked = linkSignals(given ?? none.signal, none.signal);
  return await firstOf(linked.signal, waits);
}

function opened(name: string, reply: Reply): unknown {
  if ("error" in reply) throw new RequestFailedError(name, reply.error);
  return reply.value;
}
