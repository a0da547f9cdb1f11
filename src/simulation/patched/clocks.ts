import { simulationEpoch } from "../local-clock.ts";
import { SimulationEscapeError } from "./escape-error.ts";
import { currentIncarnation } from "./identity.ts";
import { named, replace } from "./patch.ts";

/** Lets `Date`, `performance` and the clocks of `process` tell the time of the machine whose code asks. */
export function patchClocks(): void {
  patchDate();
  patchPerformance();
  patchProcessClocks();
}

/** A proxy rather than a subclass: `Date()` without `new`, `instanceof` and subclasses go on working. */
function patchDate(): void {
  const RealDate = globalThis.Date;
  const realNow = RealDate.now;
  const now = (): number => {
    const clock = currentIncarnation()?.runtime.clock;
    return clock ? Math.floor(clock.now()) : realNow();
  };
  replace(RealDate, "now", named("now", now));
  const patched = new Proxy(RealDate, {
    construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
    apply: () => new RealDate(now()).toString(),
  });
  replace(RealDate.prototype, "constructor", patched);
  replace(globalThis, "Date", patched);
}

function patchPerformance(): void {
  const { performance } = globalThis;
  const realNow = performance.now.bind(performance);
  const realMark = performance.mark.bind(performance);
  const realOrigin = performance.timeOrigin;
  const now = (): number => currentIncarnation()?.runtime.clock.monotonic() ?? realNow();
  replace(performance, "now", named("now", now));
  Object.defineProperty(performance, "timeOrigin", {
    configurable: true,
    enumerable: true,
    get: () => (currentIncarnation() ? simulationEpoch : realOrigin),
  });
  replace(performance, "mark", (name: string, options?: PerformanceMarkOptions) =>
    realMark(name, { startTime: now(), ...options }),
  );
  for (const name of ["measure", "timerify", "eventLoopUtilization"] as const) {
    const real = performance[name].bind(performance) as (...args: unknown[]) => unknown;
    replace(performance, name, (...args: unknown[]) => {
      if (currentIncarnation())
        throw new SimulationEscapeError(`performance.${name}`, "subtract two results of performance.now()");
      return real(...args);
    });
  }
  // Told by fetch for each response, with the real time.
  replace(performance, "markResourceTiming", () => {});
}

type HighResolutionTime = [seconds: number, nanoseconds: number];

function patchProcessClocks(): void {
  const { hrtime: realHrtime, uptime: realUptime } = process;
  const realBigint = realHrtime.bigint;
  const monotonic = (): number | undefined => currentIncarnation()?.runtime.clock.monotonic();
  const bigint = (): bigint => {
    const ms = monotonic();
    return ms === undefined ? realBigint() : BigInt(Math.round(ms * 1e6));
  };
  const hrtime = (since?: HighResolutionTime): HighResolutionTime => {
    const ms = monotonic();
    if (ms === undefined) return realHrtime(since);
    const nanoseconds = Math.round(ms * 1e6) - (since ? since[0] * 1e9 + since[1] : 0);
    const seconds = Math.floor(nanoseconds / 1e9);
    return [seconds, nanoseconds - seconds * 1e9];
  };
  replace(process, "hrtime", Object.assign(named("hrtime", hrtime), { bigint }));
  replace(process, "uptime", () => {
    const ms = monotonic();
    return ms === undefined ? realUptime() : ms / 1_000;
  });
}
