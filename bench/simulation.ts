import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { withGlobal } from "@sinonjs/fake-timers";
import { log } from "../src/engine/simulations/log.sim.ts";
import { ttl } from "../src/engine/simulations/ttl.sim.ts";
import { watch } from "../src/engine/simulations/watch.sim.ts";
import { explore, type Scenario, type SimulatedNode, simulate } from "../src/simulation/index.ts";
import { describeMachine } from "./machine.ts";

/** How fast virtual time passes: ours beside the fake timers of test frameworks, and beside the bare loop that it takes. */

const { values } = parseArgs({ options: { seconds: { type: "string", default: "2" }, markdown: { type: "string" } } });
const seconds = Number(values.seconds);
/** Timers that wait at the same time. */
const actors = 100;

interface Row {
  readonly what: string;
  readonly events: number;
  readonly seconds: number;
  readonly virtualMs: number | undefined;
}

/** Each actor waits, does something by promises, and waits again: what all contestants run. */
async function actor(
  wait: (ms: number) => Promise<void>,
  count: () => void,
  isOver: () => boolean,
  pace: number,
): Promise<void> {
  while (!isOver()) {
    await wait(1 + (pace % 7));
    await Promise.resolve();
    count();
  }
}

/** Timers alone, in our simulator. */
async function ours(): Promise<Row> {
  const start = performance.now();
  let over = false;
  const nodes: Scenario["nodes"] = {
    actor: {
      count: actors,
      start: ({ runtime, index }: SimulatedNode) => {
        const wait = (ms: number) => new Promise<void>((resolve) => void runtime.timers.after(ms, resolve));
        void actor(
          wait,
          () => {},
          () => over,
          index,
        );
      },
    },
  };
  const operation = async ({ runtime }: { runtime: SimulatedNode["runtime"] }): Promise<void> => {
    while (performance.now() - start < seconds * 1000)
      await new Promise<void>((resolve) => void runtime.timers.after(100, resolve));
    over = true;
  };
  const workload = { clients: 1, operations: 1, operation };
  const budget = { events: 1e9, faults: "10000h", settle: 0 } as const;
  const { events, virtualMs } = await simulate({ nodes, faults: "none", workload, budget, seed: 1 });
  return { what: "Ashlar: timers, drained, traced", events, seconds: (performance.now() - start) / 1000, virtualMs };
}

/** The same with the fake timers that Jest, Vitest and Sinon use: no network, no faults, no trace. */
async function fakeTimers(): Promise<Row> {
  const clock = withGlobal(globalThis).createClock();
  let events = 0;
  let over = false;
  const wait = (ms: number) => new Promise<void>((resolve) => void clock.setTimeout(() => resolve(), ms));
  const running = Array.from({ length: actors }, (_, i) =>
    actor(
      wait,
      () => events++,
      () => over,
      i,
    ),
  );
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) await clock.tickAsync(20);
  over = true;
  await clock.tickAsync(20);
  await Promise.all(running);
  return {
    what: "@sinonjs/fake-timers, tickAsync",
    events,
    seconds: (performance.now() - start) / 1000,
    virtualMs: clock.now,
  };
}

/** The least that can be done: take the next timer, run it, one turn of the real loop. */
async function byHand(): Promise<Row> {
  const queue: { at: number; run: () => void }[] = [];
  let now = 0;
  let events = 0;
  let over = false;
  const wait = (ms: number) =>
    new Promise<void>((run) => {
      const at = now + ms;
      let i = queue.length;
      while (i > 0 && (queue[i - 1] as { at: number }).at < at) i--;
      queue.splice(i, 0, { at, run });
    });
  const running = Array.from({ length: actors }, (_, i) =>
    actor(
      wait,
      () => events++,
      () => over,
      i,
    ),
  );
  const start = performance.now();
  for (let next = queue.pop(); next; next = queue.pop()) {
    now = next.at;
    next.run();
    await new Promise((resolve) => setImmediate(resolve));
    over ||= performance.now() - start > seconds * 1000;
  }
  await Promise.all(running);
  return {
    what: "by hand: sorted array, one setImmediate each",
    events,
    seconds: (performance.now() - start) / 1000,
    virtualMs: now,
  };
}

/** Datagrams between ten machines with all faults. */
async function messages(): Promise<Row> {
  const start = performance.now();
  const nodes: Scenario["nodes"] = {
    peer: {
      count: 10,
      start: ({ network, runtime, peers }) => {
        const other = () => peers("peer")[Math.floor(runtime.random.next() * 10)] as string;
        network.bind(1, ({ payload }) => {
          if ((payload as number) > 0) network.send(other(), 1, (payload as number) - 1);
        });
        const beat = (): void => {
          network.send(other(), 1, 9);
          runtime.timers.after(10, beat);
        };
        beat();
      },
    },
  };
  const operation = async ({ runtime }: { runtime: SimulatedNode["runtime"] }): Promise<void> => {
    while (performance.now() - start < seconds * 1000)
      await new Promise<void>((resolve) => void runtime.timers.after(1000, resolve));
  };
  const workload = { clients: 1, operations: 1, operation };
  const budget = { events: 1e9, faults: "10000h", settle: 0 } as const;
  const { events, virtualMs } = await simulate({ nodes, workload, budget, seed: 2 });
  return {
    what: "Ashlar: datagrams of 10 machines, all faults",
    events,
    seconds: (performance.now() - start) / 1000,
    virtualMs,
  };
}

/** Whole seeds: the engine's own code, world and checks included. */
async function seeds(scenario: Scenario): Promise<Row> {
  const start = performance.now();
  let events = 0;
  let virtualMs = 0;
  let from = 0;
  while (performance.now() - start < seconds * 1000) {
    const run = await explore(scenario, { seeds: 10, from });
    if (run.failures.length > 0) throw new Error(run.failures[0]?.failure?.message);
    events += run.events;
    virtualMs += run.virtualMs;
    from += 10;
  }
  const took = (performance.now() - start) / 1000;
  return { what: `Ashlar: "${scenario.name}", ${Math.round(from / took)} seeds/s`, events, seconds: took, virtualMs };
}

const rows: Row[] = [];
for (const run of [ours, fakeTimers, byHand, messages, () => seeds(ttl), () => seeds(log), () => seeds(watch)])
  rows.push(await run());

const rate = ({ events, seconds }: Row) => events / seconds;
const [first] = rows as [Row];
const lines = [
  ...describeMachine().map((line) => `${line}  `),
  "",
  "| what | events/s | virtual : real | ours ÷ this |",
  "|---|---:|---:|---:|",
  ...rows.map((row) => {
    const peer = !row.what.startsWith("Ashlar");
    const speed = row.virtualMs === undefined ? "" : `${Math.round(row.virtualMs / 1000 / row.seconds)} : 1`;
    return `| ${row.what} | ${Math.round(rate(row) / 1000)} k | ${speed} | ${peer ? (rate(first) / rate(row)).toFixed(2) : ""} |`;
  }),
];
console.log(lines.join("\n"));
if (values.markdown !== undefined)
  writeFileSync(values.markdown, `# The simulator beside fake timers\n\n${lines.join("\n")}\n`);
