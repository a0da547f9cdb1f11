import type { Place, QueueContestant } from "./contestant.ts";
import type { ContestantName } from "./plan.ts";

/** Loads the contestant's packages, and nobody else's. */
export async function openContestant(name: ContestantName, place: Place): Promise<QueueContestant> {
  switch (name) {
    case "ashlar-sqlite":
    case "ashlar-postgres":
      return (await import("./ashlar.ts")).openAshlar(place);
    case "bullmq-everysec":
    case "bullmq-always":
      return (await import("./bullmq.ts")).openBullmq(place);
    case "bullmq-postgres":
      return (await import("./bullmq.ts")).openBullmqOnPostgres(place);
    case "bee-everysec":
    case "bee-always":
      return (await import("./bee-queue.ts")).openBeeQueue(place);
    case "pg-boss":
      return (await import("./pg-boss.ts")).openPgBoss(place, "one");
    case "pg-boss-batch":
      return (await import("./pg-boss.ts")).openPgBoss(place, "batch");
    case "graphile":
      return (await import("./graphile-worker.ts")).openGraphile(place, "stock");
    case "graphile-tuned":
      return (await import("./graphile-worker.ts")).openGraphile(place, "tuned");
    case "plainjob":
      return (await import("./plainjob.ts")).openPlainjob(place, "normal");
    case "plainjob-full":
      return (await import("./plainjob.ts")).openPlainjob(place, "full");
  }
}
