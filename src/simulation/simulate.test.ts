import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError, sleep } from "../core/index.ts";
import { explore } from "./explore.ts";
import type { Scenario, SimulatedNode } from "./scenario.ts";
import { simulate } from "./simulate.ts";

/** A scenario with one client that does nothing unless told otherwise, and no faults. */
function quiet(changes: Partial<Scenario> & { readonly operations?: number } = {}): Scenario {
  const { operations = 1, ...others } = changes;
  return { faults: "none", workload: { clients: 1, operations, think: 10, operation: () => {} }, ...others };
}

const counting: Scenario = {
  name: "counting",
  workload: {
    operation: async ({ engine }) => {
      await engine.transact(async (tx) => tx.set(["n"], ((await tx.get<number>(["n"])) ?? 0) + 1));
    },
  },
};

test("the same seed gives the same run, another seed another one", async () => {
  const hashes = new Set<string>();
  for (let seed = 0; seed < 12; seed++) {
    const first = await simulate({ ...counting, seed });
    const second = await simulate({ ...counting, seed, trace: true });
    assert.deepEqual(
      [second.traceHash, second.events, second.virtualMs, second.struck],
      [first.traceHash, first.events, first.virtualMs, first.struck],
    );
    const message = second.timeline.find(({ kind, to }) => kind === "message" && to === "engine");
    assert.ok(message?.sentAt !== undefined && message.sentAt < message.at);
    hashes.add(first.traceHash);
  }
  assert.equal(hashes.size, 12);
});

test("a replay that differs names the first decision that does", async () => {
  const recorded = await simulate({ ...counting, seed: 1, record: true });
  const same = await simulate({ ...counting, seed: 1, expected: recorded.recorded });
  assert.equal(same.divergence, undefined);
  const changed: Scenario = {
    ...counting,
    workload: {
      operation: async ({ engine, operation, runtime }) => {
        if (operation === 3) runtime.random.next();
        await engine.transact(async (tx) => tx.set(["n"], ((await tx.get<number>(["n"])) ?? 0) + 1));
      },
    },
  };
  const { divergence } = await simulate({ ...changed, seed: 1, expected: recorded.recorded });
  assert.ok(divergence && divergence.index > 50);
  assert.match(divergence.found?.label ?? "", /^client-\d random$/);
});

test("a crash ends everything that its process was about to do", async () => {
  const ticks: string[] = [];
  let ended = false;
  const start = async ({ runtime, incarnation, engine }: SimulatedNode): Promise<void> => {
    const tick = (): void => {
      ticks.push(`${incarnation}`);
      runtime.timers.after(20, tick);
    };
    tick();
    if (incarnation > 0) return;
    void (async () => {
      try {
        for (;;) await engine.kv.set(["last"], ticks.length);
      } finally {
        // Not even this runs when a process is killed.
        ended = true;
      }
    })();
  };
  const result = await simulate({
    ...quiet({ operations: 100, faults: ["crash"], strengths: { crash: 0.3 }, nodes: { node: { start } } }),
    seed: 4,
  });
  assert.equal(result.failure, undefined);
  assert.ok(result.struck.length > 0);
  assert.equal(ended, false);
  // Once a later life has begun, no earlier one is heard of.
  assert.deepEqual(ticks, ticks.toSorted());
  assert.ok(new Set(ticks).size > 1);
});

test("a paused process goes on where it was, and finds that time has passed", async () => {
  let longest = 0;
  const start = ({ runtime }: SimulatedNode): void => {
    let last = runtime.clock.monotonic();
    const tick = (): void => {
      const now = runtime.clock.monotonic();
      longest = Math.max(longest, now - last);
      last = now;
      runtime.timers.after(10, tick);
    };
    tick();
  };
  const scenario = quiet({ operations: 300, faults: ["pause"], strengths: { pause: 0.5 }, nodes: { node: { start } } });
  const result = await simulate({ ...scenario, seed: 1 });
  assert.ok(result.ok);
  assert.ok(longest > 100, String(longest));
});

test("clocks are wrong, drift and jump, each on its own machine, and timers follow the machine's", async () => {
  const seen = new Map<string, { wall: number[]; rate: number }>();
  const start = ({ runtime, name }: SimulatedNode): void => {
    const clock = { wall: [] as number[], rate: 1 };
    seen.set(name, clock);
    const began = { mono: runtime.clock.monotonic(), wall: runtime.clock.now() };
    const tick = (): void => {
      const elapsed = runtime.clock.monotonic() - began.mono;
      clock.wall.push(runtime.clock.now() - began.wall - elapsed);
      runtime.timers.after(100, tick);
    };
    tick();
  };
  const strengths = { offset: 1, drift: 1, jump: 0.5 };
  await simulate({
    ...quiet({ operations: 500, faults: ["clock"], strengths, nodes: { node: { count: 3, start } } }),
    seed: 9,
  });
  assert.equal(seen.size, 3);
  assert.ok([...seen.values()].some(({ wall }) => wall.some((error) => Math.abs(error) > 1)));
});

test("machines that drift fire their timers at their own pace", async () => {
  const finished: number[] = [];
  const start = async ({ runtime, state }: SimulatedNode): Promise<void> => {
    await sleep(runtime, 10_000);
    finished.push((state.get("now") as () => number)());
  };
  const scenario = quiet({ faults: ["drift"], strengths: { drift: 1 }, nodes: { node: { count: 4, start } } });
  const { ok } = await simulate({
    ...scenario,
    workload: { ...scenario.workload, setup: (world) => void world.state.set("now", () => world.now) },
    seed: 2,
  });
  assert.ok(ok);
  assert.equal(new Set(finished).size, 4);
  for (const at of finished) assert.ok(at > 9_890 && at < 10_120, String(at));
});

test("an invariant that does not hold fails the run at once, with the name and the moment", async () => {
  const result = await simulate({
    ...quiet({ operations: 50 }),
    invariants: {
      "less than 100 ms": ({ now }) => {
        if (now > 100) throw new Error(`it is ${Math.floor(now)}`);
      },
    },
    seed: 3,
  });
  assert.equal(result.failure?.kind, "invariant");
  assert.equal(result.failure?.subject, "less than 100 ms");
  assert.match(result.failure?.message ?? "", /it is 1\d\d$/);
  assert.ok((result.failure?.at ?? 0) < 250);
});

test("what should hold eventually is waited for, and fails the run if it never does", async () => {
  const after = (ms: number): Scenario => quiet({ eventually: { "time passes": ({ now }) => now > ms } });
  assert.ok((await simulate({ ...after(20_000), seed: 1 })).ok);
  const late = await simulate({ ...after(200_000), seed: 1 });
  assert.equal(late.failure?.kind, "eventually");
});

test("an operation that never ends is found out, and named", async () => {
  const waiting = quiet();
  const hanging: Scenario = {
    ...waiting,
    workload: {
      ...waiting.workload,
      operation: (client) => client.record({ name: "wait", key: "k" }, () => new Promise(() => {})),
    },
  };
  const { failure } = await simulate({ ...hanging, seed: 1 });
  assert.equal(failure?.kind, "stuck");
  assert.match(failure?.message ?? "", /client-0: wait k/);
});

test("an error that nobody catches fails the run, or ends the process, as the scenario says", async () => {
  let lives = 0;
  const start = ({ runtime }: SimulatedNode): void => {
    if (++lives === 1) runtime.timers.after(5, () => void Promise.reject(new Error("nobody listens")));
    if (lives === 2) {
      runtime.timers.after(5, () => {
        throw new Error("thrown from a timer");
      });
    }
  };
  const scenario = quiet({ operations: 200, nodes: { node: { start } } });
  const failed = await simulate({ ...scenario, seed: 1 });
  assert.equal(failed.failure?.kind, "uncaught");
  assert.match(failed.failure?.message ?? "", /^node-0: nobody caught Error: nobody listens/);
  lives = 0;
  assert.ok((await simulate({ ...scenario, uncaught: "crash", seed: 1 })).ok);
  assert.equal(lives, 3);
});

test("a mistake of the program fails the run even where errors end the process", async () => {
  const start = ({ runtime }: SimulatedNode): void => {
    runtime.timers.after(5, () => (undefined as unknown as { field: number }).field);
  };
  const { failure } = await simulate({
    ...quiet({ operations: 50, nodes: { node: { start } }, uncaught: "crash" }),
    seed: 1,
  });
  assert.equal(failure?.kind, "uncaught");
  assert.match(failure?.message ?? "", /TypeError/);
});

test("a program that exits is started again", async () => {
  const lives: number[] = [];
  const start = ({ incarnation, exit, runtime }: SimulatedNode): void => {
    lives.push(incarnation);
    if (incarnation < 3) runtime.timers.after(10, () => exit("had enough"));
  };
  const { ok } = await simulate({ ...quiet({ operations: 400, nodes: { node: { start } } }), seed: 1 });
  assert.ok(ok);
  assert.deepEqual(lives, [0, 1, 2, 3]);
});

test("machines that are spared are not harmed", async () => {
  const { struck, ok } = await simulate({
    ...quiet({ operations: 1000, faults: ["process"] }),
    strengths: { crash: 0.3, pause: 0.3, "power-loss": 0.3 },
    nodes: { frail: { spare: ["process"], start: () => {} }, sturdy: { spare: ["pause"], start: () => {} } },
    seed: 1,
  });
  assert.ok(ok);
  assert.deepEqual([...new Set(struck.map(({ site }) => site))], ["sturdy-0"]);
  assert.ok(struck.length > 2 && struck.every(({ kind }) => kind !== "pause"));
});

test("what a node records is in the history, a session for each life, and unknown where it died", async () => {
  const start = (node: SimulatedNode): void => {
    const { record, runtime } = node;
    const work = async (): Promise<void> => {
      for (;;) await record({ name: "work" }, () => sleep(runtime, 20));
    };
    void work();
  };
  const scenario = quiet({ operations: 300, faults: ["crash"], strengths: { crash: 0.5 }, nodes: { node: { start } } });
  const { history, struck } = await simulate({ ...scenario, seed: 2 });
  const sessions = new Set(history.map(({ client }) => client));
  assert.equal(sessions.size, struck.length + 1);
  const unknown = history.filter(({ outcome }) => outcome === "unknown");
  assert.deepEqual(unknown.map(({ client }) => client).sort(), [...sessions].sort());
});

test("invariants are looked at also while no client does anything", async () => {
  const start = ({ runtime, state }: SimulatedNode): void => {
    runtime.timers.after(1_000, () => state.set("broken", true));
    runtime.timers.after(1_500, () => state.delete("broken"));
  };
  const scenario = quiet({ operations: 1, nodes: { node: { start } } });
  const { failure } = await simulate({
    ...scenario,
    workload: { ...scenario.workload, think: 5_000 },
    invariants: { whole: ({ state }) => assert.equal(state.get("broken"), undefined) },
    seed: 4,
  });
  assert.equal(failure?.subject, "whole");
});

test("what does not come to hold says why, and a checker that cannot judge is named", async () => {
  const eventually = { "it holds": () => assert.fail("because of this") };
  const { failure } = await simulate({ ...quiet({ eventually }), seed: 1 });
  assert.match(failure?.message ?? "", /"it holds" does not hold although nothing is wrong any more: because of this/);
  const check = () => {
    throw new Error("malformed");
  };
  const judged = await simulate({ ...quiet({ checks: [{ name: "judge", check }] }), seed: 1 });
  assert.deepEqual([judged.failure?.kind, judged.failure?.subject], ["check", "judge"]);
  const setup = () => assert.fail("no world");
  const begun = await simulate({ ...quiet(), workload: { setup, operation: () => {} }, seed: 1 });
  assert.equal(begun.failure?.subject, "setup");
});

test("an assertion of a client fails the run; an error of a bad world is counted", async () => {
  const asserting: Scenario = { ...quiet(), workload: { operation: () => assert.equal(1, 2) } };
  const { failure } = await simulate({ ...asserting, seed: 1 });
  assert.equal(failure?.kind, "operation");
  const refused: Scenario = {
    ...quiet(),
    workload: {
      clients: 2,
      operations: 5,
      operation: async ({ network }) => void (await network.connect("nowhere", 80)),
    },
  };
  const result = await simulate({ ...refused, seed: 1 });
  assert.deepEqual(result.errors, { ENOTFOUND: 10 });
});

test("a livelock ends at the budget of events", async () => {
  const start = ({ runtime }: SimulatedNode): void => {
    const spin = (): void => void runtime.timers.immediate(spin);
    spin();
  };
  const scenario = quiet({ operations: 100, nodes: { node: { start } }, budget: { events: 5_000 } });
  const { failure, events } = await simulate({ ...scenario, seed: 1 });
  assert.equal(failure?.kind, "budget");
  assert.equal(events, 5_000);
});

test("what a node returns is disposed of in the end; one that does not stop fails the run", async () => {
  const stopped: string[] = [];
  const disposable = (name: string, ms: number, { runtime }: SimulatedNode): AsyncDisposable => ({
    async [Symbol.asyncDispose]() {
      await sleep(runtime, ms);
      stopped.push(name);
    },
  });
  const soon = quiet({ nodes: { node: { count: 2, start: (node) => disposable(node.name, 100, node) } } });
  assert.ok((await simulate({ ...soon, seed: 1 })).ok);
  assert.deepEqual(stopped.sort(), ["node-0", "node-1"]);
  const never = quiet({ nodes: { node: { start: (node) => disposable(node.name, 1e9, node) } } });
  const { failure } = await simulate({ ...never, seed: 1 });
  assert.equal(failure?.kind, "stuck");
  assert.match(failure?.message ?? "", /node-0 does not stop/);
});

test("recorded operations are ok, failed or unknown as their errors say", async () => {
  const result = await simulate({
    ...counting,
    seed: 2,
    workload: {
      clients: 4,
      operations: 30,
      operation: async (client) => {
        const n = client.operation;
        await client.record(
          { name: "set", key: "k", input: n },
          async () => void (await client.engine.kv.set(["k"], n)),
        );
      },
    },
  });
  const outcomes = new Set(result.history.map(({ outcome }) => outcome));
  assert.deepEqual([...outcomes].sort(), ["failed", "ok", "unknown"]);
  for (const { outcome, called, returned } of result.history)
    assert.equal(returned === Infinity, outcome === "unknown", `${called}`);
});

test("a scenario that makes no sense is refused with what is wrong", async () => {
  const operation = (): void => {};
  const wrong: [object, RegExp][] = [
    [{ seed: -1, workload: { operation } }, /seed/],
    [{ seed: 1 }, /workload\.operation/],
    [{ seed: 1, workload: { operation }, faults: ["fire"] }, /faults.*fire/],
    [{ seed: 1, workload: { operation, clients: 1.5 } }, /workload\.clients/],
    [{ seed: 1, workload: { operation }, mode: "patched" }, /simulatePatched/],
    [{ seed: 1, workload: { operation }, mode: "real" }, /mode/],
    [{ seed: 1, workload: { operation }, nodes: { a: {} } }, /nodes\.a\.start/],
    [{ seed: 1, workload: { operation }, budget: { heal: "-1s" } }, /budget\.heal/],
  ];
  for (const [options, message] of wrong) {
    await assert.rejects(
      () => simulate(options as never),
      (error) => isAshlarError(error, "INVALID_ARGUMENT") && message.test((error as Error).message),
    );
  }
});

test("a signal ends a run, and the next one is not disturbed", async () => {
  const endless = quiet({ operations: 1_000_000, budget: { faults: "1000h", events: 1e9 } });
  const controller = new AbortController();
  const running = simulate({ ...endless, seed: 1, signal: controller.signal });
  await assert.rejects(simulate({ ...quiet(), seed: 1 }), { code: "INVALID_STATE" });
  controller.abort(new Error("enough"));
  await assert.rejects(running, /enough/);
  assert.ok((await simulate({ ...quiet(), seed: 1 })).ok);
});

test("over many seeds all kinds of faults strike that are allowed, and no others", async () => {
  const start = async ({ disk, runtime }: SimulatedNode): Promise<void> => {
    const write = async (): Promise<void> => {
      await disk.writeFile("/file", "text", { flush: true }).catch(() => {});
      await disk.writeFile("/large", new Uint8Array(20_000).fill(7)).catch(() => {});
      await disk.readFile("/file").catch(() => {});
      runtime.timers.after(20, () => void write());
    };
    await write();
  };
  const { struck, failures } = await explore(
    { ...counting, faults: ["process", "disk"], nodes: { node: { count: 2, start } } },
    { seeds: 60 },
  );
  assert.deepEqual(failures, []);
  assert.deepEqual(Object.keys(struck).sort(), [
    "crash",
    "disk-full",
    "disk-read-error",
    "disk-short-write",
    "disk-slow",
    "disk-sync-error",
    "disk-write-error",
    "pause",
    "power-loss",
    "torn-write",
  ]);
});
