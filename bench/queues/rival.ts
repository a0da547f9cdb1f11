import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Reply } from "./serve.ts";

/** The package that the contestant needs is not there. */
export class MissingError extends Error {
  override readonly name = "MissingError";
}

/** A process of one contestant, seen from the parent. Idle unless it is asked something. */
export class Rival<Request extends { readonly do: string }, Value> implements AsyncDisposable {
  readonly #child: ChildProcess;

  /** @param script beside this file, that serves the requests */
  constructor(script: string) {
    this.#child = fork(fileURLToPath(new URL(script, import.meta.url)), { execArgv: ["--expose-gc"] });
  }

  /** @throws MissingError */
  ask(request: Request, deadlineMs = 120_000): Promise<Value> {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        child.off("exit", onExit);
        child.off("message", onMessage);
      };
      const onExit = () => {
        end();
        reject(new Error(`the contestant's process ended during "${request.do}"`));
      };
      const onMessage = (reply: Reply<Value>) => {
        end();
        if (reply.ok) resolve(reply.value);
        else reject(reply.missing ? new MissingError(reply.error) : new Error(reply.error));
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`the contestant did not finish "${request.do}" within ${deadlineMs} ms`));
      }, deadlineMs);
      child.once("exit", onExit);
      child.once("message", onMessage);
      child.send(request);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}
