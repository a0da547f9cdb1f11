import { Worker } from "node:worker_threads";
import { ClosedError, isAshlarError, OutcomeUnknownError, ownBytes, UnavailableError } from "../../core/index.ts";
import type { RawCommit, RawOutcome } from "../driver.ts";
import { decodeOutcomes, encodeCommits } from "./frames.ts";
import { fromWire, type Request, type Response, type SessionCall, type WriterData } from "./wire.ts";

export interface WriterClientOptions {
  /** Absolute path. */
  readonly file: string;
  readonly sessionMs: number;
  /** The engine's clock for what happens now; `undefined`: the writer reads the system's itself, at the best moment. */
  readonly now: () => number | undefined;
  /** Called when something was committed. */
  readonly onCommit: () => void;
  /** Starts the thread. Default `startWriter`; for tests that need it to die. */
  readonly start?: (data: WriterData) => Worker;
}

type Frame = Uint8Array<ArrayBuffer>;
type Unnumbered<T> = T extends unknown ? Omit<T, "id"> : never;

/**
 * The writer's thread as seen from the main thread. The thread does not keep the process alive, requests in flight do. Should the
 * thread die, what was in flight fails, and the next request starts another.
 */
export class WriterClient {
  readonly #options: WriterClientOptions;
  readonly #committing = new Int32Array(new SharedArrayBuffer(4));
  readonly #pending = new Map<number, Pending>();
  #thread: Thread | undefined;
  #lastId = 0;
  #closed = false;

  constructor(options: WriterClientOptions) {
    this.#options = options;
  }

  /** Starts the thread; resolves when it has opened the database. */
  async open(): Promise<void> {
    await this.#started().ready;
  }

  async flush(commits: readonly RawCommit[]): Promise<RawOutcome[]> {
    const frame = encodeCommits(commits);
    const outcomes = await this.#request<Frame>({ kind: "flush", frame, now: this.#options.now() }, [frame.buffer]);
    this.#options.onCommit();
    return decodeOutcomes(outcomes);
  }

  async trim(topic: Uint8Array, before: number): Promise<void> {
    const own = ownBytes(topic);
    let done = false;
    while (!done) done = await this.#request<boolean>({ kind: "trim", topic: own, before });
  }

  async sweep(limit: number): Promise<number> {
    const swept = await this.#request<number>({ kind: "sweep", limit, now: this.#options.now() });
    if (swept > 0) this.#options.onCommit();
    return swept;
  }

  /** Waits for its turn and for the lock of the database. Resolves with the session's name. */
  async openSession(): Promise<number> {
    const id = ++this.#lastId;
    await this.#send({ kind: "open-session", id });
    return id;
  }

  inSession<T>(session: number, call: SessionCall): Promise<T> {
    return this.#request<T>({ kind: "in-session", session, call });
  }

  async applyInSession(session: number, commit: RawCommit): Promise<RawOutcome> {
    const frame = encodeCommits([commit]);
    const call: SessionCall = { kind: "apply", frame, now: this.#options.now() };
    const outcomes = await this.#request<Frame>({ kind: "in-session", session, call }, [frame.buffer]);
    return decodeOutcomes(outcomes)[0] as RawOutcome;
  }

  async commitSession(session: number): Promise<void> {
    await this.inSession(session, { kind: "commit" });
    this.#options.onCommit();
  }

  /** What is in flight settles first, but for an open session, which is rolled back. */
  async close(): Promise<void> {
    const thread = this.#thread;
    const answered = thread && this.#request({ kind: "close" });
    this.#closed = true;
    await answered?.catch(() => {});
    await thread?.exited;
  }

  #request<T>(request: Unnumbered<Request>, transfer: ArrayBuffer[] = []): Promise<T> {
    return this.#send<T>({ ...request, id: ++this.#lastId }, transfer);
  }

  #send<T>(request: Request, transfer: ArrayBuffer[] = []): Promise<T> {
    if (this.#closed)
      return Promise.reject(new ClosedError("the sqlite engine is closed: open it anew to use it again"));
    const { worker } = this.#started();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#pending.set(request.id, { resolve: resolve as (value: unknown) => void, reject });
    if (this.#pending.size === 1) worker.ref();
    worker.postMessage(request, transfer);
    return promise;
  }

  #started(): Thread {
    this.#thread ??= this.#start();
    return this.#thread;
  }

  #start(): Thread {
    const { file, sessionMs } = this.#options;
    const start = this.#options.start ?? startWriter;
    const worker = start({ file, sessionMs, committing: this.#committing });
    const ready = Promise.withResolvers<void>();
    const exited = Promise.withResolvers<void>();
    // Unless someone waits for it, a failure to start is heard of by those whose requests it fails.
    ready.promise.catch(() => {});
    /** Why the thread could not open the database, or died. */
    let cause: Error | undefined;
    worker.on("message", (response: Response) => {
      if (response.id !== 0) this.#settle(response);
      else if ("error" in response) cause = fromWire(response.error);
      else {
        ready.resolve();
        this.#unrefIfIdle();
      }
    });
    worker.on("error", (error) => {
      cause = error instanceof Error ? error : new Error(String(error));
    });
    worker.on("exit", () => {
      this.#thread = undefined;
      ready.reject(this.#failAll(cause));
      exited.resolve();
    });
    return { worker, ready: ready.promise, exited: exited.promise };
  }

  #settle(response: Response): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if ("error" in response) pending?.reject(fromWire(response.error));
    else pending?.resolve(response.value);
    this.#unrefIfIdle();
  }

  #unrefIfIdle(): void {
    // While closing, the end of the thread is what is waited for.
    if (this.#pending.size === 0 && !this.#closed) this.#thread?.worker.unref();
  }

  /** The thread has ended. Returns the error of what was surely not done. */
  #failAll(cause: Error | undefined): Error {
    const committing = Atomics.load(this.#committing, 0);
    const undone = isAshlarError(cause)
      ? cause
      : new UnavailableError(`${this.#options.file}: the writer's thread has ended unexpectedly; nothing was applied`, {
          cause,
        });
    for (const [id, { reject }] of this.#pending) {
      reject(
        id === committing
          ? new OutcomeUnknownError(`${this.#options.file}: the writer's thread has ended while it committed`, {
              cause,
            })
          : undone,
      );
    }
    this.#pending.clear();
    return undone;
  }
}

/** Beside this file, as source or compiled. */
const writerUrl = new URL(import.meta.url.endsWith(".ts") ? "./writer.ts" : "./writer.js", import.meta.url);

export function startWriter(workerData: WriterData): Worker {
  // Flags of the main thread, loaders above all, are none of its business.
  return new Worker(writerUrl, { workerData, name: "ashlar-sqlite-writer", execArgv: [] });
}

interface Thread {
  readonly worker: Worker;
  readonly ready: Promise<void>;
  readonly exited: Promise<void>;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}
