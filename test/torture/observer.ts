import { setTimeout as pause } from "node:timers/promises";
import type { Change, Engine, LogRecord } from "../../src/engine/index.ts";
import { isAshlarError, type KeyRange } from "../../src/index.ts";
import { until } from "../servers/process-tree.ts";
import type { Violation, ViolationKind } from "./audit.ts";
import { accounts, initialBalance, sharedKeys } from "./workload.ts";

/**
 * Watchers, a tail and a reader that live through all rounds. After every array a watcher must hold a state that existed: no commit
 * half seen. At the end of a round they must arrive at the state of the store by themselves.
 */
export class Observer {
  readonly #engine: Engine;
  readonly #end = new AbortController();
  readonly #violations: Violation[] = [];
  readonly #mirrors: readonly Mirror[];
  readonly #tailed: LogRecord[] = [];
  readonly #running: Promise<void>[];
  /** States seen by the watchers, records by the tail, reads by the reader. */
  seen = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#mirrors = [
      new Mirror({ prefix: ["batch"] }, batchesEqual),
      new Mirror({ prefix: ["shared"] }, sharedEqual),
      new Mirror({ prefix: ["account"] }, sumConstant),
      new Mirror({ prefix: ["count"] }, () => undefined),
    ];
    const tasks = [...this.#mirrors.map((mirror) => this.#watch(mirror)), this.#tail(), this.#read()];
    this.#running = tasks.map((task) => task.catch((error) => this.#ended(error)));
  }

  /** Waits for the watchers and the tail to arrive where the store is; nobody writes meanwhile. Takes the violations found since the last call. */
  async arrive(deadlineMs = 10_000): Promise<Violation[]> {
    for (const mirror of this.#mirrors) {
      const present = await versionsOf(this.#engine, mirror.range);
      const name = JSON.stringify(mirror.range);
      const arrived = () => sameVersions(mirror.versions, present);
      await until(arrived, `the watcher of ${name} arrives`, deadlineMs).catch((error: Error) =>
        this.#report(
          "watch",
          `${error.message}: it holds ${mirror.versions.size} of ${present.size} entries, or others`,
        ),
      );
    }
    const { next } = await this.#engine.log.bounds("records");
    await until(() => this.#tailed.length >= next, `the tail arrives at ${next}`, deadlineMs).catch((error: Error) =>
      this.#report("watch", `${error.message}: it has seen ${this.#tailed.length}`),
    );
    return this.#violations.splice(0);
  }

  async close(): Promise<void> {
    this.#end.abort();
    await Promise.all(this.#running);
  }

  async #watch(mirror: Mirror): Promise<void> {
    for await (const changes of this.#engine.kv.watch(mirror.range, { signal: this.#end.signal })) {
      this.seen++;
      mirror.apply(changes);
      const wrong = mirror.judge(mirror.values);
      if (wrong !== undefined) this.#report("half", `a watcher saw ${wrong}`);
    }
    throw new Error(`the watch of ${JSON.stringify(mirror.range)} ended by itself`);
  }

  async #tail(): Promise<void> {
    for await (const records of this.#engine.log.tail("records", { from: 0, signal: this.#end.signal })) {
      for (const record of records) {
        if (record.offset !== this.#tailed.length) {
          this.#report("gap", `the tail got offset ${record.offset} where ${this.#tailed.length} was next`);
        }
        this.#tailed.push(record);
        this.seen++;
      }
    }
    throw new Error("the tail ended by itself");
  }

  /** Reads of several keys are one snapshot, while others write. */
  async #read(): Promise<void> {
    const keys = Array.from({ length: sharedKeys }, (_, i) => ["shared", i]);
    while (!this.#end.signal.aborted) {
      try {
        const entries = await this.#engine.kv.getMany(keys);
        this.seen++;
        if (new Set(entries.map((entry) => entry?.version)).size > 1)
          this.#report("half", "one getMany saw half a commit");
      } catch (error) {
        // A read fails while the server is down.
        if (!isAshlarError(error) || !error.retryable) throw error;
      }
      await pause(10);
    }
  }

  #ended(error: unknown): void {
    if (this.#end.signal.aborted && error === this.#end.signal.reason) return;
    this.#report("watch", `an observer ended: ${error instanceof Error ? error.stack : error}`);
  }

  #report(kind: ViolationKind, what: string): void {
    this.#violations.push({ kind, what });
  }
}

/** What a watcher holds. */
class Mirror {
  readonly range: KeyRange;
  readonly judge: (values: ReadonlyMap<string, unknown>) => string | undefined;
  readonly values = new Map<string, unknown>();
  readonly versions = new Map<string, string>();

  constructor(range: KeyRange, judge: Mirror["judge"]) {
    this.range = range;
    this.judge = judge;
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      const name = change.key.join("/");
      if (change.deleted) {
        this.values.delete(name);
        this.versions.delete(name);
      } else {
        this.values.set(name, change.value);
        this.versions.set(name, change.version);
      }
    }
  }
}

/** The four keys of each lane hold the same. */
function batchesEqual(values: ReadonlyMap<string, unknown>): string | undefined {
  const lanes = Map.groupBy(values, ([name]) => name.slice(0, name.lastIndexOf("/")));
  for (const [lane, entries] of lanes) {
    const different = new Set(entries.map(([, value]) => value)).size > 1;
    if (different || entries.length !== 4) return `${lane} as ${entries.map(([, value]) => value).join(", ")}`;
  }
  return undefined;
}

function sharedEqual(values: ReadonlyMap<string, unknown>): string | undefined {
  const all = [...values.values()].map((value) => String(value).slice(0, 40));
  return new Set(all).size > 1 ? `the shared keys as ${all.join(" | ")}` : undefined;
}

function sumConstant(values: ReadonlyMap<string, unknown>): string | undefined {
  const sum = [...(values.values() as Iterable<number>)].reduce((a, b) => a + b, 0);
  const wanted = accounts * initialBalance;
  return sum === wanted ? undefined : `balances whose sum is ${sum} instead of ${wanted}`;
}

async function versionsOf(engine: Engine, range: KeyRange): Promise<Map<string, string>> {
  const versions = new Map<string, string>();
  for await (const { key, version } of engine.kv.list(range)) versions.set(key.join("/"), version);
  return versions;
}

function sameVersions(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([name, version]) => b.get(name) === version);
}
