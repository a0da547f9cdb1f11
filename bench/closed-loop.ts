import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Operation } from "./contestant.ts";

/** What a round saw. */
export interface Round {
  /** What the operations did, per second. */
  readonly rate: number;
  /** What the operations did, and in how many seconds. */
  readonly done: number;
  readonly seconds: number;
  /** Share of the operations that did nothing: commits refused. */
  readonly refused: number;
  /** Of one operation, in microseconds; synchronous operations are not timed one by one. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  /** How late a timer of 1 ms fired meanwhile, in milliseconds. */
  readonly delay: Delay | undefined;
}

export interface Delay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/**
 * Runs the operation for about `ms`, `concurrency` of them in flight: each of as many callers issues its next one when the last has settled.
 * An operation that answers synchronously is run in a plain loop, without a promise, whatever the concurrency: nothing of ours slows it down.
 */
export async function closedLoop(
  operation: Operation,
  concurrency: number,
  ms: number,
  watchLoop: boolean,
): Promise<Round> {
  const latencies = new Latencies();
  const delays = watchLoop ? monitorEventLoopDelay({ resolution: 1 }) : undefined;
  delays?.enable();
  const start = performance.now();
  const end = start + ms;
  let first: number | Promise<number> | undefined = operation();
  if (!(first instanceof Promise)) return plainLoop(operation as () => number, ms);
  const issue = () => {
    const issued = first ?? operation();
    first = undefined;
    return issued;
  };
  let done = 0;
  let refused = 0;
  const caller = async () => {
    let issued = start;
    do {
      const did = await issue();
      if (did === 0) refused++;
      else done += did;
      const settled = performance.now();
      latencies.add(settled - issued);
      issued = settled;
    } while (issued < end);
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  const seconds = (performance.now() - start) / 1000;
  delays?.disable();
  return {
    rate: done / seconds,
    done,
    seconds,
    refused: refused / latencies.count,
    ...latencies.percentiles(),
    delay: delays && { p50: late(delays.percentile(50)), p99: late(delays.percentile(99)), max: late(delays.max) },
  };
}

/** The histogram holds the time between two firings of a 1 ms timer, in nanoseconds; what is over 1 ms is the delay. */
function late(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - 1);
}

function plainLoop(operation: () => number, ms: number): Round {
  let operations = 0;
  let done = 0;
  const start = performance.now();
  let now = start;
  while (now < start + ms) {
    const burst = operations === 0 ? 1 : Math.min(64, operations);
    for (let i = 0; i < burst; i++) done += operation();
    operations += burst;
    now = performance.now();
  }
  const seconds = (now - start) / 1000;
  return { rate: done / seconds, done, seconds, refused: 0, p50: undefined, p99: undefined, delay: undefined };
}

/** Durations in milliseconds; when there are very many, an evenly spaced part of them. */
class Latencies {
  readonly #kept = new Float64Array(1 << 18);
  #step = 1;
  #size = 0;
  count = 0;

  add(ms: number): void {
    if (this.count++ % this.#step !== 0) return;
    if (this.#size === this.#kept.length) this.#thin();
    this.#kept[this.#size++] = ms;
  }

  #thin(): void {
    for (let i = 0; i * 2 < this.#size; i++) this.#kept[i] = this.#kept[i * 2] as number;
    this.#size = Math.ceil(this.#size / 2);
    this.#step *= 2;
  }

  percentiles(): { p50: number; p99: number } {
    const sorted = this.#kept.subarray(0, this.#size).sort();
    const at = (share: number) => (sorted[Math.min(this.#size - 1, Math.floor(this.#size * share))] ?? 0) * 1000;
    return { p50: at(0.5), p99: at(0.99) };
  }
}
