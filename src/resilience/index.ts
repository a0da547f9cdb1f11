export {
  type AdaptiveConcurrency,
  type AdaptiveConcurrencyOptions,
  adaptiveConcurrency,
} from "./adaptive-concurrency.ts";
export type { Jitter } from "./backoff-delays.ts";
export type { BreakerHint, BreakerHints } from "./breaker-hints.ts";
export type { BreakerState, BreakerTransition, CircuitBreakerOptions } from "./breaker-options.ts";
export { type Bulkhead, type BulkheadOptions, bulkhead } from "./bulkhead.ts";
export { type BusHintsOptions, busHints, type HintBus } from "./bus-hints.ts";
export { type CircuitBreaker, circuitBreaker } from "./circuit-breaker.ts";
export { compose } from "./compose.ts";
export type { LimitAlgorithmName } from "./concurrency-limits.ts";
export { type DefaultPolicyOptions, defaultPolicy } from "./default-policy.ts";
export { type FallbackOptions, fallback } from "./fallback.ts";
export { type HedgeOptions, hedge } from "./hedge.ts";
export { type Keyed, type KeyedOptions, keyed } from "./keyed.ts";
export { type LoadShedding, type LoadSheddingOptions, loadShedding } from "./load-shedding.ts";
export type { ExecuteOptions, Operation, Policy, PolicyContext, Priority, SubstituteOf } from "./policy.ts";
export { type RetryOptions, retry } from "./retry.ts";
export { retryAfterMs } from "./retry-after.ts";
export { type RetryBudget, type RetryBudgetOptions, retryBudget } from "./retry-budget.ts";
export { type Timeout, type TimeoutOptions, timeout } from "./timeout.ts";
export { isFailedResponse, type Transience, tellsOfTrouble, transienceOf } from "./transience.ts";
