import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { fromWire, type SimulateOptions, type SimulationResult, simulatePatched } from "../simulation/index.ts";
import type { ExportedScenario } from "./scenarios.ts";
import type { SeedTask } from "./seed-worker.ts";

/** Runs seeds of one scenario in other processes, as many at a time as there are workers. */
export interface SeedRunner extends AsyncDisposable {
  readonly workers: number;
  run(options: SimulateOptions): Promise<SimulationResult>;
}

export interface SeedRunnerOptions {
  readonly workers: number;
  /** Whether what the programs print goes to standard error. */
  readonly prints: boolean;
  readonly signal: AbortSignal;
}

export function createSeedRunner(scenario: ExportedScenario, options: SeedRunnerOptions): SeedRunner {
  return scenario.scenario.mode === "patched"
    ? new FreshProcesses(scenario, options)
    : new WorkerProcesses(scenario, options);
}

/** Lets so many work at the same time. */
class Turns {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(free: number) {
    this.#free = free;
  }

  async take(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}

/** A process for each seed: for code that uses the globals. */
class FreshProcesses implements SeedRunner {
  readonly workers: number;
  readonly #scenario: ExportedScenario;
  readonly #options: SeedRunnerOptions;
  readonly #turns: Turns;

  constructor(scenario: ExportedScenario, options: SeedRunnerOptions) {
    this.workers = options.workers;
    this.#scenario = scenario;
    this.#options = options;
    this.#turns = new Turns(options.workers);
  }

  async run(options: SimulateOptions): Promise<SimulationResult> {
    await this.#turns.take();
    try {
      const { module, exportName } = this.#scenario;
      const { signal, prints } = this.#options;
      return await simulatePatched(module, exportName, { ...options, signal, prints });
    } finally {
      this.#turns.give();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Processes that run one seed after the other. */
class WorkerProcesses implements SeedRunner {
  readonly workers: number;
  readonly #scenario: ExportedScenario;
  readonly #signal: AbortSignal;
  readonly #prints: boolean;
  readonly #turns: Turns;
  readonly #idle: ChildProcess[] = [];
  readonly #all = new Set<ChildProcess>();

  constructor(scenario: ExportedScenario, { workers, prints, signal }: SeedRunnerOptions) {
    this.workers = workers;
    this.#scenario = scenario;
    this.#prints = prints;
    this.#signal = signal;
    this.#turns = new Turns(workers);
    signal.addEventListener("abort", this.#kill, { once: true });
  }

  async run({ signal: _, ...options }: SimulateOptions): Promise<SimulationResult> {
    await this.#turns.take();
    try {
      this.#signal.throwIfAborted();
      const child = this.#idle.pop() ?? this.#start();
      const { module, exportName } = this.#scenario;
      const result = await ask(child, { module, exportName, options }, this.#signal);
      this.#idle.push(child);
      return result;
    } finally {
      this.#turns.give();
    }
  }

  #start(): ChildProcess {
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
    const entry = fileURLToPath(new URL(`./seed-worker${extension}`, import.meta.url));
    const child = fork(entry, [], {
      serialization: "advanced",
      stdio: ["ignore", this.#prints ? 2 : "ignore", "inherit", "ipc"],
    });
    this.#all.add(child);
    child.once("exit", () => this.#all.delete(child));
    return child;
  }

  readonly #kill = (): void => {
    for (const child of this.#all) child.kill("SIGKILL");
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener("abort", this.#kill);
    const ended = [...this.#all].map((child) => new Promise((resolve) => child.once("exit", resolve)));
    this.#kill();
    await Promise.all(ended);
  }
}

type Answer = { readonly result: unknown } | { readonly error: Error };

function ask(child: ChildProcess, task: SeedTask, signal: AbortSignal): Promise<SimulationResult> {
  const { promise, resolve, reject } = Promise.withResolvers<SimulationResult>();
  const onMessage = (answer: Answer): void => {
    if ("result" in answer) resolve(fromWire(answer.result));
    else reject(Object.assign(new Error(answer.error.message), answer.error));
  };
  const onExit = (code: number | null, died: string | null): void => {
    reject(
      signal.aborted ? signal.reason : new Error(`the process of seed ${task.options.seed} ended with ${died ?? code}`),
    );
  };
  child.once("message", onMessage);
  child.once("exit", onExit);
  child.send(task);
  return promise.finally(() => {
    child.off("message", onMessage);
    child.off("exit", onExit);
  });
}
