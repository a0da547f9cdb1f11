import { setTimeout as pause } from "node:timers/promises";
import type { Engine } from "../../src/engine/index.ts";
import { connect, isAshlarError } from "../../src/index.ts";
import { seeded } from "../seeded.ts";
import { Journal } from "./journal.ts";
import { lanes, runLane } from "./workload.ts";

/** What the process is told as its only argument, in JSON. */
export interface WriterTask {
  readonly url: string;
  readonly writer: string;
  readonly journal: string;
  readonly seed: number;
}

/** A process that opens the store and writes for as long as it lives. It ends in good order when its input ends. */
if (import.meta.main) {
  const task = JSON.parse(process.argv[2] ?? "") as WriterTask;
  const journal = new Journal(task.journal);
  let stopped = false;
  process.stdin.once("end", () => (stopped = true)).resume();
  try {
    await using engine = await open(task.url, () => stopped);
    const random = seeded(task.seed);
    const context = { engine, writer: task.writer, journal, random, stopped: () => stopped };
    await Promise.all(lanes.map((lane) => runLane(context, lane)));
  } catch (error) {
    if (!stopped) journal.failed(error instanceof Error ? `${error.stack}` : String(error));
  }
  journal.close();
}

/** The server may be down when the writer starts. */
async function open(url: string, stopped: () => boolean): Promise<Engine> {
  for (;;) {
    try {
      return await connect(url);
    } catch (error) {
      if (!isAshlarError(error) || !error.retryable || stopped()) throw error;
      await pause(50);
    }
  }
}
