import { encodeKey, type Key, type KeyRange, type Runtime, sleep, systemRuntime, toHex } from "../../core/index.ts";
import type { Engine, Topic } from "../contract.ts";
import { allFacts } from "./all-facts.ts";
import { type Chance, createChance } from "./chance.ts";
import type { CaseContext, Fact, Opened } from "./fact.ts";
import { Follower } from "./follower.ts";

/** The engine to be tested: how to open clients of one store. */
export interface ConformanceTarget {
  /** A fresh client of the store, which all clients share. The suite closes it. */
  open(): Promise<Engine>;
  /** A client of a new and empty store of its own, for facts about whole stores. Default: these facts are not asked. */
  openSeparate?(): Promise<Engine>;
  /** Timers and clock for the deadlines of the tests. Default: the system's. */
  readonly runtime?: Runtime;
  /** Milliseconds that a condition may take to come true before its case fails. Default 10000. */
  readonly patienceMs?: number;
  /** Seed of all chance in the cases, to repeat a failure. Default: a new one for each case. */
  readonly seed?: number;
}

/** A fact, ready to be tested on the target. */
export interface ConformanceCase extends Pick<Fact, "contract" | "name" | "guarantee"> {
  /** Why the fact cannot be asked of this engine, or `undefined` if it can. */
  notAsked(): Promise<string | undefined>;
  /** Tests the fact in a scratch namespace of its own and cleans up. Cases may run at the same time. */
  run(): Promise<void>;
}

/** The suite on one target. Disposing closes the clients that the cases shared. */
export interface Conformance extends AsyncDisposable {
  readonly cases: readonly ConformanceCase[];
  /** The first of the clients that the cases share. */
  engine(): Promise<Engine>;
}

/**
 * Every sentence of the engine contract as a case to be run on the target, for any test framework:
 *
 *     await using suite = conformance({ open: () => openMine(url) });
 *     for (const each of suite.cases) if ((await each.notAsked()) === undefined) await each.run();
 *
 * Everything that it writes lies below the key `["conformance"]`, and is deleted again. What stays: the names of topics with
 * their next offsets, because offsets are never given out again, and whatever an engine keeps of deleted objects for a while.
 */
export function conformance(target: ConformanceTarget): Conformance {
  return new Suite(target);
}

class Suite implements Conformance {
  readonly cases: readonly ConformanceCase[];
  readonly #target: ConformanceTarget;
  #clients: Promise<[Engine, Engine]> | undefined;

  constructor(target: ConformanceTarget) {
    this.#target = target;
    this.cases = allFacts.map((fact) => this.#bind(fact));
  }

  async engine(): Promise<Engine> {
    return (await this.#open())[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = await this.#clients?.catch(() => []);
    await Promise.all(clients?.map((client) => client.close()) ?? []);
  }

  #open(): Promise<[Engine, Engine]> {
    this.#clients ??= Promise.all([this.#target.open(), this.#target.open()]);
    return this.#clients;
  }

  #bind({ contract, name, guarantee, needs, run }: Fact): ConformanceCase {
    const separate = this.#target.openSeparate !== undefined;
    return {
      contract,
      name,
      ...(guarantee !== undefined && { guarantee }),
      notAsked: async () => needs?.(await this.engine(), { separate }),
      run: async () => {
        const scratch = new Scratch(this.#target, await this.#open());
        const failed = await failure(() => run(scratch));
        const dirty = await failure(() => scratch.clear());
        // What a failed test leaves behind may well be hard to remove: its own error is the one to show.
        if (failed ?? dirty) throw scratch.explain((failed ?? dirty)?.error);
      },
    };
  }
}

/** The context of one case, and what is to be undone after it. */
class Scratch implements CaseContext {
  readonly engine: Engine;
  readonly other: Engine;
  readonly runtime: Runtime;
  readonly #target: ConformanceTarget;
  readonly #namespace: Key;
  readonly #patienceMs: number;
  readonly #seed: number;
  readonly #ends: (() => unknown)[] = [];
  #chance: Chance | undefined;

  constructor(target: ConformanceTarget, [first, second]: [Engine, Engine]) {
    this.#target = target;
    this.runtime = target.runtime ?? systemRuntime;
    this.#patienceMs = target.patienceMs ?? 10_000;
    this.#namespace = ["conformance", toHex(this.runtime.random.bytes(8))];
    this.#seed = target.seed ?? Math.floor(this.runtime.random.next() * 2 ** 32);
    this.engine = first.scope(...this.#namespace);
    this.other = second.scope(...this.#namespace);
  }

  get chance(): Chance {
    this.#chance ??= createChance(this.#seed);
    return this.#chance;
  }

  // Fields and not methods, since cases take them out of the context one by one.

  readonly open = async (): Promise<Opened> => {
    const client = await this.#target.open();
    this.defer(() => client.close());
    return { client, engine: client.scope(...this.#namespace) };
  };

  readonly openSeparate = async (): Promise<Engine | undefined> => {
    const client = await this.#target.openSeparate?.();
    if (client) this.defer(() => client.close());
    return client;
  };

  readonly topic = <T extends Topic>(topic: T, engine: Engine = this.engine): T => {
    this.defer(async () => await engine.log.trim(topic, (await engine.log.bounds(topic)).next));
    return topic;
  };

  readonly defer = (end: () => unknown): void => {
    this.#ends.push(end);
  };

  readonly eventually = async <T>(what: string, ask: () => T | Promise<T>): Promise<Exclude<T, undefined | false>> => {
    const { clock } = this.runtime;
    const end = clock.monotonic() + this.#patienceMs;
    for (let pause = 1; ; pause = Math.min(pause * 2, 20)) {
      const answer = await this.soon(what, Promise.resolve(ask()));
      if (answer !== undefined && answer !== false) return answer as Exclude<T, undefined | false>;
      if (clock.monotonic() > end) throw new Error(`${what}: not so within ${this.#patienceMs} ms`);
      await sleep(this.runtime, pause);
    }
  };

  readonly soon = async <T>(what: string, promise: Promise<T>): Promise<T> => {
    const late = Promise.withResolvers<never>();
    const timer = this.runtime.timers.after(this.#patienceMs, () =>
      late.reject(new Error(`${what}: not done within ${this.#patienceMs} ms`)),
    );
    try {
      return await Promise.race([promise, late.promise]);
    } finally {
      timer.cancel();
    }
  };

  readonly follow = <V = unknown>(engine: Engine, range: KeyRange): Follower<V> => {
    const follower = new Follower(engine.kv.watch<V>(range));
    this.defer(() => follower.stop());
    return follower;
  };

  /** The error, with the seed if chance had a part in it. */
  explain(error: unknown): unknown {
    if (this.#chance && error instanceof Error) error.message += `\n(repeat with the seed ${this.#seed})`;
    return error;
  }

  async clear(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
    await removeAll(this.engine);
  }
}

async function failure(work: () => Promise<void>): Promise<{ readonly error: unknown } | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return { error };
  }
}

/** Deletes the keys and objects of the namespace. */
async function removeAll(engine: Engine): Promise<void> {
  const everything: KeyRange = { prefix: [] };
  for await (const { key } of engine.blob.list(everything)) await engine.blob.delete(key);
  const { operations, commitBytes } = engine.limits;
  let doomed: Key[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    if (doomed.length > 0) await engine.kv.commit({ mutations: doomed.map((key) => ({ delete: key })) });
    doomed = [];
    bytes = 0;
  };
  for await (const { key } of engine.kv.list(everything)) {
    const size = encodeKey([...engine.namespace, ...key]).length;
    if (doomed.length === operations || bytes + size > commitBytes) await flush();
    doomed.push(key);
    bytes += size;
  }
  await flush();
}
