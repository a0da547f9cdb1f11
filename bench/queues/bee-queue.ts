import BeeQueue from "bee-queue";
import { concurrency, type Mail, type Place, type QueueContestant, Tally } from "./contestant.ts";

const name = "mails";

export async function openBeeQueue({ port }: Place): Promise<QueueContestant> {
  // No events of jobs by publish–subscribe and no copies of jobs in memory: the quickest that it does. What is finished goes, as with ours.
  const settings = {
    redis: { host: "127.0.0.1", port: port as number },
    removeOnSuccess: true,
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
  };
  const queue = new BeeQueue<Mail>(name, { ...settings, isWorker: false });
  await queue.ready();
  return {
    add: (job) => queue.createJob(job).save(),
    async addMany(jobs) {
      const failed = await queue.saveAll(jobs.map((job) => queue.createJob(job)));
      if (failed.size > 0) throw new Error(`${failed.size} jobs were not kept`);
    },
    async work(handler) {
      const worker = new BeeQueue<Mail>(name, settings);
      await worker.ready();
      const succeeded = new Tally();
      // Of the worker itself: told when the server has answered.
      worker.on("succeeded", () => succeeded.add());
      worker.on("error", (error) => console.error("bee-queue:", error));
      worker.process(concurrency, async ({ data }) => handler(data));
      return { settled: (count) => succeeded.reaches(count), stop: () => worker.close(5000) };
    },
    close: () => queue.close(5000),
  };
}
