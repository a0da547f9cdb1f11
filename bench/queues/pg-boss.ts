import pg from "pg";
import { PgBoss } from "pg-boss";
import { batch, concurrency, type Mail, type Place, type QueueContestant } from "./contestant.ts";
import { untilEmpty } from "./until-empty.ts";

const name = "mails";

/**
 * Wakes by LISTEN and NOTIFY.
 * @param how "one": each job by itself, fifty workers that look twice a second (the shortest it allows) beside being notified, which a backlog that was there before does not do; "batch": one poller that takes a thousand jobs at a time, hands them to one call of the handler and completes them together,
 * and comes again at once as long as batches are full
 */
export async function openPgBoss({ url }: Place, how: "one" | "batch"): Promise<QueueContestant> {
  const boss = new PgBoss({ connectionString: url as string, schema: "boss", max: 60, useListenNotify: true });
  boss.on("error", (error) => console.error("pg-boss:", error.message));
  await boss.start();
  await boss.createQueue(name, { notify: true });
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  const work =
    how === "one"
      ? { localConcurrency: concurrency, notifyPollingIntervalSeconds: 0.5 }
      : { batchSize: batch, burstWhenBatchFull: true as const };
  return {
    add: (job) => boss.send(name, job),
    addMany: (jobs) =>
      boss.insert(
        name,
        jobs.map((data) => ({ data })),
      ),
    async work(handler) {
      await boss.work<Mail>(name, { ...work, pollingIntervalSeconds: 0.5 }, async (jobs) => {
        for (const { data } of jobs) handler(data);
      });
      const left = "select 1 from boss.job where name = $1 and state < 'completed' limit 1";
      return {
        settled: () => untilEmpty(async () => (await pool.query(left, [name])).rows.length),
        stop: () => boss.offWork(name, { wait: true }),
      };
    },
    async close() {
      await boss.stop({ graceful: false, close: true });
      await pool.end();
    },
  };
}
