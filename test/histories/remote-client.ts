import { type ChildProcess, fork } from "node:child_process";
import { AshlarError } from "../../src/index.ts";
import type { Answer, Request } from "./client-process.ts";

/** A request without its number. */
export type Task = Request extends infer R ? (R extends unknown ? Omit<R, "id"> : never) : never;

/** A client of a store in a process of its own. */
export class RemoteClient {
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #ended = Promise.withResolvers<void>();
  #last = 0;
  #gone = false;

  constructor(url: string) {
    this.#child = fork(new URL("./client-process.ts", import.meta.url), [url], { execArgv: [] });
    this.#child.on("message", (answer: Answer) => this.#answered(answer));
    this.#child.once("exit", () => this.#exited());
    this.#pending.set(0, Promise.withResolvers());
    this.ready.catch(() => {});
  }

  /** Resolves once it has opened the store. */
  get ready(): Promise<unknown> {
    return this.#pending.get(0)?.promise ?? Promise.resolve();
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Rejects with a definite error if it surely was not done. */
  call(task: Task): Promise<unknown> {
    const id = ++this.#last;
    const pending = Promise.withResolvers<unknown>();
    this.#pending.set(id, pending);
    if (this.#gone) this.#exited();
    else this.#child.send({ ...task, id } as Request, (error) => error && this.#exited());
    return pending.promise;
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended.promise;
  }

  #answered(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if ("result" in answer) pending?.resolve(answer.result);
    else pending?.reject(remoteError(answer.error, answer.definite));
  }

  #exited(): void {
    this.#gone = true;
    for (const { reject } of this.#pending.values()) reject(remoteError("the client's process is gone", false));
    this.#pending.clear();
    this.#ended.resolve();
  }
}

function remoteError(message: string, definite: boolean): AshlarError {
  return new AshlarError(message, { code: "REMOTE", definite, retryable: false });
}
