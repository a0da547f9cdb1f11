import { forgetfulReplica, noWriteBack, oneReplicaWrites } from "./abd-register.ts";
import { counterRetry } from "./counter-retry.ts";
import { noFencing, wallClockLease } from "./fenced-lock.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { transferInTwoSteps, transferUnchecked } from "./transfer.ts";

/** All planted bugs. */
export const catalogue: readonly PlantedBug[] = [
  counterRetry,
  transferInTwoSteps,
  transferUnchecked,
  noFencing,
  wallClockLease,
  noWriteBack,
  oneReplicaWrites,
  forgetfulReplica,
];
