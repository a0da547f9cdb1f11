import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";
import type { ListStep } from "../../src/check/index.ts";
import { AshlarError, isAshlarError } from "../../src/index.ts";
import { seeded } from "../seeded.ts";
import { Holder } from "./holder.ts";
import { Journal } from "./journal.ts";

export interface RunOptions {
  readonly url: string;
  readonly seed: number;
  readonly processes: number;
  /** How often each is served. */
  readonly rounds: number;
  /** Milliseconds. */
  readonly ttl: number;
  /** After so many grants a holder is killed or stopped, by turns. */
  readonly troubleEvery: number;
}

export interface RunResult {
  readonly journal: Journal;
  /** How many holders were killed. */
  readonly kills: number;
  /** How many were stopped. */
  readonly stops: number;
  /** Of each that was stopped until somebody else had held what it held: after how many milliseconds that was so. */
  readonly takeovers: readonly number[];
  /** Writes that were acknowledged, and those that surely were not done. */
  readonly written: readonly string[];
  readonly notWritten: readonly string[];
}

type Tokens = Readonly<Record<string, number>>;

const draws = [["x"], ["x"], ["y"], ["x", "y"], ["y", "x"]] as const;

/** Lets processes take locks and write under their fences, kills and stops them meanwhile, and records what they are told. */
export async function runHolders(options: RunOptions): Promise<RunResult> {
  const run = new Run(options);
  return await run.result();
}

class Run {
  readonly #options: RunOptions;
  readonly #journal = new Journal();
  readonly #alive = new Set<Holder>();
  readonly #written: string[] = [];
  readonly #notWritten: string[] = [];
  #granted = 0;
  #kills = 0;
  #stops = 0;
  readonly #takeovers: number[] = [];
  #inTrouble = false;
  #over = false;
  #effects = 0;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  async result(): Promise<RunResult> {
    const { processes } = this.#options;
    try {
      await Promise.all(Array.from({ length: processes }, (_, number) => this.#work(number)));
    } finally {
      this.#over = true;
      await Promise.all([...this.#alive].map((holder) => holder.kill()));
    }
    return {
      journal: this.#journal,
      kills: this.#kills,
      stops: this.#stops,
      takeovers: this.#takeovers,
      written: this.#written,
      notWritten: this.#notWritten,
    };
  }

  async #work(number: number): Promise<void> {
    const { seed, rounds, troubleEvery } = this.#options;
    const random = seeded(seed * 1000 + number);
    let holder: Holder | undefined;
    let session = 0;
    for (let served = 0; served < rounds && !this.#over; served++) {
      if (!holder || holder.gone) {
        holder = await this.#start();
        session++;
      }
      const trouble = (): boolean => ++this.#granted % troubleEvery === 0 && !this.#inTrouble;
      await this.#hold(holder, `p${number}.${session}`, {
        names: random.pick(draws),
        writes: random.integer(1, 3),
        trouble,
      });
    }
    await holder?.kill();
  }

  async #start(): Promise<Holder> {
    const holder = await Holder.start(this.#options.url, this.#options.ttl);
    this.#alive.add(holder);
    if (this.#over) await holder.kill();
    return holder;
  }

  /** Resolves when it has been granted, used and released or lost; rejects if that took too long. */
  async #hold(
    holder: Holder,
    client: string,
    how: { readonly names: readonly string[]; readonly writes: number; readonly trouble?: () => boolean },
  ): Promise<void> {
    const { names, writes, trouble } = how;
    const tokens = await this.#journal.lock(
      { client, name: "acquire", names },
      async () => (await holder.call({ do: "acquire", names })) as Tokens,
      { output: (granted, name) => granted[name] },
    );
    const release = () => holder.call({ do: "release" });
    let held: unknown;
    try {
      for (let n = 0; n < writes; n++) await this.#write(holder, client, tokens);
      if (trouble?.()) await this.#trouble(holder, client, tokens);
      held = await this.#journal.lock({ client, name: "release", names }, release, {
        input: (name) => tokens[name],
        output: (result) => result,
      });
    } catch (error) {
      if (!isAshlarError(error) || !["GONE", "LEASE_LOST"].includes(error.code)) throw error;
      if (error.code === "LEASE_LOST") assert.equal(await release(), false);
    }
    if (held !== true) for (const name of names) this.#journal.lost(name, tokens[name] as number);
  }

  async #trouble(holder: Holder, client: string, tokens: Tokens): Promise<void> {
    this.#inTrouble = true;
    try {
      if ((this.#kills + this.#stops) % 2 === 0) await this.#kill(holder, client, tokens);
      else await this.#stop(holder, client, tokens);
    } finally {
      this.#inTrouble = false;
    }
  }

  /** With a write under way, of which nobody knows what became of it. */
  async #kill(holder: Holder, client: string, tokens: Tokens): Promise<void> {
    this.#kills++;
    const write = this.#write(holder, client, tokens).catch(() => {});
    await holder.kill();
    await write;
    throw new AshlarError("killed", { code: "GONE", definite: false, retryable: false });
  }

  /** With a transaction open, until another has held what it holds; it commits when it goes on. */
  async #stop(holder: Holder, client: string, tokens: Tokens): Promise<void> {
    this.#stops++;
    await using heir = await this.#start();
    const names = Object.keys(tokens);
    const stopped = Promise.withResolvers<void>();
    const texts = Object.fromEntries(names.map((name) => [name, `${tokens[name]} ${client}`]));
    const run = async (): Promise<unknown> => {
      await holder.call({ do: "begin", texts });
      holder.stop();
      stopped.resolve();
      return await holder.call({ do: "commit" });
    };
    const write = this.#journal.lock({ client, name: "check", names }, run, {
      input: (name) => tokens[name],
      output: () => true,
    });
    await Promise.race([stopped.promise, write]);
    const stoppedAt = performance.now();
    const inherits = this.#hold(heir, `heir${this.#stops}`, { names, writes: 1 });
    const takes = inherits.then(() => performance.now() - stoppedAt);
    // Should it have been stopped in the middle of another commit, nobody can commit on SQLite until it goes on.
    const taken = await Promise.race([takes, after(6000, undefined, { ref: false })]);
    holder.goOn();
    await assert.rejects(write, (error) => isAshlarError(error, "LEASE_LOST"));
    await inherits;
    if (taken !== undefined) this.#takeovers.push(taken);
    await this.#write(holder, client, tokens);
    assert.fail("a process wrote under a lease that had ended");
  }

  async #write(holder: Holder, client: string, tokens: Tokens): Promise<void> {
    const names = Object.keys(tokens);
    const effects = names.map((name) => [name, `${tokens[name]} ${client} ${this.#effects++}`] as const);
    const steps = effects.flatMap(([name, effect]): ListStep[] => [
      ["r", name, null],
      ["append", name, effect],
    ]);
    const texts = effects.map(([, effect]) => effect);
    try {
      await this.#journal.lock(
        { client, name: "check", names },
        () => this.#journal.transact(client, steps, () => holder.call({ do: "write", steps })),
        { input: (name) => tokens[name], output: () => true },
      );
      this.#written.push(...texts);
    } catch (error) {
      if (isAshlarError(error) && error.definite) this.#notWritten.push(...texts);
      throw error;
    }
  }
}
