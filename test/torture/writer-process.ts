import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { until } from "../servers/process-tree.ts";
import { acknowledgedIn, readJournal, type WriterRecord } from "./journal.ts";
import { lanes } from "./workload.ts";
import type { WriterTask } from "./writer.ts";

/** A writer in a process of its own. */
export class WriterProcess {
  readonly name: string;
  readonly #task: WriterTask;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #stderr = "";

  constructor(task: WriterTask) {
    this.name = task.writer;
    this.#task = task;
    const script = fileURLToPath(new URL("./writer.ts", import.meta.url));
    this.#child = spawn(process.execPath, [script, JSON.stringify(task)], { stdio: ["pipe", "ignore", "pipe"] });
    this.#child.stderr?.on("data", (chunk) => (this.#stderr += chunk));
    // Its input may be gone before it is told to end.
    this.#child.stdin?.on("error", () => {});
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once("close", () => resolve());
      this.#child.once("error", reject);
    });
  }

  /** What it has done so far. */
  record(): WriterRecord {
    const record = readJournal(existsSync(this.#task.journal) ? readFileSync(this.#task.journal, "utf8") : "");
    const { exitCode } = this.#child;
    if (exitCode === null || exitCode === 0) return record;
    return { ...record, failures: [...record.failures, `it exited with ${exitCode}: ${this.#stderr}`] };
  }

  /** Resolves once each of its lanes has had `count` more writes acknowledged than in `since`. */
  async progress(since: WriterRecord = nothing, count = 1): Promise<void> {
    const behind = (): string[] => {
      const now = this.record();
      if (now.failures.length > 0) return [];
      return lanes.filter((lane) => acknowledgedIn(now, lane) < acknowledgedIn(since, lane) + count);
    };
    await until(() => behind().length === 0, `${this.name} has ${count} more writes acknowledged in each lane`).catch(
      (error) => {
        throw new Error(`${error.message}; behind are ${behind().join(", ")}; ${this.#stderr}`);
      },
    );
  }

  async kill9(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** Lets it end the writes in flight and close the store; kills it if it does not. */
  async finish(deadlineMs = 30_000): Promise<void> {
    this.#child.stdin?.end();
    let ended = false;
    const end = this.#ended.then(() => (ended = true));
    try {
      await until(() => ended, `${this.name} ends in good order`, deadlineMs);
    } finally {
      if (!ended) this.#child.kill("SIGKILL");
      await end;
    }
  }
}

const nothing: WriterRecord = { lanes: new Map(), failures: [] };
