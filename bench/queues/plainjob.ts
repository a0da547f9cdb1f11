import { join } from "node:path";
import Database from "better-sqlite3";
import { better, defineQueue, defineWorker } from "plainjob";
import { type Place, type QueueContestant, Tally } from "./contestant.ts";

const type = "mail";
const logger = { error: console.error, warn() {}, info() {}, debug() {} };

/** @param synchronous of SQLite: "normal" is plainjob's own, which a loss of power may cost the latest commits; "full" is that of ours */
export async function openPlainjob({ folder }: Place, synchronous: "normal" | "full"): Promise<QueueContestant> {
  const db = new Database(join(folder as string, "jobs.db"));
  const queue = defineQueue({ connection: better(db), logger });
  db.pragma(`synchronous = ${synchronous}`);
  return {
    // Its calls block the process until the commit is done: there is never a second one in flight.
    add: async (job) => queue.add(type, job),
    addMany: async (jobs) => queue.addMany(type, [...jobs]),
    async work(handler) {
      const done = new Tally();
      const worker = defineWorker(type, async ({ data }) => handler(JSON.parse(data)), {
        queue,
        logger,
        onCompleted: () => done.add(),
      });
      void worker.start();
      return { settled: (count) => done.reaches(count), stop: () => worker.stop() };
    },
    async close() {
      queue.close();
    },
  };
}
