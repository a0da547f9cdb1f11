import { syncBuiltinESMExports } from "node:module";
import type { Incarnation } from "../incarnation.ts";
import type { PatchedGlobals } from "../run.ts";
import { patchChance } from "./chance.ts";
import { patchClocks } from "./clocks.ts";
import { SimulationEscapeError } from "./escape-error.ts";
import { patchEscapes } from "./escapes.ts";
import { patchHttp, warmFetch } from "./http.ts";
import { Identity } from "./identity.ts";
import { RealWork } from "./real-work.ts";
import { patchSockets } from "./sockets.ts";
import { patchTimers } from "./timers.ts";

/**
 * Replaces the globals of this process, for good: to be called once, before the modules under test load. What they do while no simulation runs is
 * what they always did.
 */
export async function patchGlobals(): Promise<PatchedGlobals> {
  await warmFetch();
  // Whether garbage was collected must decide nothing: undici gives up bodies that nobody holds any more.
  globalThis.FinalizationRegistry = class {
    readonly [Symbol.toStringTag] = "FinalizationRegistry";
    register(): void {}
    unregister(): boolean {
      return false;
    }
  };
  const identity = new Identity();
  patchEscapes(identity);
  patchClocks(identity);
  patchChance(identity);
  patchTimers(identity);
  patchSockets(identity);
  patchHttp(identity);
  syncBuiltinESMExports();
  const work = new RealWork();
  return {
    begin: (outside) => identity.begin(outside),
    end: () => identity.end(),
    attach: (incarnation, surroundings) => identity.attach(incarnation, surroundings),
    enter: (incarnation: Incarnation, run) => identity.enter(incarnation, run),
    gate: (escaped) => {
      const alien = work.look();
      if (alien === undefined) return !work.waiting;
      escaped(
        new SimulationEscapeError(`a real ${alien}`, "it would go on in real time; leave it out of the simulation"),
      );
      return false;
    },
  };
}
