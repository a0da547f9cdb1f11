import { fullJitter, invalidArgument, isAshlarError, LimitError, raceAbort, sleep } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import { type ReservedMessage, reserved } from "./channels.ts";

export interface SequenceOptions {
  /**
   * Numbers that this process takes from the engine at once: 1 to 1,000,000. Default 1: every number costs a commit, and is greater than all
   * that any process was given before. More: as many fewer commits, and no waiting, since the next block is fetched when half of one is used; numbers ascend within the
   * process only, and what it has not given out when it ends (up to one and a half blocks) never is.
   */
  readonly blockSize?: number;
  /** The first number: a safe integer, at least 1. Default 1. Later, a greater one than the sequence has come to skips what is between. */
  readonly start?: number;
  /** The last number: a safe integer, at least `start`. Default 9,007,199,254,740,991. */
  readonly end?: number;
}

/** No number is given out twice, whatever fails. */
export interface Sequence {
  /**
   * A number. Within this process, each is greater than the one that was given before it.
   * @throws LimitError the sequence is used up
   * @throws UnavailableError the engine cannot be reached, and this process has no number left
   */
  next(options?: { readonly signal?: AbortSignal }): Promise<number>;
  /**
   * Consecutive numbers, from the engine, past this process's block.
   * @param count 1 to 1,000,000
   * @throws LimitError so many are not left; none was taken
   */
  reserve(count: number, options?: { readonly signal?: AbortSignal }): Promise<IdBlock>;
  /**
   * A number within a transaction: given out if and only if it commits, so that there is no gap among the numbers that were given out in this way. All transactions that take one conflict with
   * each other and commit one after another; `blockSize` does not matter.
   */
  nextIn(tx: Transaction): Promise<number>;
  /** The greatest number that any process has taken; `undefined` before the first. */
  last(options?: { readonly signal?: AbortSignal }): Promise<number | undefined>;
}

/** The numbers from `first` to `last`. */
export interface IdBlock extends Iterable<number> {
  readonly first: number;
  readonly last: number;
}

const largestBlock = 1_000_000;
const attempts = 5;
const pause = { base: 10, cap: 500 };

/** The number that was given out last stands under `["sequence", name]`. */
export function createSequence(engine: Engine, name: string, options: SequenceOptions = {}): Sequence {
  if (typeof name !== "string" || name.length === 0 || name.length > 500)
    throw invalidArgument("name", name, "a text of 1 to 500 characters");
  const { blockSize = 1, start = 1, end = Number.MAX_SAFE_INTEGER } = options;
  if (!Number.isInteger(blockSize) || blockSize < 1 || blockSize > largestBlock)
    throw invalidArgument("blockSize", blockSize, `a whole number from 1 to ${largestBlock}`);
  if (!Number.isSafeInteger(start) || start < 1) throw invalidArgument("start", start, "a safe integer, at least 1");
  if (!Number.isSafeInteger(end) || end < start) throw invalidArgument("end", end, "a safe integer, at least `start`");
  return new EngineSequence(engine.scope("sequence"), name, { blockSize, start, end });
}

class EngineSequence implements Sequence {
  readonly #engine: Engine;
  readonly #name: string;
  readonly #options: Required<SequenceOptions>;
  /** What this process gives out now: from `#next` to `#last`; nothing if the first is the greater. */
  #next = 1;
  #last = 0;
  /** What comes after that. */
  #ahead: IdBlock | undefined;
  #fetching: Promise<void> | undefined;
  /** No second attempt ahead of need, so that an engine that is away is not asked again with every number. */
  #failedAhead = false;

  constructor(engine: Engine, name: string, options: Required<SequenceOptions>) {
    this.#engine = engine;
    this.#name = name;
    this.#options = options;
  }

  async next({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    signal?.throwIfAborted();
    const { blockSize } = this.#options;
    if (blockSize === 1) return (await this.#take(1, signal)).first;
    while (this.#next > this.#last) {
      if (this.#ahead) this.#use(this.#ahead);
      else await raceAbort(this.#fetch(), signal);
    }
    const number = this.#next++;
    if (this.#last - number <= blockSize / 2 && !this.#ahead && !this.#failedAhead) {
      this.#fetch().catch(() => {
        this.#failedAhead = true;
      });
    }
    return number;
  }

  async reserve(count: number, { signal }: { readonly signal?: AbortSignal } = {}): Promise<IdBlock> {
    if (!Number.isInteger(count) || count < 1 || count > largestBlock)
      throw invalidArgument("count", count, `a whole number from 1 to ${largestBlock}`);
    return await this.#take(count, signal);
  }

  async nextIn(tx: Transaction): Promise<number> {
    const { start, end } = this.#options;
    const own = this.#engine.join(tx);
    const next = Math.max((await own.get<number>([this.#name])) ?? start - 1, start - 1) + 1;
    if (next > end) throw this.#usedUp(1);
    own.set([this.#name], next);
    return next;
  }

  async last({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number | undefined> {
    return (await this.#engine.kv.get<number>([this.#name], { ...(signal && { signal }) }))?.value;
  }

  #use({ first, last }: IdBlock): void {
    this.#ahead = undefined;
    this.#failedAhead = false;
    this.#next = first;
    this.#last = last;
  }

  /** One for all who wait: those beyond the block ask again. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#block().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  /** The end of a sequence may leave less than a block: its last numbers are taken one by one. */
  async #block(): Promise<void> {
    this.#ahead = await this.#take(this.#options.blockSize).catch((error: unknown) => {
      if (!isAshlarError(error, "LIMIT")) throw error;
      return this.#take(1);
    });
  }

  /** A commit whose outcome is unknown is made again: its numbers, if it took them, are given to nobody. */
  async #take(count: number, signal?: AbortSignal): Promise<IdBlock> {
    const { start, end } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        const last = await this.#engine.kv.add([this.#name], count, {
          floor: start - 1,
          ceiling: end,
          ...(signal && { signal }),
        });
        if (reserved.hasSubscribers)
          reserved.publish({ name: this.#name, first: last - count + 1, last } satisfies ReservedMessage);
        return block(last - count + 1, last);
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        if (isAshlarError(error, "CONFLICT")) throw this.#usedUp(count);
        if (!isAshlarError(error, "OUTCOME_UNKNOWN") || attempt + 1 >= attempts) throw error;
      }
      const { runtime } = this.#engine;
      await sleep(runtime, fullJitter(runtime, attempt, pause), { ...(signal && { signal }), ref: false });
    }
  }

  #usedUp(count: number): LimitError {
    const { end } = this.#options;
    return new LimitError(
      `sequence ${JSON.stringify(this.#name)}: fewer than ${count} numbers are left up to its end, ${end}`,
      { details: { name: this.#name, count, end } },
    );
  }
}

function block(first: number, last: number): IdBlock {
  return {
    first,
    last,
    *[Symbol.iterator]() {
      for (let number = first; number <= last; number++) yield number;
    },
  };
}
