import { patchGlobals } from "./patched-globals.ts";

/** Loaded by `node --import` before anything else: the modules under test find the globals patched. */
(globalThis as Record<symbol, unknown>)[Symbol.for("ashlar.simulation.patched")] = await patchGlobals();
