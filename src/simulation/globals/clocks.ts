import os from "node:os";
import { simulationEpoch } from "../local-clock.ts";
import { SimulationEscapeError } from "./escape-error.ts";
import type { Identity } from "./identity.ts";

/** `Date`, `performance.now`, `process.hrtime` and `process.uptime` on the clocks of whoever asks. */
export function patchClocks(identity: Identity): void {
  const RealDate = globalThis.Date;
  const realNow = RealDate.now;
  const wall = (): number => {
    const { current } = identity;
    return current ? Math.floor(current.runtime.clock.now()) : realNow();
  };
  const VirtualDate = new Proxy(RealDate, {
    apply: () => new RealDate(wall()).toString(),
    construct: (target, given, newTarget) =>
      Reflect.construct(target, given.length === 0 ? [wall()] : given, newTarget),
    get: (target, name, receiver) => (name === "now" ? wall : Reflect.get(target, name, receiver)),
  });
  Object.defineProperty(RealDate.prototype, "constructor", { value: VirtualDate, writable: true, configurable: true });
  globalThis.Date = VirtualDate;

  const realPerformanceNow = performance.now.bind(performance);
  const monotonic = (): number => identity.current?.runtime.clock.monotonic() ?? realPerformanceNow();
  Object.defineProperty(performance, "now", { value: monotonic, writable: true, configurable: true });
  patchPerformance(identity, monotonic);

  const nanoseconds = (): bigint => BigInt(Math.floor(monotonic() * 1e6));
  const realHrtime = process.hrtime;
  const hrtime = (since?: [number, number]): [number, number] => {
    if (!identity.current) return realHrtime(since);
    const now = nanoseconds() - (since ? BigInt(since[0]) * 1_000_000_000n + BigInt(since[1]) : 0n);
    return [Number(now / 1_000_000_000n), Number(now % 1_000_000_000n)];
  };
  const realBigint = realHrtime.bigint;
  process.hrtime = Object.assign(hrtime, { bigint: () => (identity.current ? nanoseconds() : realBigint()) });
  const realUptime = process.uptime.bind(process);
  process.uptime = () => (identity.current ? monotonic() / 1000 : realUptime());
}

function patchPerformance(identity: Identity, monotonic: () => number): void {
  const realOrigin = performance.timeOrigin;
  Object.defineProperty(performance, "timeOrigin", {
    get: () => (identity.current ? simulationEpoch : realOrigin),
    configurable: true,
  });
  const realMark = performance.mark.bind(performance);
  const mark: typeof realMark = (name, options) => realMark(name, { startTime: monotonic(), ...options });
  Object.defineProperty(performance, "mark", { value: mark, writable: true, configurable: true });
  for (const name of ["measure", "timerify", "eventLoopUtilization"] as const) {
    const real = performance[name].bind(performance) as (...given: unknown[]) => unknown;
    const guarded = (...given: unknown[]): unknown => {
      if (!identity.current) return real(...given);
      throw new SimulationEscapeError(`performance.${name}`, "subtract two results of performance.now()");
    };
    Object.defineProperty(performance, name, { value: guarded, writable: true, configurable: true });
  }
  const realHostname = os.hostname;
  os.hostname = () => identity.current?.name ?? realHostname();
}
