import { Logger, makeWorkerUtils, type Runner, run } from "graphile-worker";
import pg from "pg";
import { concurrency, type Mail, type Place, type QueueContestant } from "./contestant.ts";
import { untilEmpty } from "./until-empty.ts";

/**
 * @param how "stock"; or "tuned": 500 jobs fetched at a time into memory, and what is completed told in batches
 */
export async function openGraphile({ url }: Place, how: "stock" | "tuned"): Promise<QueueContestant> {
  const pgPool = new pg.Pool({ connectionString: url, max: 60 });
  const tell = (error: Error) => console.error("graphile-worker:", error.message);
  pgPool.on("error", tell);
  pgPool.on("connect", (client) => client.on("error", tell));
  const logger = new Logger(() => () => {});
  const schema = "graphile";
  const utils = await makeWorkerUtils({ pgPool, schema, logger });
  await utils.migrate();
  const tuned = { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } };
  return {
    add: (job) => utils.addJob("mail", job),
    addMany: (jobs) => utils.addJobs(jobs.map((payload) => ({ identifier: "mail", payload }))),
    async work(handler) {
      const runner: Runner = await run({
        pgPool,
        schema,
        logger,
        concurrency,
        noHandleSignals: true,
        pollInterval: 1000,
        taskList: { mail: async (payload) => handler(payload as Mail) },
        ...(how === "tuned" ? { preset: tuned } : {}),
      });
      // What is finished is deleted.
      const left = `select 1 from ${schema}._private_jobs limit 1`;
      return {
        settled: () => untilEmpty(async () => (await pgPool.query(left)).rows.length),
        stop: () => runner.stop(),
      };
    },
    async close() {
      await utils.release();
      await pgPool.end();
    },
  };
}
