import { forgetfulReplica, noWriteBack, oneReplicaWrites } from "./abd-register.ts";
import { cachedForever, negativeCaching } from "./cache.ts";
import { cursorFirst, cursorLast, dedupInMemory } from "./consumer.ts";
import { counterRetry } from "./counter-retry.ts";
import { earlyAcknowledgement, tornRecord, trustedSync, unsyncedSnapshot } from "./durable-log.ts";
import { forgottenTerm, forgottenVote } from "./election.ts";
import { noFencing, wallClockLease } from "./fenced-lock.ts";
import { idsByClock } from "./id-generator.ts";
import { doubleDelivery, lostJob, lostWakeUp } from "./job-queue.ts";
import { lastWriterByClock } from "./last-writer.ts";
import { writeSkew } from "./on-call.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { noTimeout, reusedConnection } from "./stream-client.ts";
import { transferInTwoSteps, transferUnchecked } from "./transfer.ts";
import { impatientParticipant, unwrittenDecision } from "./two-phase-commit.ts";
import { listThenWatch, watchNotResumed } from "./watched-view.ts";

/** All planted bugs. */
export const catalogue: readonly PlantedBug[] = [
  earlyAcknowledgement,
  trustedSync,
  tornRecord,
  unsyncedSnapshot,
  noFencing,
  wallClockLease,
  cachedForever,
  negativeCaching,
  doubleDelivery,
  lostJob,
  lostWakeUp,
  watchNotResumed,
  listThenWatch,
  dedupInMemory,
  cursorFirst,
  cursorLast,
  counterRetry,
  transferInTwoSteps,
  transferUnchecked,
  writeSkew,
  lastWriterByClock,
  idsByClock,
  unwrittenDecision,
  impatientParticipant,
  reusedConnection,
  noTimeout,
  noWriteBack,
  oneReplicaWrites,
  forgetfulReplica,
  forgottenVote,
  forgottenTerm,
];
