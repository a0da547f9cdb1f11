import { CorruptionError, type Runtime, systemRuntime, toBinaryString } from "../../core/index.ts";
import type { Limits } from "../contract.ts";
import type {
  ChangeSink,
  Driver,
  LogDriver,
  RawChange,
  RawCommit,
  RawMutation,
  RawOutcome,
  SqlSession,
} from "../driver.ts";
import { AppendTranslator, type Translation } from "./append-translation.ts";
import { CommitGate } from "./commit-gate.ts";
import { EngineClock } from "./engine-clock.ts";
import { blockOverhead } from "./log-records.ts";
import { decodeIndex, grownTopic, isTailKey, longestTopicKey, newRowOverhead, topicKeys } from "./topic-keys.ts";
import { TopicPacker } from "./topic-packer.ts";
import { TopicReader } from "./topic-reader.ts";

/**
 * The driver with a log, kept in its keys, for drivers that have none of their own.
 *
 * An append becomes two mutations of the same commit: an `add` to the topic's count, whose sum tells the offset, and a row under a name that nobody
 * else uses. Neither reads nor checks anything, so appends never conflict, and any number of them share a flush. The order of records is the
 * order of their rows' revisions, which is the order of the counts. In the background, rows are packed into large ones by offset.
 * A record's time is the greatest of its client's notion of the engine's clock (see `EngineClock`) and the times before it.
 *
 * What it costs: a record is written twice, and a commit takes half the driver's operations (`overKeys` says exactly). So that the
 * portable limits hold with it, a driver should accept at least 200 operations, values of 260 KiB and commits of 1.2 MiB.
 */
export function logOverKeys(driver: Driver, runtime: Runtime = systemRuntime): Driver {
  return new KeyedLog(driver, runtime).driver;
}

/** What is left of a driver's limits when its log is kept in keys. */
export function overKeys(limits: Limits): Limits {
  const operations = Math.floor(limits.operations / 2);
  // At worst, each operation is the append of one record to a topic of its own.
  const perOperation = 2 * longestTopicKey + newRowOverhead + limits.keyBytes + blockOverhead(1);
  return {
    ...limits,
    operations,
    valueBytes: limits.valueBytes - newRowOverhead - limits.keyBytes - blockOverhead(1),
    commitBytes: limits.commitBytes - operations * perOperation,
  };
}

class KeyedLog {
  readonly #inner: Driver;
  readonly #runtime: Runtime;
  readonly #gate: CommitGate;
  readonly #clock: EngineClock;
  readonly #translator: AppendTranslator;
  readonly #reader: TopicReader;
  readonly #packer: TopicPacker;

  constructor(inner: Driver, runtime: Runtime) {
    this.#inner = inner;
    this.#gate = new CommitGate(inner);
    this.#runtime = runtime;
    this.#clock = new EngineClock(inner, runtime);
    this.#translator = new AppendTranslator(runtime);
    this.#reader = new TopicReader(inner);
    this.#packer = new TopicPacker(inner, this.#reader, this.#gate);
  }

  get driver(): Driver {
    const inner = this.#inner;
    const { bus } = inner;
    return {
      name: inner.name,
      guarantees: inner.guarantees,
      limits: overKeys(inner.limits),
      flush: inner.flush,
      getMany: (keys, options) => inner.getMany(keys, options),
      list: (range, options) => inner.list(range, options),
      commitMany: (commits) => (commits.some(hasAppend) ? this.#commitMany(commits) : this.#gate.commitMany(commits)),
      watch: (sink) => inner.watch(reportingTopics(sink)),
      sweep: (limit) => inner.sweep(limit),
      now: () => inner.now(),
      revision: () => inner.revision(),
      log: this.#log(),
      ...(bus && { bus }),
      ...(inner.openSql && { openSql: (options) => this.#openSql(options) }),
      close: async () => {
        await this.#packer.close();
        await inner.close();
      },
    };
  }

  #log(): LogDriver {
    return {
      read: (topic, options) => this.#reader.read(topic, options),
      bounds: (topic) => this.#reader.bounds(topic),
      trim: (topic, before) => this.#trim(topic, before),
    };
  }

  async #commitMany(commits: readonly RawCommit[]): Promise<RawOutcome[]> {
    await this.#relieve(commits);
    const time = await this.#clock.now();
    const translations = commits.map((commit) =>
      hasAppend(commit) ? this.#translator.translate(commit, time) : undefined,
    );
    const outcomes = await this.#gate.commitMany(commits.map((commit, i) => translations[i]?.commit ?? commit));
    return outcomes.map((raw, i) => {
      const translation = translations[i];
      if (!translation) return raw;
      const outcome = translation.outcome(raw);
      this.#appended(translation, outcome);
      return outcome;
    });
  }

  /** Waits where packing does not keep up with what is appended. */
  async #relieve(commits: readonly RawCommit[]): Promise<void> {
    for (const { mutations } of commits) {
      for (const mutation of mutations) if (mutation.kind === "append") await this.#packer.pressure(mutation.topic);
    }
  }

  #appended({ appends }: Translation, outcome: RawOutcome): void {
    if (!outcome.ok) return;
    for (const [i, { keys, append }] of appends.entries()) {
      this.#packer.appended(keys, outcome.offsets[i] as number, append.records);
      if (this.#runtime.maybe("log: pack the tail early")) this.#packer.pack(keys).catch(() => {});
    }
  }

  async #trim(topic: Uint8Array, before: number): Promise<void> {
    const keys = topicKeys(topic);
    const { head, first, count } = await this.#reader.tail(keys);
    const to = Math.min(before, count);
    if (to > first) {
      const plus = { floor: { clock: "none", plus: to }, ceiling: undefined, ttl: undefined } as const;
      await this.#apply([{ kind: "add", key: keys.first, delta: 0, ...plus }]);
    }
    // Packing leaves out what lies below the first offset kept.
    if (to > head.base) await this.#packer.pack(keys);
    const limit = Math.min(indexEntriesAtOnce, this.#inner.limits.listEntries);
    for (;;) {
      const entries = await this.#inner.list(keys.indexUpTo(to), { limit, reverse: false });
      for (const { key, value } of entries) {
        const rows = decodeIndex(value).map((end): RawMutation => ({ kind: "delete", key: keys.row(end) }));
        await this.#apply([...rows, { kind: "delete", key }]);
      }
      if (entries.length < limit) return;
    }
  }

  async #apply(mutations: readonly RawMutation[]): Promise<void> {
    const bytes = mutations.length * longestTopicKey;
    const outcome = await this.#gate.commit({ checks: [], mutations, bytes });
    if (!outcome.ok) throw new CorruptionError(`the first offset of a log topic cannot be moved: ${outcome.reason}`);
  }

  async #openSql(options: { readonly signal?: AbortSignal }): Promise<SqlSession> {
    const session = await (this.#inner.openSql as NonNullable<Driver["openSql"]>)(options);
    const applied: { readonly translation: Translation; readonly outcome: RawOutcome }[] = [];
    return {
      sql: session.sql,
      apply: async (commit) => {
        if (!hasAppend(commit)) return session.apply(commit);
        const translation = this.#translator.translate(commit, await this.#clock.now());
        const outcome = translation.outcome(await session.apply(translation.commit));
        applied.push({ translation, outcome });
        return outcome;
      },
      commit: async () => {
        await session.commit();
        for (const { translation, outcome } of applied) this.#appended(translation, outcome);
      },
      rollback: () => session.rollback(),
    };
  }
}

const indexEntriesAtOnce = 16;

function hasAppend({ mutations }: RawCommit): boolean {
  return mutations.some((mutation) => mutation.kind === "append");
}

/** The sink, told of topics where the driver tells of keys. A packing wakes those who tail a topic once too often, which is harmless. */
function reportingTopics(sink: ChangeSink): ChangeSink {
  return {
    wants: (key) => isTailKey(key) || sink.wants(key),
    changed(changes, topics, position) {
      const others: RawChange[] = [];
      const grown = new Map(topics.map((topic) => [toBinaryString(topic), topic]));
      try {
        for (const change of changes) {
          const topic = isTailKey(change.key) ? change.entry && grownTopic(change.entry) : void others.push(change);
          if (topic) grown.set(toBinaryString(topic), topic);
        }
      } catch (corruption) {
        sink.failed(corruption as Error);
        return;
      }
      sink.changed(others, [...grown.values()], position);
    },
    reset: () => sink.reset(),
    failed: (error) => sink.failed(error),
  };
}
