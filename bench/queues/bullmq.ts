import { createPostgresBackend, Queue, Worker, withBackend } from "bullmq";
import { concurrency, type Mail, type Place, type QueueContestant, Tally, type Work } from "./contestant.ts";

const name = "mails";
// What is finished goes, as with ours.
const defaultJobOptions = { removeOnComplete: true };
const workOptions = { concurrency, autorun: false };

export async function openBullmq({ port }: Place): Promise<QueueContestant> {
  const connection = { host: "127.0.0.1", port: port as number, maxRetriesPerRequest: null };
  const queue = new Queue<Mail>(name, { connection, defaultJobOptions });
  await queue.waitUntilReady();
  return {
    ...adding(queue),
    work: (handler) =>
      working(new Worker<Mail>(name, async ({ data }) => handler(data), { connection, ...workOptions })),
  };
}

export async function openBullmqOnPostgres({ url }: Place): Promise<QueueContestant> {
  const backed = withBackend(createPostgresBackend);
  const connection = { connectionString: url as string, schema: "bullmq", migrate: true, max: 60 };
  const queue = new backed.Queue<Mail>(name, { connection, defaultJobOptions });
  await queue.waitUntilReady();
  return {
    ...adding(queue),
    work: (handler) =>
      working(new backed.Worker<Mail>(name, async ({ data }) => handler(data), { connection, ...workOptions })),
  };
}

/** What both backends' queues have. */
interface AnyQueue {
  add(name: string, data: Mail): Promise<unknown>;
  addBulk(jobs: { name: string; data: Mail }[]): Promise<unknown>;
  close(): Promise<void>;
}

interface AnyWorker {
  on(event: "completed" | "error", listener: (value: unknown) => void): unknown;
  waitUntilReady(): Promise<void>;
  run(): Promise<void>;
  close(): Promise<void>;
}

function adding(given: unknown): Omit<QueueContestant, "work"> {
  const queue = given as AnyQueue;
  return {
    add: (job) => queue.add("mail", job),
    addMany: (jobs) => queue.addBulk(jobs.map((data) => ({ name: "mail", data }))),
    close: () => queue.close(),
  };
}

async function working(given: unknown): Promise<Work> {
  const worker = given as AnyWorker;
  const completed = new Tally();
  // Told when the server has answered that the job is finished.
  worker.on("completed", () => completed.add());
  worker.on("error", (error) => console.error("bullmq:", error));
  await worker.waitUntilReady();
  worker.run().catch((error) => console.error("bullmq:", error));
  return { settled: (count) => completed.reaches(count), stop: () => worker.close() };
}
