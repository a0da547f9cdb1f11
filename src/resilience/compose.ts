import { invalidArgument, systemRuntime } from "../core/index.ts";
import { layered, layersIn } from "./layered.ts";
import type { Policy, SubstituteOf } from "./policy.ts";

/**
 * One policy of several, the outermost first: `compose(timeout("2s"), retry())` allows two seconds for all attempts together, `compose(retry(), timeout("2s"))` for each. State
 * (of breakers, bulkheads, budgets) stays with the parts, which may be parts of other compositions too.
 * @throws InvalidArgumentError none given, one that is no policy, or parts with different runtimes
 */
export function compose<P extends readonly Policy<unknown>[]>(...policies: P): Policy<SubstituteOf<P[number]>> {
  if (policies.length === 0) throw invalidArgument("policies", policies, "one policy or more");
  for (const [i, policy] of policies.entries()) {
    if (typeof policy?.execute !== "function") throw invalidArgument(`policies[${i}]`, policy, "a policy");
  }
  const runtimes = new Set(policies.flatMap((policy) => layersIn(policy, systemRuntime)).map(({ runtime }) => runtime));
  const [runtime = systemRuntime] = runtimes;
  if (runtimes.size > 1)
    throw invalidArgument(
      "policies",
      `${runtimes.size} runtimes`,
      "policies with the same `runtime`, so that deadlines mean the same to all",
    );
  return layered(
    policies.flatMap((policy) => layersIn(policy, runtime)),
    runtime,
  ) as Policy<SubstituteOf<P[number]>>;
}
