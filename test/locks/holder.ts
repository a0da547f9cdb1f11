import { type ChildProcess, fork } from "node:child_process";
import { AshlarError } from "../../src/index.ts";
import type { Answer, Request } from "./holder-process.ts";

/** A request without its number. */
export type Task = Request extends infer R ? (R extends unknown ? Omit<R, "id"> : never) : never;

/** A process that takes locks when it is told to. */
export class Holder implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #ended = Promise.withResolvers<void>();
  #last = 0;
  #gone = false;

  private constructor(url: string, ttl: number) {
    this.#child = fork(new URL("./holder-process.ts", import.meta.url), [url, String(ttl)], { execArgv: [] });
    this.#child.on("message", (answer: Answer) => this.#answered(answer));
    this.#child.once("exit", () => this.#exited());
  }

  /** Resolves once it has opened the store. */
  static async start(url: string, ttl: number): Promise<Holder> {
    const holder = new Holder(url, ttl);
    const ready = Promise.withResolvers<unknown>();
    holder.#pending.set(0, ready);
    await ready.promise;
    return holder;
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

  /** It stands still from now on; what it is asked, it does when it goes on. */
  stop(): void {
    this.#child.kill("SIGSTOP");
  }

  goOn(): void {
    this.#child.kill("SIGCONT");
  }

  /** SIGKILL, which ends one that stands still, too. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }

  #answered(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if ("result" in answer) pending?.resolve(answer.result);
    else pending?.reject(remoteError(answer.error, answer.code, answer.definite));
  }

  #exited(): void {
    this.#gone = true;
    for (const { reject } of this.#pending.values()) reject(remoteError("the process is gone", "GONE", false));
    this.#pending.clear();
    this.#ended.resolve();
  }
}

function remoteError(message: string, code: string, definite: boolean): AshlarError {
  return new AshlarError(message, { code: code || "REMOTE", definite, retryable: false });
}
