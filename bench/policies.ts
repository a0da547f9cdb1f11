import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import * as cockatiel from "cockatiel";
import {
  bulkhead,
  circuitBreaker,
  compose,
  fallback,
  type Operation,
  type Policy,
  type PolicyContext,
  retry,
  timeout,
} from "../src/resilience/index.ts";
import { type Contender, heading, type Match, play, table } from "./compare.ts";

const { values: args } = parseArgs({ options: { quick: { type: "boolean" }, markdown: { type: "string" } } });

/** Opossum has no types of its own. */
type Opossum = new (
  fn: () => Promise<number>,
  options: Readonly<Record<string, unknown>>,
) => { fire(): Promise<number>; shutdown(): void };
const require = createRequire(import.meta.url);
const OpossumBreaker = require("opossum") as Opossum;

const peers = { cockatiel: "4.0", opossum: "10.0" };
let value = 0;
const operation = async (): Promise<number> => value++;

function contender(name: string, call: () => Promise<unknown>): Contender {
  return {
    name,
    async run(count) {
      for (let i = 0; i < count; i++) await call();
    },
  };
}

function ours(policy: Policy<unknown>, run: Operation<number> = operation, name = "Ashlar"): Contender {
  return contender(name, () => policy.execute(run));
}

function cockatiels(
  policy: { execute(fn: (context: { readonly signal: AbortSignal }) => Promise<number>): Promise<unknown> },
  run: (context: { readonly signal: AbortSignal }) => Promise<number> = operation,
): Contender {
  return contender("cockatiel 4.0", () => policy.execute(run));
}

const openBreakers: { shutdown(): void }[] = [];

function opossums(options: Readonly<Record<string, unknown>>): Contender {
  const breaker = new OpossumBreaker(operation, { allowWarmUp: false, ...options });
  openBreakers.push(breaker);
  return contender("opossum 10.0", () => breaker.fire());
}

const theirRetry = () =>
  cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2, backoff: new cockatiel.ExponentialBackoff() });
const theirBreaker = (breaker: cockatiel.IBreaker) =>
  cockatiel.circuitBreaker(cockatiel.handleAll, { halfOpenAfter: 5_000, breaker });
const sampling = () => new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 10_000 });
const theirTimeout = () => cockatiel.timeout(2_000, cockatiel.TimeoutStrategy.Aggressive);

/** What most operations do that can be cancelled. */
function touching({ signal }: { readonly signal: AbortSignal }): Promise<number> {
  return signal.aborted ? Promise.reject(signal.reason) : operation();
}
const touched = (context: PolicyContext): Promise<number> => touching(context);

function matches(): Match[] {
  return [
    // First: it takes many turns of the event loop, and whatever other contenders leave behind slows each of them.
    concurrent(),
    {
      what: "retry, first attempt succeeds",
      goal: 2,
      contenders: [ours(retry()), cockatiels(theirRetry())],
    },
    {
      what: "circuit breaker, consecutive failures",
      goal: 2,
      contenders: [
        ours(circuitBreaker({ consecutiveFailures: 5 })),
        cockatiels(theirBreaker(new cockatiel.ConsecutiveBreaker(5))),
      ],
    },
    {
      what: "circuit breaker, ratio over 10 s",
      goal: 2,
      contenders: [
        ours(circuitBreaker()),
        cockatiels(theirBreaker(sampling())),
        opossums({ timeout: false, errorThresholdPercentage: 50, rollingCountTimeout: 10_000 }),
      ],
    },
    {
      what: "circuit breaker, ratio over 100 calls",
      goal: 2,
      contenders: [
        ours(circuitBreaker({ window: { calls: 100 } })),
        cockatiels(theirBreaker(new cockatiel.CountBreaker({ threshold: 0.5, size: 100 }))),
      ],
    },
    {
      what: "bulkhead, room inside",
      goal: 2,
      contenders: [ours(bulkhead({ concurrency: 20 })), cockatiels(cockatiel.bulkhead(20, 20))],
    },
    {
      what: "timeout",
      goal: 2,
      contenders: [ours(timeout("2s")), cockatiels(theirTimeout())],
    },
    {
      what: "timeout, the operation reads its signal",
      goal: 2,
      contenders: [ours(timeout("2s"), touched), cockatiels(theirTimeout(), touching)],
    },
    {
      what: "fallback, not needed",
      goal: 2,
      contenders: [ours(fallback(0)), cockatiels(cockatiel.fallback(cockatiel.handleAll, 0))],
    },
    {
      what: "circuit breaker with timeout",
      goal: 2,
      contenders: [
        ours(compose(circuitBreaker(), timeout("2s"))),
        cockatiels(cockatiel.wrap(theirBreaker(sampling()), theirTimeout())),
        opossums({ timeout: 2_000, errorThresholdPercentage: 50, rollingCountTimeout: 10_000 }),
      ],
    },
    {
      what: "retry, circuit breaker, timeout",
      goal: 2,
      contenders: [
        ours(compose(retry(), circuitBreaker(), timeout("2s"))),
        cockatiels(cockatiel.wrap(theirRetry(), theirBreaker(sampling()), theirTimeout())),
      ],
    },
    {
      what: "retry, circuit breaker, timeout; the operation reads its signal",
      goal: 2,
      contenders: [
        ours(compose(retry(), circuitBreaker(), timeout("2s")), touched),
        cockatiels(cockatiel.wrap(theirRetry(), theirBreaker(sampling()), theirTimeout()), touching),
      ],
    },
    {
      what: "timeout, retry, circuit breaker, bulkhead",
      goal: 2,
      contenders: [
        ours(compose(timeout("2s"), retry(), circuitBreaker(), bulkhead({ concurrency: 20 }))),
        cockatiels(cockatiel.wrap(theirTimeout(), theirRetry(), theirBreaker(sampling()), cockatiel.bulkhead(20, 20))),
      ],
    },
  ];
}

/** A thousand calls at once, which end in a later turn of the event loop, so that timers and queues are really in use. */
function concurrent(): Match {
  const later = (): Promise<number> => new Promise((resolve) => void setImmediate(() => resolve(value++)));
  const batch = 1_000;
  const inBatches = (name: string, call: () => Promise<unknown>): Contender => ({
    name,
    async run(count) {
      for (let done = 0; done < count; done += batch)
        await Promise.all(Array.from({ length: Math.min(batch, count - done) }, call));
    },
  });
  const policy = compose(bulkhead({ concurrency: 100, queue: batch }), timeout("2s"));
  const theirs = cockatiel.wrap(cockatiel.bulkhead(100, batch), theirTimeout());
  return {
    what: "1,000 calls at once through 100 places, each with a timeout",
    goal: 2,
    contenders: [
      inBatches("Ashlar", () => policy.execute(later)),
      inBatches("cockatiel 4.0", () => theirs.execute(later)),
    ],
  };
}

const results = [];
for (const match of matches()) {
  const result = await play(match, args.quick ? { rounds: 3, ms: 30 } : {});
  results.push(result);
  if (!args.markdown) console.log(table([result]));
}
for (const breaker of openBreakers) breaker.shutdown();

const baseline = await play(
  { what: "baseline", contenders: [contender("no policy", operation)] },
  args.quick ? { rounds: 3, ms: 30 } : {},
);
const report = `# Policies

What a call costs beyond the operation, which is \`async () => n++\`; lower is better, and a ratio above 1 is in favour of Ashlar. Calls run one after another, but where a row says
otherwise. Cockatiel's timeout is its "aggressive" one, which frees the caller as ours does. The goal of 2 × is out of reach where a policy has nothing to do but to stand by: the last line is what the awaited operation alone takes,
and the promise between it and the caller another 10 to 20 ns. Run with \`node bench/policies.ts\`.

${heading(peers)}

${table([...results, baseline])}
`;
if (args.markdown) writeFileSync(args.markdown, report);
else console.log(report);
