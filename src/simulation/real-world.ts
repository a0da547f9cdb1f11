/**
 * The real clock and event loop, taken when this module loads, before anything is patched: what drives a simulation from
 * outside. Nothing inside a simulation may use it.
 */
export const realWorld = {
  setImmediate: globalThis.setImmediate,
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  now: performance.now.bind(performance),
} as const;
