import type { Model } from "../linearizability/model.ts";
import { byKey, isAnswered, isInteger, knownName, malformed } from "./arguments.ts";

/**
 * A sum, at first 0. With keys: a counter for each.
 *
 * | name   | input                          | output                   |
 * | ------ | ------------------------------ | ------------------------ |
 * | `add`  | an integer; absent or null: 1  | the new sum, or absent   |
 * | `read` |                                | the sum                  |
 */
export const counter: Model<number> = {
  name: "counter",
  initial: 0,
  validate(operation) {
    knownName(operation, ["add", "read"]);
    const { name, input, output, outcome } = operation;
    const isGiven = (value: unknown): boolean => value !== undefined && value !== null;
    if (name === "add" && isGiven(input) && !isInteger(input)) throw malformed(operation, "input", "an integer");
    if ((isGiven(output) || (name === "read" && outcome === "ok")) && !isInteger(output))
      throw malformed(operation, "output", "an integer");
  },
  partition: byKey,
  step(state, { name, input, output }) {
    if (name === "read") return output === state ? state : undefined;
    const sum = state + amount(input);
    return isInteger(output) && output !== sum ? undefined : sum;
  },
  key: (state) => state,
  isRead: ({ name, input }) => name === "read" || amount(input) === 0,
  transition(operation) {
    const { name, input, output } = operation;
    if (!isAnswered(operation) || !isInteger(output)) return undefined;
    return { from: name === "read" ? output : output - amount(input), to: output };
  },
};

function amount(input: unknown): number {
  return isInteger(input) ? input : 1;
}
