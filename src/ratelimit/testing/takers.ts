import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { RateLimiterOptions } from "../index.ts";

/** What a process is to do. */
export interface Order {
  readonly url: string;
  readonly name: string;
  readonly options: RateLimiterOptions;
  readonly forMs: number;
  /** Takes at most. */
  readonly takes: number;
  /** Takes under way at once. */
  readonly lanes: number;
}

export interface Report {
  readonly allowed: number;
  readonly attempts: number;
  /** The engine's clock before the first take and after the last. */
  readonly from: number;
  readonly to: number;
  readonly tookMs: number;
  /** When the first take was answered, counted from `from`. */
  readonly firstMs: number;
}

/** Starts so many processes, lets them begin together, and resolves with what they report. */
export async function runTakers(count: number, order: Order): Promise<Report[]> {
  const script = fileURLToPath(new URL("./taker.ts", import.meta.url));
  const children = Array.from({ length: count }, () => fork(script, { execArgv: [] }));
  try {
    await Promise.all(children.map((child) => message(child)));
    await Promise.all(
      children.map((child) => {
        const connected = message(child);
        child.send(order);
        return connected;
      }),
    );
    return await Promise.all(
      children.map(async (child) => {
        const report = message(child);
        child.send("go");
        return (await report) as Report;
      }),
    );
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
}

async function message(child: ChildProcess): Promise<unknown> {
  const gone = new AbortController();
  const onExit = (code: number | null): void => gone.abort(new Error(`a taker ended with ${code} before it reported`));
  child.once("exit", onExit);
  try {
    const [received] = await once(child, "message", { signal: gone.signal }).catch((error: unknown) => {
      throw gone.signal.aborted ? gone.signal.reason : error;
    });
    return received;
  } finally {
    child.removeListener("exit", onExit);
  }
}
