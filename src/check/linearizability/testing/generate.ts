import type { Operation } from "../../history.ts";
import type { Dice } from "./dice.ts";
import type { Request, TestObject } from "./objects.ts";

export interface GenerateOptions {
  readonly clients: number;
  readonly operations: number;
  /** Probability that the outcome of an operation is unknown; half of these take effect, sooner or later. Default 0. */
  readonly unknown?: number;
  /** Probability that after a step of one client another has its turn: the smaller, the fewer operations overlap. Default 1. */
  readonly shuffled?: number;
}

interface Call {
  readonly request: Request;
  readonly id: number;
  readonly isLost: boolean;
  /** Set when it has taken effect. */
  output?: unknown;
  isDone: boolean;
}

/** A history of clients who use the object side by side, where each operation takes effect at a random instant of its time. */
export function generate(object: TestObject, dice: Dice, options: GenerateOptions): Operation[] {
  const { clients, operations, unknown = 0, shuffled = 1 } = options;
  const history: Operation[] = [];
  const busy = new Map<number, Call>();
  const lost: Call[] = [];
  const names = Array.from({ length: clients }, (_, client) => `c${client}`);
  let position = 0;
  let client = 0;
  const take = (call: Call): void => {
    call.output = object.run(call.request, dice);
    call.isDone = true;
  };
  while (history.length < operations || busy.size > 0) {
    if (lost.length > 0 && dice.chance(0.1)) take(lost.splice(dice.below(lost.length), 1)[0] as Call);
    if (dice.chance(shuffled)) client = dice.below(clients);
    const call = busy.get(client);
    if (!call) {
      if (history.length >= operations) continue;
      const id = history.length;
      const request = object.request(dice);
      busy.set(client, { request, id, isLost: dice.chance(unknown), isDone: false });
      const asked = { id, client: names[client] as string, ...request };
      history.push({ ...asked, outcome: "unknown", called: position++, returned: Infinity });
    } else if (call.isLost) {
      busy.delete(client);
      names[client] += "'";
      if (dice.chance(0.5)) lost.push(call);
    } else if (call.isDone) {
      busy.delete(client);
      const asked = history[call.id] as Operation;
      const answer = call.output === undefined ? {} : { output: call.output };
      history[call.id] = { ...asked, ...answer, outcome: "ok", returned: position++ };
    } else take(call);
  }
  return history;
}

/** The history with one thing changed: an output, an interval, an outcome, or an operation missing. */
export function mutate(history: readonly Operation[], dice: Dice): Operation[] {
  const at = dice.below(history.length);
  const operation = history[at] as Operation;
  const replaced = (changed: Partial<Operation>): Operation[] =>
    history.with(at, { ...operation, ...changed }).toSorted((a, b) => a.called - b.called);
  if (dice.chance(0.1)) return history.toSpliced(at, 1);
  const { outcome, name, called, returned } = operation;
  if (outcome !== "ok") return outcome === "failed" ? [...history] : replaced({ called: called + dice.below(6) + 0.5 });
  switch (dice.below(6)) {
    case 0:
      return replaced({ returned: called + 0.5 });
    case 1:
      return replaced({ called: returned - 0.5 });
    case 2:
      return replaced(dice.chance(0.5) ? { outcome: "failed" } : { outcome: "unknown", returned: Infinity });
    default: {
      const others = history.filter((other) => other.name === name && other.output !== undefined);
      return others.length === 0 ? [...history] : replaced({ output: dice.pick(others).output });
    }
  }
}
