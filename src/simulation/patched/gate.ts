import { createHook } from "node:async_hooks";
import { realWorld } from "../real-world.ts";
import { SimulationEscapeError } from "./escape-error.ts";
import { lastIncarnation } from "./identity.ts";

/** What Node makes for work within the process: it comes to rest by itself or is the simulator's own. */
const harmless = new Set(["Immediate", "TickObject", "Microtask", "HTTPINCOMINGMESSAGE", "HTTPCLIENTREQUEST"]);
/** Handles that stay until somebody closes them: to wait would be in vain. */
const lasting = /Server|Socket|PipeWrap|UDP|Timeout|Timer|FSEvent|StatWatcher|Process|Worker|MessagePort|TTY|Signal/;
/** Real milliseconds that work may take. */
const patienceMs = 5_000;

/**
 * Holds virtual time while something real is under way, and fails the run if it does not end. A hook says when something may have begun, so
 * that the costly question is asked only then.
 */
export function createGate(): () => boolean {
  let suspicious = false;
  let since: number | undefined;
  const hook = createHook({
    init: (_, type) => {
      if (!harmless.has(type)) suspicious = true;
    },
    trackPromises: false,
  });
  hook.enable();
  const baseline = count(process.getActiveResourcesInfo());
  return () => {
    if (!suspicious) return true;
    const real = excess(process.getActiveResourcesInfo(), baseline);
    if (real.length === 0) {
      suspicious = false;
      since = undefined;
      return true;
    }
    since ??= realWorld.now();
    const lasts = real.filter((type) => lasting.test(type));
    if (lasts.length > 0) escape(lasts, "a real handle was left alive");
    else if (realWorld.now() - since > patienceMs) escape(real, `real work takes more than ${patienceMs} ms`);
    return false;
  };
}

function escape(resources: readonly string[], why: string): void {
  const instead = `${why}; use what the simulator gives: timers, sockets and servers of Node, node.disk`;
  lastIncarnation()?.failed(new SimulationEscapeError(resources.join(", "), instead));
}

function count(resources: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const resource of resources) counts.set(resource, (counts.get(resource) ?? 0) + 1);
  return counts;
}

/** The resources that were not there before; the loop's own immediates do not count. */
function excess(resources: readonly string[], baseline: ReadonlyMap<string, number>): string[] {
  const left = new Map(baseline);
  return resources.filter((resource) => {
    if (resource === "Immediate") return false;
    const known = left.get(resource) ?? 0;
    left.set(resource, known - 1);
    return known <= 0;
  });
}
