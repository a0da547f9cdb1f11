import { sleep } from "../../src/core/index.ts";
import type { SimulatedNode } from "../../src/simulation/index.ts";

/** What a program needs to speak to others: a node or a client. */
export type Speaker = Pick<SimulatedNode, "network" | "runtime">;

interface Request {
  readonly id: string;
  readonly body: unknown;
}

type Reply = { readonly id: string; readonly answer: unknown } | { readonly id: string; readonly error: string };

/** The other side has refused: what it says of its reason. Whether something was done is for the protocol to know. */
export class RequestRefusedError extends Error {
  override readonly name = "RequestRefusedError";
}

/** No answer in time: the request or its answer was lost. */
export class RequestTimeoutError extends Error {
  override readonly name = "RequestTimeoutError";
}

const replyPort = 9;

/**
 * Answers requests at the port, over datagrams: a request may come after its sender has given up. One that comes twice because the network has
 * duplicated it is answered once.
 */
export function serve(
  { network }: Speaker,
  port: number,
  answer: (body: unknown, from: string) => unknown | Promise<unknown>,
): void {
  const seen = new Set<string>();
  network.bind(port, ({ from, payload }) => {
    const { id, body } = payload as Request;
    if (seen.has(id)) return;
    seen.add(id);
    const reply = (what: Reply): void => network.send(from, replyPort, what);
    void (async () => reply({ id, answer: await answer(body, from) }))().catch((error: unknown) => {
      if (isProgrammingError(error)) throw error;
      reply({ id, error: error instanceof Error ? error.message : String(error) });
    });
  });
}

interface Caller {
  /** Tells this life of the machine from others. */
  readonly prefix: number;
  next: number;
  readonly waiting: Map<string, (reply: Reply) => void>;
}

const callers = new WeakMap<object, Caller>();

/**
 * One request and its answer.
 * @throws RequestTimeoutError no answer within `timeout` milliseconds
 * @throws RequestRefusedError the other side could not do it
 */
export async function request<T>(
  speaker: Speaker,
  to: string,
  port: number,
  body: unknown,
  timeout = 1_000,
): Promise<T> {
  const caller = callerOf(speaker);
  const id = `${speaker.network.address} ${caller.prefix} ${caller.next++}`;
  const answered = new Promise<Reply>((resolve) => void caller.waiting.set(id, resolve));
  speaker.network.send(to, port, { id, body } satisfies Request);
  const timer = new AbortController();
  const late = sleep(speaker.runtime, timeout, { signal: timer.signal }).catch(() => {});
  const reply = await Promise.race([answered, late]);
  timer.abort();
  caller.waiting.delete(id);
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

function callerOf({ network, runtime }: Speaker): Caller {
  const known = callers.get(network);
  if (known) return known;
  const caller: Caller = { prefix: runtime.random.next(), next: 0, waiting: new Map() };
  callers.set(network, caller);
  network.bind(replyPort, ({ payload }) => caller.waiting.get((payload as Reply).id)?.(payload as Reply));
  return caller;
}

function isProgrammingError(error: unknown): boolean {
  return error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
}
