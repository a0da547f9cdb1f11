import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Engine } from "../../src/engine/index.ts";
import { connect } from "../../src/index.ts";
import { type Seeded, seeded } from "../seeded.ts";
import type { PostgresServer } from "../servers/postgres.ts";
import { audit, type Violation } from "./audit.ts";
import type { WriterRecord } from "./journal.ts";
import { Observer } from "./observer.ts";
import { readSnapshot } from "./snapshot.ts";
import { prepare } from "./workload.ts";
import { WriterProcess } from "./writer-process.ts";

/** Who is killed: writers, the server, or both at once. */
export type Victim = "client" | "server" | "both";

/** A store to torture. */
export interface TortureStore {
  readonly url: string;
  /** Absent for a store without a server. */
  readonly server?: PostgresServer;
  /** Resolves once nothing that a dead writer had sent can still take effect. */
  quiesce(): Promise<void>;
}

export interface TortureOptions {
  readonly rounds: number;
  readonly seed: number;
  /** In turn. */
  readonly victims: readonly Victim[];
  /**
   * Whether watchers and a tail live through all rounds. Without them nobody else has the store open when the
   * writers die, so that who opens it next has to recover it.
   */
  readonly watched: boolean;
  /** The longest that writers write before the kill. Default 300. */
  readonly writeMs?: number;
  /** Takes the lines of the report. */
  print(line: string): void;
}

export interface TortureResult {
  readonly acknowledged: number;
  readonly inDoubt: number;
  readonly landed: number;
  readonly refused: number;
  readonly records: number;
  /** States, records and reads that the observers saw. */
  readonly seen: number;
  readonly violations: readonly Violation[];
}

/** Kills and audits, round after round; stops after the first round that shows a violation. */
export async function torture(store: TortureStore, options: TortureOptions): Promise<TortureResult> {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-torture-"));
  const rounds = new Rounds(store, options, folder);
  try {
    return await rounds.run();
  } catch (error) {
    // Said at once: to end what is broken may take long.
    options.print(`broken off: ${error}`);
    throw error;
  } finally {
    await rounds.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Rounds {
  readonly #store: TortureStore;
  readonly #options: TortureOptions;
  readonly #folder: string;
  readonly #random: Seeded;
  /** Every writer there ever was. */
  readonly #records = new Map<string, WriterRecord>();
  readonly #alive = new Set<WriterProcess>();
  #watching: { readonly engine: Engine; readonly observer: Observer } | undefined;

  constructor(store: TortureStore, options: TortureOptions, folder: string) {
    this.#store = store;
    this.#options = options;
    this.#folder = folder;
    this.#random = seeded(options.seed);
  }

  async run(): Promise<TortureResult> {
    const { rounds, victims, watched, print } = this.#options;
    const engine = await connect(this.#store.url);
    await prepare(engine);
    if (watched) this.#watching = { engine, observer: new Observer(engine) };
    else await engine.close();
    let result: TortureResult | undefined;
    for (let round = 1; round <= rounds; round++) {
      const victim = victims[(round - 1) % victims.length] as Victim;
      const killed = await this.#kill(round, victim);
      const found = await this.#audit();
      print(`round ${round}: killed ${killed}; ${show(found)}`);
      result = found;
      if (found.violations.length > 0) break;
    }
    if (!result) throw new Error("no rounds");
    return result;
  }

  async end(): Promise<void> {
    await Promise.all([...this.#alive].map((writer) => writer.kill9()));
    await this.#watching?.observer.close();
    await this.#watching?.engine.close();
  }

  /** Starts two writers, kills, lets survivors write on for a moment, and ends them. Resolves with who died. */
  async #kill(round: number, victim: Victim): Promise<string> {
    const { server } = this.#store;
    const writers = [this.#start(`${round}a`), this.#start(`${round}b`)];
    await this.#moment(round, writers);
    const dying = victim === "server" ? [] : this.#random.pick([writers, writers.slice(0, 1), writers.slice(1)]);
    const survivors = writers.filter((writer) => !dying.includes(writer));
    const deadServer = victim === "client" ? undefined : server?.kill9();
    await Promise.all([deadServer, ...dying.map((writer) => writer.kill9())]);
    if (victim !== "client") await server?.restart();
    await Promise.all(survivors.map((writer) => writer.progress(writer.record(), 2)));
    await Promise.all(survivors.map((writer) => writer.finish()));
    for (const writer of writers) {
      this.#records.set(writer.name, writer.record());
      this.#alive.delete(writer);
    }
    await this.#store.quiesce();
    return [...dying.map(({ name }) => name), ...(victim === "client" ? [] : ["the server"])].join(" and ");
  }

  #start(writer: string): WriterProcess {
    const journal = join(this.#folder, writer);
    const started = new WriterProcess({
      url: this.#store.url,
      writer,
      journal,
      seed: this.#random.integer(1, 2 ** 31),
    });
    this.#alive.add(started);
    return started;
  }

  /** The moment of the kill: mostly amid writing, now and then while the writers are still opening the store. */
  async #moment(round: number, writers: readonly WriterProcess[]): Promise<void> {
    const early = this.#random.integer(1, 6) === 1 && round > 1;
    const ms = this.#random.next() * (this.#options.writeMs ?? 300);
    if (!early) await Promise.all(writers.map((writer) => writer.progress()));
    await pause(ms);
  }

  async #audit(): Promise<TortureResult> {
    const engine = this.#watching?.engine ?? (await connect(this.#store.url));
    try {
      const late = (await this.#watching?.observer.arrive()) ?? [];
      const snapshot = await readSnapshot(engine);
      const { violations, ...counts } = audit(this.#records, snapshot);
      const seen = this.#watching?.observer.seen ?? 0;
      return { ...counts, records: snapshot.records.length, seen, violations: [...late, ...violations] };
    } finally {
      if (!this.#watching) await engine.close();
    }
  }
}

/** One line of figures. */
export function show({ acknowledged, inDoubt, landed, refused, records, seen, violations }: TortureResult): string {
  const count = (...kinds: Violation["kind"][]) => violations.filter(({ kind }) => kinds.includes(kind)).length;
  const writes = `acknowledged ${acknowledged}, in doubt ${inDoubt} (landed ${landed}), refused ${refused}, records ${records}, observed ${seen}`;
  const faults = `lost=${count("lost")} half=${count("half")} gaps=${count("gap")} twice=${count("twice")}`;
  return `${writes}; ${faults} other=${count("unasked", "failed", "watch")}`;
}
