import type { Runtime } from "../core/index.ts";
import type { Scope } from "./scope.ts";

/** Resolves after `ms`; rejects with the reason as soon as the scope is aborted. Leaves neither timer nor listener. */
export function pause(runtime: Pick<Runtime, "timers">, ms: number, scope: Scope | undefined): Promise<void> {
  if (scope === undefined) return new Promise((resolve) => void runtime.timers.after(ms, resolve));
  return new Promise((resolve, reject) => {
    const listener = {
      onAbort(reason: unknown): void {
        timer.cancel();
        reject(reason);
      },
    };
    const timer = runtime.timers.after(ms, () => {
      scope.forget(listener);
      resolve();
    });
    scope.tell(listener);
  });
}
