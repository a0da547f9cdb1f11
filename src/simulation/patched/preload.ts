/**
 * What a process of patched mode loads before anything else (`node --import`): replaces the globals and the built-in modules' functions by
 * ones that ask whose code is running. Outside a simulation they do what they always do.
 */
import module from "node:module";
// Keeps the real clock and loop for the simulator, so it comes before the patches.
import "../real-world.ts";
import { patchChance } from "./chance.ts";
import { patchClocks } from "./clocks.ts";
import { patchEscapes } from "./escapes.ts";
import { patchNames } from "./names.ts";
import { patchSockets } from "./sockets.ts";
import { patchTimers } from "./timers.ts";
import { patchWeb } from "./web.ts";

// Made on first use, out of what is about to be replaced.
process.stdout.writable;
process.stderr.writable;

patchClocks();
patchTimers();
patchChance();
patchSockets();
patchNames();
patchWeb();
patchEscapes();
module.syncBuiltinESMExports();
