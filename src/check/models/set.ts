import type { Operation } from "../history.ts";
import type { Model } from "../linearizability/model.ts";
import { byKey, isAnswered, knownName, malformed } from "./arguments.ts";
import { canonical } from "./canonical.ts";

/**
 * A set of JSON values, at first empty. With keys: a set for each.
 *
 * | name       | input       | output                                                            |
 * | ---------- | ----------- | ----------------------------------------------------------------- |
 * | `add`      | the element | `true`: it was not in it; `false`: it was; else it does not say   |
 * | `remove`   | the element | `true`: it was in it; `false`: it was not; else it does not say   |
 * | `contains` | the element | `true` or `false`                                                 |
 * | `read`     |             | an array of all elements, in any order                            |
 */
export const set: Model<readonly string[]> = {
  name: "set",
  initial: [],
  validate(operation) {
    knownName(operation, ["add", "remove", "contains", "read"]);
    const { name, input, output, outcome } = operation;
    if (name !== "read" && input === undefined) throw malformed(operation, "input", "an element");
    if (outcome !== "ok") return;
    if (name === "contains" && typeof output !== "boolean") throw malformed(operation, "output", "true or false");
    if (name === "read" && !Array.isArray(output)) throw malformed(operation, "output", "an array of elements");
  },
  partition: byKey,
  step(state, operation) {
    const { name, input, output } = operation;
    if (name === "read") return isAnswered(operation) && equals(state, output) ? state : undefined;
    const element = canonical(input);
    const isIn = state.includes(element);
    if (name === "contains") return output === isIn ? state : undefined;
    if (output === (name === "add" ? isIn : !isIn)) return undefined;
    if (isIn === (name === "add")) return state;
    return isIn ? state.filter((each) => each !== element) : [...state, element].sort();
  },
  key: (state) => state.join(),
  isRead: ({ name, output }) => name === "read" || name === "contains" || output === false,
  concerns: ({ name, input }: Operation) => (name === "read" ? undefined : [canonical(input)]),
  showState: (state) => `{${state.join(", ")}}`,
};

function equals(state: readonly string[], output: unknown): boolean {
  return (output as unknown[]).map(canonical).sort().join() === state.join();
}
