import { tmpdir } from "node:os";
import { meterOf, othersShare, used } from "../meter.ts";

/** Begins to watch the processors. Once all children of this process have ended, the result tells how busy others kept them meanwhile. */
export async function watchOthers(): Promise<() => Promise<string>> {
  // The time of children that have ended is counted as this process's own.
  const meter = meterOf(tmpdir(), process.pid);
  const before = await meter();
  const start = performance.now();
  return async () => {
    const share = othersShare(used(before, await meter()), (performance.now() - start) / 1000);
    return share === undefined ? "" : `others used ${Math.round(share * 100)} % of the processors meanwhile`;
  };
}
