import { forgetfulReplica, noWriteBack, oneReplicaWrites } from "./abd-register.ts";
import { counterRetry } from "./counter-retry.ts";
import { earlyAcknowledgement, tornRecord, trustedSync, unsyncedSnapshot } from "./durable-log.ts";
import { noFencing, wallClockLease } from "./fenced-lock.ts";
import { idsByClock } from "./id-generator.ts";
import { lastWriterByClock } from "./last-writer.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { transferInTwoSteps, transferUnchecked } from "./transfer.ts";

/** All planted bugs. */
export const catalogue: readonly PlantedBug[] = [
  earlyAcknowledgement,
  trustedSync,
  tornRecord,
  unsyncedSnapshot,
  noFencing,
  wallClockLease,
  counterRetry,
  transferInTwoSteps,
  transferUnchecked,
  lastWriterByClock,
  idsByClock,
  noWriteBack,
  oneReplicaWrites,
  forgetfulReplica,
];
