import { sleep } from "../../src/core/index.ts";
import type { SimulatedNode } from "../../src/simulation/index.ts";

/** What a program needs to speak to others. */
export type Speaker = Pick<SimulatedNode, "network" | "runtime">;

interface Request {
  readonly id: number;
  readonly body: unknown;
}

type Reply = { readonly id: number; readonly answer: unknown } | { readonly id: number; readonly error: string };

/** The other side has refused: what it says of its reason. Whether something was done is for the protocol to know. */
export class RequestRefusedError extends Error {
  override readonly name = "RequestRefusedError";
}

/** No answer in time: the request or its answer was lost. */
export class RequestTimeoutError extends Error {
  override readonly name = "RequestTimeoutError";
}

const replyPort = 9;

/** Answers requests at the port, over datagrams: a request may come twice, or after its sender has given up. */
export function serve(
  { network }: Speaker,
  port: number,
  answer: (body: unknown, from: string) => unknown | Promise<unknown>,
): void {
  network.bind(port, ({ from, payload }) => {
    const { id, body } = payload as Request;
    const reply = (what: Reply): void => network.send(from, replyPort, what);
    void (async () => reply({ id, answer: await answer(body, from) }))().catch((error: unknown) => {
      if (isProgrammingError(error)) throw error;
      reply({ id, error: error instanceof Error ? error.message : String(error) });
    });
  });
}

interface Caller {
  next: number;
  readonly waiting: Map<number, (reply: Reply) => void>;
}

const callers = new WeakMap<object, Caller>();

/**
 * One request and its answer.
 * @throws RequestTimeoutError no answer within `timeout` milliseconds
 * @throws RequestRefusedError the other side could not do it
 */
export async function request<T>(
  { network, runtime }: Speaker,
  to: string,
  port: number,
  body: unknown,
  timeout = 1_000,
): Promise<T> {
  const { waiting, ...caller } = callerOf(network);
  const id = caller.take();
  const answered = new Promise<Reply>((resolve) => void waiting.set(id, resolve));
  network.send(to, port, { id, body } satisfies Request);
  const timer = new AbortController();
  const late = sleep(runtime, timeout, { signal: timer.signal }).catch(() => {});
  const reply = await Promise.race([answered, late]);
  timer.abort();
  waiting.delete(id);
  if (!reply) throw new RequestTimeoutError(`${to} does not answer`);
  if ("error" in reply) throw new RequestRefusedError(`${to}: ${reply.error}`);
  return reply.answer as T;
}

/** The same request again until it is answered or refused: at least once, if at all. */
export async function requestAgain<T>(
  speaker: Speaker,
  to: string,
  port: number,
  body: unknown,
  { attempts = 5, timeout = 500 } = {},
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await request<T>(speaker, to, port, body, timeout);
    } catch (error) {
      if (attempt === attempts || !(error instanceof RequestTimeoutError)) throw error;
    }
  }
}

function callerOf(network: Speaker["network"]): { waiting: Caller["waiting"]; take: () => number } {
  let caller = callers.get(network);
  if (!caller) {
    // What an earlier life of the machine was to be answered must not be taken for an answer to this one.
    const waiting: Caller["waiting"] = new Map();
    caller = { next: 0, waiting };
    callers.set(network, caller);
    network.bind(replyPort, ({ payload }) => waiting.get((payload as Reply).id)?.(payload as Reply));
  }
  const { waiting } = caller;
  const known = caller;
  return { waiting, take: () => known.next++ };
}

function isProgrammingError(error: unknown): boolean {
  return error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
}
