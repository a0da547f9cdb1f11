import { join } from "node:path";
import { connect } from "../../src/index.ts";
import { createQueue } from "../../src/messaging/queue/index.ts";
import { concurrency, type Mail, type Place, type QueueContestant, type Work } from "./contestant.ts";
import { untilEmpty } from "./until-empty.ts";

/** Ours, as it comes: no option but the number of handlers. */
export async function openAshlar({ url, folder }: Place): Promise<QueueContestant> {
  const engine = await connect(url ?? `sqlite:${join(folder ?? ".", "data.db")}`);
  const queue = createQueue<Mail>(engine, "mails");
  return {
    add: (job) => queue.add(job),
    addMany: (jobs) => queue.addMany(jobs),
    async work(handler): Promise<Work> {
      const worker = queue.work(async ({ data }) => handler(data), { concurrency });
      return {
        settled: () =>
          untilEmpty(async () => {
            const { waiting, delayed, blocked, active, dead } = await queue.counts({ upTo: 10 });
            if (dead > 0) throw new Error(`${dead} jobs failed`);
            return waiting + delayed + blocked + active;
          }),
        stop: () => worker.close(),
      };
    },
    close: () => engine.close(),
  };
}
