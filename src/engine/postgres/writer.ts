import { ClosedError, CorruptionError, fullJitter, OutcomeUnknownError, type Random, sleep } from "../../core/index.ts";
import type { RawCommit, RawOutcome } from "../driver.ts";
import { type Plan, planFlush } from "./commit.ts";
import type { Connections, Lease } from "./connection.ts";
import { readHeader } from "./outcome-header.ts";
import { AnswerLost, StatementFailed, statementError } from "./server-errors.ts";
import type { Statements } from "./statements.ts";
import { parseIntegers } from "./wire.ts";

export interface WriterOptions {
  /** Milliseconds within which a lost answer is to be settled. */
  readonly settleTimeout: number;
  /** The latest revision when the writer was made. */
  readonly revision: number;
  /** Told of each flush that was committed while somebody listened. */
  readonly committed: (revision: number) => void;
}

/**
 * Sends flushes, one after another on one connection, so that commits keep their order. While one is under way the next is already encoded, and
 * goes out as soon as the answer is in, before that is decoded.
 *
 * An answer that was lost is settled: the server remembers the outcome of each flush under an id that came with it. If it has none, the id is
 * refused from then on, should the flush still arrive, so the flush can be sent again under a new id.
 */
export class Writer {
  readonly ids: FlushIds;
  readonly #connections: Connections;
  readonly #statements: Statements;
  readonly #options: WriterOptions;
  readonly #queue: Flush[] = [];
  readonly #idlers: (() => void)[] = [];
  /** The connection of the present run of flushes. */
  #lease: Lease | undefined;
  #busy = false;
  /** Flushes for which it is not expected that all checks hold. */
  #disappointed = 0;
  /** The latest revision heard of: a flush sent now gets a later one. */
  #known: number;

  constructor(connections: Connections, statements: Statements, options: WriterOptions) {
    this.ids = new FlushIds(connections.runtime.random);
    this.#connections = connections;
    this.#statements = statements;
    this.#options = options;
    this.#known = options.revision;
  }

  commitMany(commits: readonly RawCommit[]): Promise<RawOutcome[]> {
    const plan = planFlush(commits, this.#statements, { hopeful: this.#disappointed === 0 });
    if (this.#disappointed > 0) this.#disappointed--;
    return new Promise((resolve, reject) => {
      this.#queue.push({ plan, resolve, reject });
      if (!this.#busy) this.#next();
    });
  }

  /** Resolves when no flush waits or is under way. */
  idle(): Promise<void> {
    if (!this.#busy) return Promise.resolve();
    return new Promise((resolve) => this.#idlers.push(resolve));
  }

  #next(): void {
    const flush = this.#queue.shift();
    this.#busy = flush !== undefined;
    if (flush === undefined) {
      this.#lease?.release();
      this.#lease = undefined;
      for (const resolve of this.#idlers.splice(0)) resolve();
      return;
    }
    this.#send(flush).then(
      ({ plan, returned }) => {
        this.#next();
        settleWith(flush, plan, returned);
      },
      (error) => {
        this.#next();
        flush.reject(error);
      },
    );
  }

  /** What the function returned, and for which plan. */
  async #send({ plan }: Flush): Promise<{ readonly plan: Plan; readonly returned: Returned }> {
    if (!plan.writes) return { plan, returned: await this.#verify(plan) };
    const returned = await this.#write(plan);
    if (returned.length === 0 && plan.otherwise) {
      this.#disappointed = sobering;
      const sure = plan.otherwise();
      return { plan: sure, returned: this.#heard(await this.#write(sure)) };
    }
    return { plan, returned: this.#heard(returned) };
  }

  #heard(returned: Returned): Returned {
    const { base, listened } = readHeader(returned);
    this.#known = Math.max(this.#known, base);
    if (listened) this.#options.committed(base);
    return returned;
  }

  async #verify(plan: Plan): Promise<Returned> {
    const [row] = await this.#connections.ask(plan.statement, plan.values);
    return parseIntegers(row?.[0]);
  }

  async #write(plan: Plan): Promise<Returned> {
    for (let attempt = 1; ; attempt++) {
      const id = this.ids.next();
      const known = this.#known;
      const lease = await this.#connected();
      try {
        const [row] = await lease.run(plan.statement, [id, ...plan.values]);
        return parseIntegers(row?.[0]);
      } catch (error) {
        lease.settle(error);
        this.#lease = undefined;
        const again = attempt < maxAttempts && !(error instanceof AnswerLost && error.timedOut);
        if (error instanceof StatementFailed) {
          // Deadlocks with transactions of the user's own, in which our commits take part.
          if (again && error.state.startsWith("40")) continue;
          throw statementError(error, this.#connections.where);
        }
        const settled = await this.settle(id, known, error as AnswerLost);
        if (settled.length > 0) return settled;
        if (!again) throw this.#connections.toAshlar(error);
      }
    }
  }

  async #connected(): Promise<Lease> {
    if (this.#lease && !this.#lease.broken) return this.#lease;
    this.#lease?.discard();
    this.#lease = undefined;
    this.#lease = await this.#connections.acquire();
    return this.#lease;
  }

  /**
   * The outcome of a flush whose answer was lost; empty if it surely was not and will not be applied.
   * @param known a revision that was the latest at some time before the flush was sent
   * @throws OutcomeUnknownError it could not be found out in time
   */
  async settle(id: Buffer, known: number, lost: AnswerLost): Promise<Returned> {
    const { runtime, where } = this.#connections;
    const { settleTimeout } = this.#options;
    const end = runtime.clock.monotonic() + settleTimeout;
    let cause: unknown = lost;
    for (let attempt = 0; ; attempt++) {
      const left = end - runtime.clock.monotonic();
      if (left <= 0) {
        throw new OutcomeUnknownError(
          `${where}: the answer to a commit was lost (${lost.message}), and it could not be found out within ${settleTimeout} ms whether it was applied`,
          { cause },
        );
      }
      try {
        return await this.#ask(id, known, left);
      } catch (error) {
        if (error instanceof OutcomeUnknownError || error instanceof ClosedError) throw error;
        cause = error;
      }
      await sleep(runtime, fullJitter(runtime, attempt, { base: 20, cap: 1000 }), {});
    }
  }

  async #ask(id: Buffer, known: number, timeLeft: number): Promise<Returned> {
    const { runtime, where } = this.#connections;
    const lease = await this.#connections.acquire();
    // A commit that is stuck holds the lock for which this waits.
    const timer = runtime.timers.after(timeLeft, () => lease.discard());
    try {
      const [row] = await lease.run(this.#statements.settle, [id, known]);
      lease.release();
      if (row?.[0] == null)
        throw new OutcomeUnknownError(
          `${where}: the answer to a commit was lost, and the server has already forgotten whether it was applied`,
        );
      return parseIntegers(row[0]);
    } catch (error) {
      lease.settle(error);
      throw error;
    } finally {
      timer.cancel();
    }
  }
}

/**
 * Random UUIDs (version 4) as their 16 bytes. Fetching chance for many at once is cheaper: asking the system costs ten microseconds,
 * however much is asked for.
 */
export class FlushIds {
  readonly #random: Random;
  #chance = Buffer.alloc(0);

  constructor(random: Random) {
    this.#random = random;
  }

  next(): Buffer {
    if (this.#chance.length === 0) this.#chance = Buffer.from(this.#random.bytes(16 * 64));
    const id = this.#chance.subarray(0, 16);
    this.#chance = this.#chance.subarray(16);
    id.writeUInt8((id.readUInt8(6) & 0x0f) | 0x40, 6);
    id.writeUInt8((id.readUInt8(8) & 0x3f) | 0x80, 8);
    return id;
  }
}

type Returned = readonly (number | undefined)[];

interface Flush {
  readonly plan: Plan;
  readonly resolve: (outcomes: RawOutcome[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A flush that failed once is sent once more, unless it took all its time. */
const maxAttempts = 2;

/** Where checks fail, others are likely to fail soon: so many flushes are sent to the function that expects it. */
const sobering = 32;

function settleWith({ resolve, reject }: Flush, plan: Plan, returned: Returned): void {
  try {
    resolve(plan.decode(returned));
  } catch (error) {
    reject(
      error instanceof CorruptionError
        ? error
        : new CorruptionError("the server's answer to a flush makes no sense", { cause: error }),
    );
  }
}
