import { InvalidArgumentError, invalidArgument } from "../../core/index.ts";
import type { Checker, CheckResult } from "../checker.ts";
import type { History, Operation } from "../history.ts";

export interface DeliveryOptions {
  /** `exactly-once`, `at-least-once` (may repeat), or `at-most-once` (may lose). */
  readonly promise: "exactly-once" | "at-least-once" | "at-most-once";
  /** Messages that keep their order: those with the same key, all, or none (default). */
  readonly order?: "none" | "key" | "all";
}

/** A message's way through the history. */
interface Message {
  readonly name: string;
  readonly send: Operation;
  /** In the order of their returns. */
  readonly receives: Operation[];
}

/**
 * What a queue or a topic promises about its messages, over histories of any length: nothing comes that was not sent; nothing acknowledged is lost, unless the promise
 * allows it; nothing comes twice, unless the promise allows it; order where it is promised.
 *
 * | name      | key | input       | output |
 * | --------- | --- | ----------- | ------ |
 * | `send`    | what it is in order with | the message: JSON, unique in the history | anything |
 * | `receive` |     |             | a message, `null` for none, or an array of messages in their order |
 *
 * The consumers together are one group. The history must go on until nothing more is received, or what is still in the queue counts as lost. Order means: if one
 * message had been sent before the sending of the other began, it is not received for the first time after the other.
 * @throws InvalidArgumentError an option out of range; from `check`: an operation that is neither, or a message sent twice
 */
export function delivery(options: DeliveryOptions): Checker {
  const { promise, order = "none" } = options;
  if (!["exactly-once", "at-least-once", "at-most-once"].includes(promise))
    throw invalidArgument("promise", promise, '"exactly-once", "at-least-once" or "at-most-once"');
  if (!["none", "key", "all"].includes(order)) throw invalidArgument("order", order, '"none", "key" or "all"');
  const name = `delivery ${promise}${order === "none" ? "" : order === "key" ? ", in order per key" : ", in order"}`;
  return {
    name,
    check(history) {
      const messages = new Map<string, Message>();
      const found =
        collect(history, messages) ??
        (promise === "at-least-once" ? undefined : findRepeated(messages)) ??
        (promise === "at-most-once" ? undefined : findLost(messages)) ??
        (order === "none" ? undefined : findDisorder(messages, order));
      if (found) return { check: name, verdict: "violated", ...found };
      const summary = `${messages.size} messages came as promised`;
      return { check: name, verdict: "ok", summary, explanation: [], operations: [] };
    },
  };
}

type Found = Pick<CheckResult, "summary" | "explanation" | "operations">;

/** Fills in the messages; what was received and not sent is found on the way. */
function collect(history: History, messages: Map<string, Message>): Found | undefined {
  for (const operation of history) {
    const { id, name, input } = operation;
    if (name !== "send" && name !== "receive")
      throw new InvalidArgumentError(`history, id ${id}: given the name ${name}; allowed: "send", "receive"`);
    if (name === "receive") continue;
    if (input === undefined) throw new InvalidArgumentError(`history, id ${id}: a send without an input`);
    const message = JSON.stringify(input);
    if (messages.has(message))
      throw new InvalidArgumentError(`history, id ${id}: the message ${message} is sent twice`);
    messages.set(message, { name: message, send: operation, receives: [] });
  }
  const answered = history.filter(({ name, outcome }) => name === "receive" && outcome === "ok");
  for (const receive of answered.toSorted((a, b) => a.returned - b.returned)) {
    for (const text of messagesIn(receive)) {
      const message = messages.get(text);
      const impossible =
        message === undefined
          ? "nobody sent"
          : message.send.outcome === "failed"
            ? "was refused"
            : message.send.called > receive.returned
              ? "was sent only later"
              : undefined;
      if (impossible !== undefined) {
        const operations = message ? [message.send, receive] : [receive];
        return { summary: `${text} was received, which ${impossible}`, explanation: operations.map(tell), operations };
      }
      message?.receives.push(receive);
    }
  }
  return undefined;
}

function messagesIn({ output }: Operation): string[] {
  if (output === undefined || output === null) return [];
  return (Array.isArray(output) ? output : [output]).map((message) => JSON.stringify(message));
}

function findRepeated(messages: ReadonlyMap<string, Message>): Found | undefined {
  for (const { name, send, receives } of messages.values()) {
    if (receives.length < 2) continue;
    const operations = [send, ...receives.slice(0, 2)];
    return { summary: `${name} was received ${receives.length} times`, explanation: operations.map(tell), operations };
  }
  return undefined;
}

function findLost(messages: ReadonlyMap<string, Message>): Found | undefined {
  const lost = [...messages.values()].filter(({ send, receives }) => send.outcome === "ok" && receives.length === 0);
  const [first] = lost;
  if (!first) return undefined;
  const more = lost.length === 1 ? "" : `, and so were ${lost.length - 1} others`;
  return {
    summary: `${first.name} was sent and never received${more}`,
    explanation: [tell(first.send)],
    operations: [first.send],
  };
}

/** A message that had surely been sent before another one, and was surely received after it. */
function findDisorder(messages: ReadonlyMap<string, Message>, order: "key" | "all"): Found | undefined {
  const received = [...messages.values()].filter(({ receives }) => receives.length > 0);
  for (const group of Map.groupBy(received, ({ send }) => (order === "all" ? "" : send.key)).values()) {
    const found = disorderIn(group);
    if (!found) continue;
    const [message, other] = found;
    const operations = [message.send, other.send, firstReceive(other), firstReceive(message)];
    const summary = `${message.name} was sent before ${other.name} and received after it`;
    return { summary, explanation: operations.map(tell), operations: [...new Set(operations)] };
  }
  return undefined;
}

/** For each message it is enough to look at the one sent last of those that had been received before its own receive was called, or stand before it in the same array. */
function disorderIn(group: readonly Message[]): readonly [message: Message, other: Message] | undefined {
  const place = new Map(group.map((message) => [message, messagesIn(firstReceive(message)).indexOf(message.name)]));
  const byCall = group.toSorted(
    (a, b) => firstReceive(a).called - firstReceive(b).called || (place.get(a) ?? 0) - (place.get(b) ?? 0),
  );
  const byReturn = group.toSorted((a, b) => firstReceive(a).returned - firstReceive(b).returned);
  let before: Message | undefined;
  let beside: Message | undefined;
  let at = 0;
  for (const message of byCall) {
    const receive = firstReceive(message);
    for (let next = byReturn[at]; next && firstReceive(next).returned < receive.called; next = byReturn[++at])
      before = sentLater(before, next);
    if (beside && firstReceive(beside) !== receive) beside = undefined;
    for (const other of [before, beside])
      if (other && message.send.returned < other.send.called) return [message, other];
    beside = sentLater(beside, message);
  }
  return undefined;
}

function sentLater(a: Message | undefined, b: Message): Message {
  return a && a.send.called > b.send.called ? a : b;
}

function firstReceive({ receives }: Message): Operation {
  return receives[0] as Operation;
}

function tell({ client, name, input, output, outcome }: Operation): string {
  const answer = outcome === "ok" ? (output === undefined ? "" : ` → ${JSON.stringify(output)}`) : ` (${outcome})`;
  return `${client}: ${name}${input === undefined ? "" : ` ${JSON.stringify(input)}`}${answer}`;
}
