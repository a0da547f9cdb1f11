import type { Operation } from "../history.ts";
import type { Model, Transition } from "../linearizability/model.ts";
import { byKey, field, isAnswered, isInteger, knownName, malformed } from "./arguments.ts";
import { canonical } from "./canonical.ts";

/** The value as canonical JSON, so that states are their own keys. */
type Value = string;

const absent: Value = "null";

/** The operations of registers; each model allows some of them. */
function registerOf(name: string, names: readonly string[], needsKey: boolean): Model<Value> {
  return {
    name,
    initial: absent,
    validate(operation) {
      knownName(operation, names);
      if (needsKey && operation.key === undefined) throw malformed(operation, "key", "a string");
      validate(operation);
    },
    partition: byKey,
    step,
    key: (state) => state,
    isRead: (operation) => operation.name === "get" || isRefused(operation),
    observes: isRefused,
    transition,
    concerns(operation) {
      const known = transition(operation);
      return known && (known.from === undefined ? [known.to] : [known.from, known.to]);
    },
    showState: (state) => state,
  };
}

/**
 * One value, at first `null`, which also stands for nothing. With keys: a register for each.
 *
 * | name  | input     | output               |
 * | ----- | --------- | -------------------- |
 * | `get` |           | the value, or `null` |
 * | `set` | the value | anything             |
 */
export const register: Model<string> = registerOf("register", ["get", "set"], false);

/**
 * A register with compare-and-set.
 *
 * | name  | input                        | output               |
 * | ----- | ---------------------------- | -------------------- |
 * | `get` |                              | the value, or `null` |
 * | `set` | the value                    | anything             |
 * | `cas` | `{"expected": …, "value": …}` | `false`: not swapped, because the value was another; anything else: swapped |
 *
 * A `cas` with outcome "failed" and output `false` is an observation as well; without an output it did not happen.
 */
export const casRegister: Model<string> = registerOf("cas-register", ["get", "set", "cas"], false);

/**
 * A map from keys to values. Every operation has a key, and an absent key has the value `null`.
 *
 * | name     | input                         | output |
 * | -------- | ----------------------------- | ------ |
 * | `get`    |                               | the value, or `null` |
 * | `set`    | the value                     | anything |
 * | `delete` |                               | `true`: there was a value; `false`: there was none; else it does not say |
 * | `cas`    | `{"expected": …, "value": …}` | `false`: not swapped, because the value was another; anything else: swapped |
 * | `add`    | an integer                    | the new sum, or absent; only possible where the value is an integer or absent (0) |
 *
 * `null` in a `cas` stands for an absent key, as what is expected and as what is written. A `cas` with outcome "failed" and output
 * `false` is an observation as well.
 */
export const keyValue: Model<string> = registerOf("key-value", ["get", "set", "delete", "cas", "add"], true);

function validate(operation: Operation): void {
  const { name, input, output } = operation;
  if (name === "cas" && (field(input, "expected") === undefined || field(input, "value") === undefined))
    throw malformed(operation, "input", '{"expected": …, "value": …}');
  if (name === "add") {
    if (!isInteger(input)) throw malformed(operation, "input", "an integer");
    if (output !== undefined && output !== null && !isInteger(output))
      throw malformed(operation, "output", "an integer");
  }
}

/** A compare-and-set that found another value, or a delete that found none. */
function isRefused({ name, output }: Operation): boolean {
  return (name === "cas" || name === "delete") && output === false;
}

function step(state: Value, operation: Operation): Value | undefined {
  const { name, input, output } = operation;
  switch (name) {
    case "get":
      return canonical(output) === state ? state : undefined;
    case "set":
      return canonical(input);
    case "delete":
      if (output === false) return state === absent ? state : undefined;
      return output === true && state === absent ? undefined : absent;
    case "cas": {
      const matches = canonical(field(input, "expected")) === state;
      if (output === false) return matches ? undefined : state;
      return matches ? canonical(field(input, "value")) : undefined;
    }
    default: {
      const before: unknown = state === absent ? 0 : JSON.parse(state);
      if (!isInteger(before)) return undefined;
      const sum = before + (input as number);
      return isInteger(output) && output !== sum ? undefined : canonical(sum);
    }
  }
}

function transition(operation: Operation): Transition | undefined {
  const { name, input, output } = operation;
  switch (name) {
    case "get": {
      const value = canonical(output);
      return isAnswered(operation) ? { from: value, to: value } : undefined;
    }
    case "set":
      return { to: canonical(input) };
    case "delete":
      if (output === false) return { from: absent, to: absent };
      return output === true ? undefined : { to: absent };
    case "cas":
      if (output === false) return undefined;
      return { from: canonical(field(input, "expected")), to: canonical(field(input, "value")) };
    default:
      return undefined;
  }
}
