import { channel } from "node:diagnostics_channel";

/** A peer has come to be suspected: `Transition`. Noticed when somebody watches or asks. */
export const suspected = channel("ashlar:failure-detector:suspected");
/** A peer that was suspected was heard again: `Transition`. */
export const restored = channel("ashlar:failure-detector:restored");
