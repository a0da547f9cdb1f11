import { fork } from "node:child_process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { throwIfAborted } from "../../core/index.ts";
import type { SimulationResult } from "../result.ts";
import type { SimulateOptions } from "../sized-scenario.ts";
import { fromWire } from "../wire.ts";
import type { Task } from "./child.ts";

/** Real time that one seed may take, in milliseconds. */
const longestMs = 120_000;

export interface SimulatePatchedOptions extends SimulateOptions {
  /** Whether what the programs print goes to this process's standard error. Default: nowhere. */
  readonly prints?: boolean;
}

/**
 * Runs a scenario of the patched mode once, in a fresh process: nothing that modules remember goes from one seed to the next.
 * @param module the file that exports the scenario
 * @throws Error the module or the scenario cannot be loaded, or the process died; its message has what the process said
 */
export async function simulatePatched(
  module: URL | string,
  exportName: string,
  options: SimulatePatchedOptions,
): Promise<SimulationResult> {
  const { signal, prints = false, ...rest } = options;
  throwIfAborted(signal);
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  const preload = new URL(`./preload${extension}`, import.meta.url).href;
  const child = fork(fileURLToPath(new URL(`./child${extension}`, import.meta.url)), [], {
    execArgv: ["--import", preload],
    serialization: "advanced",
    stdio: ["ignore", prints ? 2 : "ignore", "pipe", "ipc"],
  });
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said = `${said}${chunk}`.slice(-4_000);
  });
  const { promise, resolve, reject } = Promise.withResolvers<SimulationResult>();
  const kill = (): void => void child.kill("SIGKILL");
  const abort = (): void => {
    kill();
    reject(signal?.reason);
  };
  const limit = AbortSignal.timeout(longestMs);
  limit.addEventListener("abort", kill, { once: true });
  signal?.addEventListener("abort", abort, { once: true });
  child.once(
    "message",
    (answer: { result: unknown } | { error: { name: string; message: string; stack?: string } }) => {
      if ("result" in answer) resolve(fromWire(answer.result));
      else reject(Object.assign(new Error(answer.error.message), answer.error));
    },
  );
  child.once("error", reject);
  child.once("exit", (code, died) => {
    const how = limit.aborted ? `was ended after ${longestMs / 1000} s` : `ended with ${died ?? code}`;
    reject(new Error(`the process of seed ${options.seed} ${how}${said === "" ? "" : `: ${said.trim()}`}`));
  });
  const url = typeof module === "string" && !module.startsWith("file:") ? pathToFileURL(module).href : String(module);
  child.send({ module: url, exportName, options: rest } satisfies Task);
  try {
    return await promise;
  } finally {
    signal?.removeEventListener("abort", abort);
    limit.removeEventListener("abort", kill);
    kill();
  }
}
