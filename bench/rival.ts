import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Reply, Request } from "./child.ts";
import type { Round } from "./closed-loop.ts";
import type { ContestantName, ContestantOptions, Workload } from "./contestant.ts";

/** The package or the engine that the contestant needs is not there. */
export class MissingError extends Error {
  override readonly name = "MissingError";
}

/** A contestant in its own process, seen from the parent. Idle unless it is asked something. */
export class Rival implements AsyncDisposable {
  readonly name: ContestantName;
  readonly workloads: ReadonlySet<Workload>;
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(name: ContestantName, child: ChildProcess, workloads: readonly Workload[]) {
    this.name = name;
    this.workloads = new Set(workloads);
    this.pid = child.pid as number;
    this.#child = child;
  }

  /**
   * @param nodeOptions options of the process and of its worker threads, such as `--cpu-prof`
   * @throws MissingError
   */
  static async open(name: ContestantName, options: ContestantOptions, nodeOptions: readonly string[]): Promise<Rival> {
    const child = fork(fileURLToPath(new URL("./child.ts", import.meta.url)), {
      execArgv: [],
      env: { ...process.env, NODE_OPTIONS: nodeOptions.join(" ") },
    });
    try {
      const { workloads } = await ask(child, { do: "open", name, options });
      return new Rival(name, child, workloads ?? []);
    } catch (error) {
      child.kill();
      throw error;
    }
  }

  async load(keys: number): Promise<void> {
    await ask(this.#child, { do: "load", keys });
  }

  async fillLog(how: "fill-log" | "fill-log-singly", records: number): Promise<void> {
    await ask(this.#child, { do: how, records });
  }

  async run(workload: Workload, concurrency: number, ms: number, watchLoop = false): Promise<Round> {
    const { round } = await ask(this.#child, { do: "run", workload, concurrency, ms, watchLoop });
    return round as Round;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    const deadline = setTimeout(() => this.#child.kill("SIGKILL"), 20_000);
    await ask(this.#child, { do: "close" }).catch((error: Error) => {
      console.error(`${this.name} did not close: ${error.message}`);
      this.#child.kill();
    });
    await exited;
    clearTimeout(deadline);
  }
}

function ask(child: ChildProcess, request: Request): Promise<Extract<Reply, { ok: true }>> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error(`the contestant's process ended during "${request.do}"`));
    child.once("exit", onExit);
    child.once("message", (reply: Reply) => {
      child.off("exit", onExit);
      if (reply.ok) resolve(reply);
      else reject(reply.missing ? new MissingError(reply.error) : new Error(reply.error));
    });
    child.send(request);
  });
}
