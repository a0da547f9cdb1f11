import assert from "node:assert/strict";
import { isAshlarError, sleep, UnavailableError } from "../../core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../simulation/index.ts";
import { bulkhead, circuitBreaker, compose, hedge, type PolicyContext, retry, retryBudget, timeout } from "../index.ts";

/**
 * Callers that ask a server which crashes, stops and is cut off, through a composed policy and through hedges.
 *
 * Invariants: a call ends by its deadline; attempts stay within the budget of retries; never more are under way than the bulkhead has places; a hedged call has two attempts at most, and whose
 * attempt lost knows it when the call returns; a breaker that is open lets nothing through but probes. After the faults all calls succeed again.
 */
export const policies: Scenario = {
  name: "policies",
  faults: ["network", "process", "clock", "code"],
  nodes: {
    server: { count: 2, start: serve },
    // A caller that stands still is late, whatever its policy.
    caller: { count: 3, start: call, spare: ["pause", "crash", "power-loss"] },
  },
  workload: { clients: 1, operations: 12, think: 1500, setup, operation: () => {} },
  budget: { faults: "20s", heal: "90s" },
  eventually: { "all calls succeed again": allSucceed },
};

const port = 80;
const deadlineMs = 2000;
/** Timers are late by the drift of the clock and a turn of the loop. */
const latenessMs = 40;
const places = 8;
const budgetOf = { ratio: 0.2, minPerSecond: 5, capacity: 20 };
const healthy = 30;

interface Book {
  /** Successes in a row, by caller. */
  readonly row: Map<string, number>;
}
const bookOf = (state: World["state"]) => state.get("book") as Book;

function setup({ state }: World): void {
  state.set("book", { row: new Map() } satisfies Book);
}

function serve({ network, runtime }: SimulatedNode): void {
  network.bind(port, ({ from, fromPort, payload }) => {
    // Now and then slow.
    const ms = runtime.random.next() < 0.05 ? 400 : runtime.random.next() * 20;
    runtime.timers.after(ms, () => network.send(from, fromPort, payload));
  });
}

type Ask = (server: string, signal: AbortSignal) => Promise<number>;

/** Questions by datagram: what is lost is never answered. */
function asker({ network }: SimulatedNode): Ask {
  const answers = new Map<number, () => void>();
  let last = 0;
  network.bind(1000, ({ payload }) => answers.get(payload as number)?.());
  return (server, signal) => {
    const id = ++last;
    return new Promise<number>((resolve, reject) => {
      const end = (settle: () => void) => (): void => {
        answers.delete(id);
        settle();
      };
      answers.set(
        id,
        end(() => resolve(id)),
      );
      signal.addEventListener(
        "abort",
        end(() => reject(signal.reason)),
        { once: true },
      );
      network.send(server, port, id, 1000);
    });
  };
}

function call(node: SimulatedNode): void {
  const ask = asker(node);
  const servers = node.peers("server");
  composed(node, (signal) => ask(servers[0] as string, signal));
  hedged(node, (attempt, signal) => ask(servers[attempt % servers.length] as string, signal));
}

function composed({ runtime, name, state }: SimulatedNode, ask: (signal: AbortSignal) => Promise<number>): void {
  const budget = retryBudget({ ...budgetOf, runtime });
  const breaker = circuitBreaker({ runtime, minimumCalls: 10, openFor: 500, maxOpenFor: 2000, probes: 1 });
  const hold = bulkhead({ runtime, concurrency: places, queue: 20, queueTimeout: 300 });
  const policy = compose(
    timeout(deadlineMs, { runtime }),
    retry({ runtime, attempts: 4, budget, idempotent: true }),
    hold,
    breaker,
    timeout(200, { runtime }),
  );
  const { clock } = runtime;
  const startedAt = clock.monotonic();
  const seen = { calls: 0, attempts: 0, inside: 0, probing: 0 };
  const operation = async ({ signal }: PolicyContext): Promise<number> => {
    seen.attempts++;
    const bound =
      seen.calls +
      budgetOf.capacity +
      budgetOf.ratio * seen.calls +
      (budgetOf.minPerSecond * (clock.monotonic() - startedAt)) / 1000;
    assert.ok(seen.attempts <= bound + 1, `${seen.attempts} attempts for ${seen.calls} calls`);
    assert.ok(++seen.inside <= places, `${seen.inside} under way`);
    const probe = breaker.state !== "closed";
    if (probe) assert.ok(++seen.probing <= 1, `${seen.probing} probes at a time`);
    try {
      return await ask(signal);
    } finally {
      seen.inside--;
      if (probe) seen.probing--;
    }
  };
  const one = async (): Promise<void> => {
    seen.calls++;
    const begun = clock.monotonic();
    const outcome = await policy.execute(operation).then(
      () => "done" as const,
      (error: unknown) => error,
    );
    const took = clock.monotonic() - begun;
    assert.ok(took <= deadlineMs + latenessMs, `a call took ${took} ms`);
    if (outcome !== "done") assert.ok(isAshlarError(outcome), `${outcome}`);
    const { row } = bookOf(state);
    row.set(name, outcome === "done" ? (row.get(name) ?? 0) + 1 : 0);
  };
  void (async () => {
    for (;;) {
      // Bursts that need the bulkhead's queue.
      for (let i = runtime.random.next() < 0.1 ? 15 : 1; i > 0; i--) void one();
      await sleep(runtime, runtime.random.next() * 60);
    }
  })();
}

function hedged({ runtime }: SimulatedNode, ask: (attempt: number, signal: AbortSignal) => Promise<number>): void {
  const policy = compose(
    timeout(deadlineMs, { runtime }),
    hedge({ runtime, idempotent: true, delay: { percentile: 0.9, initial: 30 }, budget: false }),
  );
  void (async () => {
    for (;;) {
      const signals: AbortSignal[] = [];
      let failed = 0;
      const begun = runtime.clock.monotonic();
      await policy
        .execute(({ attempt, signal }) => {
          assert.equal(signals.push(signal), attempt);
          assert.ok(attempt <= 2);
          if (runtime.random.next() < 0.05) {
            failed++;
            throw new UnavailableError("refused");
          }
          return ask(attempt, signal);
        })
        .then(
          () => assert.ok(signals.filter(({ aborted }) => !aborted).length <= 1 + failed, "a loser does not know it"),
          (error: unknown) => assert.ok(isAshlarError(error), `${error}`),
        );
      assert.ok(runtime.clock.monotonic() - begun <= deadlineMs + latenessMs);
      await sleep(runtime, runtime.random.next() * 100);
    }
  })();
}

function allSucceed({ state, running }: World): boolean {
  for (const name of running("caller")) {
    const row = bookOf(state).row.get(name) ?? 0;
    assert.ok(row >= healthy, `${name}: ${row} successes in a row`);
  }
  return running("caller").length > 0;
}
