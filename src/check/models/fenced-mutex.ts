import type { Model } from "../linearizability/model.ts";
import { byKey, isAnswered, isInteger, knownName, malformed } from "./arguments.ts";

/** Who holds a lock with fencing tokens, and what the resource behind it has seen. */
export interface FencedMutexState {
  /** Token of the holder; -1: held under a token that nobody learned; `null`: free. */
  readonly holder: number | null;
  /** Greatest token that was given. */
  readonly given: number;
  /** Greatest token that the resource has accepted. */
  readonly accepted: number;
}

const unknownToken = -1;

/**
 * A lock that gives each holder a token greater than all before, and a resource that refuses whoever comes with a token smaller
 * than one that it has accepted. With keys: a lock and a resource for each.
 *
 * | name      | input   | output |
 * | --------- | ------- | ------ |
 * | `acquire` |         | the token, an integer from 0; `null` or `false`: somebody held the lock |
 * | `release` | a token; absent or `null`: of whoever holds it | `false`: it did not hold the lock; else it is free now |
 * | `check`   | a token | `true`: the resource accepted it; `false`: it had accepted a greater one |
 *
 * A lease that runs out is a `release` of unknown outcome: it happens some time after its call. Record it called right after
 * the token was given, with the token as its input.
 */
export const fencedMutex: Model<FencedMutexState> = {
  name: "fenced-mutex",
  initial: { holder: null, given: -1, accepted: -1 },
  validate(operation) {
    knownName(operation, ["acquire", "release", "check"]);
    const { name, input, output, outcome } = operation;
    const isToken = (value: unknown): boolean => isInteger(value) && value >= 0;
    const isAny = name === "release" && (input === undefined || input === null);
    if (name !== "acquire" && !isAny && !isToken(input))
      throw malformed(operation, "input", "a token, an integer from 0");
    if (outcome !== "ok") return;
    if (name === "acquire" && output !== null && output !== false && !isToken(output))
      throw malformed(operation, "output", "a token, an integer from 0, or null");
    if (name === "check" && typeof output !== "boolean") throw malformed(operation, "output", "true or false");
  },
  partition: byKey,
  step(state, operation) {
    const { holder, given, accepted } = state;
    const { name, input, output } = operation;
    if (name === "acquire") {
      if (!isAnswered(operation)) return holder === null ? { ...state, holder: unknownToken } : undefined;
      if (!isInteger(output)) return holder === null ? undefined : state;
      return holder === null && output > given ? { holder: output, given: output, accepted } : undefined;
    }
    if (name === "release") {
      // A token that nobody learned may be any greater than those before; who names one may be right.
      const mayHold = holder === unknownToken && isInteger(input) && input > given;
      const holds = isInteger(input) ? holder === input : holder !== null;
      if (output === false) return holds ? undefined : state;
      if (mayHold) return { holder: null, given: input, accepted };
      return holds ? { ...state, holder: null } : undefined;
    }
    const token = input as number;
    if (output === false) return token < accepted ? state : undefined;
    return token >= accepted ? { ...state, accepted: token } : undefined;
  },
  key: ({ holder, given, accepted }) => `${holder},${given},${accepted}`,
  isRead: ({ name, output, outcome }) =>
    outcome !== "unknown" && (output === false || (name === "acquire" && output === null)),
  showState({ holder, given, accepted }) {
    const lock = holder === null ? "free" : holder === unknownToken ? "held" : `held under ${holder}`;
    return `${lock}, greatest token given ${given < 0 ? "none" : given}, accepted ${accepted < 0 ? "none" : accepted}`;
  },
};
