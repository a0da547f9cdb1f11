/** A job of about fifty bytes, as JSON. */
export interface Mail {
  readonly i: number;
  readonly user: string;
  readonly kind: string;
  /** When `add` was called: milliseconds of the machine's monotonic clock, which all processes share. */
  readonly at?: number;
}

/** A queue, ours or a peer's, in the process of its own that measures it. Opened anew, on an empty store, for each measurement. */
export interface QueueContestant {
  /** Resolves when the contestant says that the job is kept. */
  add(job: Mail): Promise<unknown>;
  /** By the contestant's own call for many. */
  addMany(jobs: readonly Mail[]): Promise<unknown>;
  /** Lets `handler` have the jobs, fifty at a time, from now on. */
  work(handler: (job: Mail) => void): Promise<Work>;
  close(): Promise<void>;
}

export interface Work {
  /** Resolves when so many jobs in all have been acknowledged: as far as the contestant's own word goes, for good. */
  settled(count: number): Promise<void>;
  stop(): Promise<void>;
}

/** Where the contestant keeps its jobs. */
export interface Place {
  /** An empty Postgres database, for those on Postgres. */
  readonly url?: string;
  /** An empty folder, for those on SQLite. */
  readonly folder?: string;
  /** The port of an empty Redis. */
  readonly port?: number;
}

/** Jobs in flight, and handlers at a time. */
export const concurrency = 50;
/** Jobs in one call for many. */
export const batch = 1000;

export function mail(i: number): Mail {
  return { i, user: `user-${i % 1000}`, kind: "send-email" };
}

/** Counts what has ended and wakes whoever waits for a number of it. */
export class Tally {
  #count = 0;
  #goal = Number.POSITIVE_INFINITY;
  #reached = Promise.withResolvers<void>();

  add(): void {
    if (++this.#count >= this.#goal) this.#reached.resolve();
  }

  /** One caller at a time. */
  async reaches(count: number): Promise<void> {
    if (this.#count >= count) return;
    this.#goal = count;
    this.#reached = Promise.withResolvers<void>();
    await this.#reached.promise;
  }
}
