import { createIds, type Duration, invalidArgument, toMilliseconds, withDeadline } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { type BarrierMessage, passed, withdrawn } from "./channels.ts";
import { Gathering } from "./gathering.ts";
import { Visit } from "./visit.ts";

export interface BarrierOptions {
  /** How many pass together: 1 to 1,000, the same for all who use it. */
  readonly parties: number;
  /**
   * Who comes here: a name counts once, so that a worker that was restarted takes its own place. 1 to 50 characters. Default: somebody new each time.
   */
  readonly party?: string;
  /** Time to live of the lease under which a party waits: how soon after its death it no longer counts. 100 ms to 1 day. Default "15s". */
  readonly ttl?: Duration;
}

export interface ArriveOptions {
  /** How long to wait at most. Default "30s"; `Infinity`: for as long as it takes. */
  readonly timeout?: Duration;
  readonly signal?: AbortSignal;
}

/** A number of parties wait for each other and pass together; then the barrier is closed again for the next time. */
export interface Barrier {
  /**
   * Comes and waits until all parties have come. Whoever dies while it waits no longer counts, and its place can be taken. Waits out an engine
   * that is away.
   * @throws TimeoutError the others did not come in time; this party is not counted then, and the others go on waiting. (If the engine is away at that
   * moment, it is told within a second of its return, or when the lease ends, and until then the party may be counted.)
   * @throws InvalidStateError others use this barrier with another number of parties
   */
  arrive(options?: ArriveOptions): Promise<Passage>;
  /** The names of those who wait now. */
  waiting(options?: { readonly signal?: AbortSignal }): Promise<string[]>;
}

/** That all have come. The same for all parties, but for the index. */
export interface Passage {
  /** Greater than that of all passages before. */
  readonly generation: number;
  /** The names of all who passed, in the order in which they came. */
  readonly parties: readonly string[];
  /** The own position among them: there is one for whom it is 0, to do what one must do for all. */
  readonly index: number;
}

/** The keys are below `["barrier", name]`. */
export function createBarrier(engine: Engine, name: string, options: BarrierOptions): Barrier {
  if (typeof name !== "string" || name.length === 0 || name.length > 500)
    throw invalidArgument("name", name, "a text of 1 to 500 characters");
  const { parties, party, ttl = "15s" } = options;
  if (!Number.isInteger(parties) || parties < 1 || parties > 1000)
    throw invalidArgument("parties", parties, "a whole number from 1 to 1,000");
  if (party !== undefined && (typeof party !== "string" || party.length === 0 || party.length > 50))
    throw invalidArgument("party", party, "a text of 1 to 50 characters");
  const lifetime = toMilliseconds(ttl, "ttl", { min: 100, max: 24 * 3600 * 1000 });
  return new EngineBarrier(new Gathering(engine.scope("barrier"), name, parties), { party, ttl: lifetime });
}

class EngineBarrier implements Barrier {
  readonly #gathering: Gathering;
  readonly #party: string | undefined;
  readonly #ttl: number;
  readonly #ids: { next(): string };

  constructor(gathering: Gathering, options: { readonly party: string | undefined; readonly ttl: number }) {
    this.#gathering = gathering;
    this.#party = options.party;
    this.#ttl = options.ttl;
    this.#ids = createIds(gathering.engine.runtime);
  }

  async arrive(options: ArriveOptions = {}): Promise<Passage> {
    const { timeout = "30s", signal } = options;
    const { engine, name } = this.#gathering;
    const deadlineMs = timeout === Number.POSITIVE_INFINITY ? timeout : toMilliseconds(timeout, "timeout");
    const token = this.#ids.next();
    const party = this.#party ?? token;
    const { clock } = engine.runtime;
    const since = clock.monotonic();
    using deadline = withDeadline(engine.runtime, { deadlineMs, name: `barrier ${JSON.stringify(name)}`, signal });
    const told = (): BarrierMessage => ({ name, party, waitedMs: clock.monotonic() - since });
    try {
      const passage = await new Visit(this.#gathering, { party, token, ttl: this.#ttl }).pass(deadline.signal);
      if (passed.hasSubscribers) passed.publish(told());
      return passage;
    } catch (error) {
      if (withdrawn.hasSubscribers) withdrawn.publish({ ...told(), error } satisfies BarrierMessage);
      throw error;
    }
  }

  waiting(options: { readonly signal?: AbortSignal } = {}): Promise<string[]> {
    return this.#gathering.waiting(options);
  }
}
