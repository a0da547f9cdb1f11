import type { Duration, Runtime } from "../core/index.ts";
import { refuseUnknown } from "../core/index.ts";
import { bulkhead } from "./bulkhead.ts";
import { circuitBreaker } from "./circuit-breaker.ts";
import { compose } from "./compose.ts";
import type { Policy } from "./policy.ts";
import { retry } from "./retry.ts";
import type { RetryBudget } from "./retry-budget.ts";
import { timeout } from "./timeout.ts";

export interface DefaultPolicyOptions {
  /** For all attempts together. Default "10s". */
  readonly timeout?: Duration;
  /** For each attempt. Default "3s". */
  readonly attemptTimeout?: Duration;
  /** Default 3. */
  readonly attempts?: number;
  /** Default 32. */
  readonly concurrency?: number;
  /** Default: one of its own. */
  readonly budget?: RetryBudget;
  /** Whether to retry when an attempt's outcome is unknown. Default false. */
  readonly idempotent?: boolean;
  /** Results that are failures, for retry and breaker. Default: none. */
  readonly isFailure?: (result: unknown) => boolean;
  /** For messages and diagnostics. Default "call". */
  readonly name?: string;
  readonly runtime?: Runtime;
}

/**
 * The recommended order with safe defaults, one for each dependency: a deadline for all of it, so that the caller is free in time; retries within it and within a budget; a
 * bulkhead, so that waiting for a place is not held against the dependency; a breaker, which sees each attempt and its timeout; a timeout for each attempt.
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function defaultPolicy(options: DefaultPolicyOptions = {}): Policy {
  refuseUnknown(options, [
    "timeout",
    "attemptTimeout",
    "attempts",
    "concurrency",
    "budget",
    "idempotent",
    "isFailure",
    "name",
    "runtime",
  ]);
  const { attempts, concurrency, budget, idempotent, isFailure, name = "call", runtime } = options;
  const seam = runtime === undefined ? {} : { runtime };
  const failure = isFailure === undefined ? {} : { isFailure };
  return compose(
    timeout(options.timeout ?? "10s", { name, ...seam }),
    retry({
      ...(attempts !== undefined && { attempts }),
      ...(budget !== undefined && { budget }),
      ...(idempotent !== undefined && { idempotent }),
      name,
      ...failure,
      ...seam,
    }),
    bulkhead({ ...(concurrency !== undefined && { concurrency }), name, ...seam }),
    circuitBreaker({ name, ...failure, ...seam }),
    timeout(options.attemptTimeout ?? "3s", { name: `${name}: attempt`, ...seam }),
  );
}
