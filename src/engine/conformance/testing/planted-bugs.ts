import { systemRuntime } from "../../../core/index.ts";
import type { ChangeSink, Driver, LogDriver, RawCommit, RawEntry, RawMutation, RawOutcome } from "../../driver.ts";
import { createMemoryDriver, MemoryStore } from "../../memory/index.ts";
import { turn } from "../during.ts";
import type { Contract } from "../fact.ts";

/** A driver's mistake, and a case that must notice it. */
export interface PlantedBug {
  readonly what: string;
  /** The methods that are wrong. */
  readonly plant: (driver: Driver) => Partial<Driver>;
  readonly contract: Contract;
  readonly noticedBy: string;
}

/** Commits something else than what was asked for. */
function committing(change: (commit: RawCommit) => RawCommit): PlantedBug["plant"] {
  return (driver) => ({ commitMany: (commits) => driver.commitMany(commits.map(change)) });
}

function mutating(change: (mutation: RawMutation) => RawMutation): PlantedBug["plant"] {
  return committing((commit) => ({ ...commit, mutations: commit.mutations.map(change) }));
}

/** Answers with something else than what is stored. */
function reading(change: (entry: RawEntry) => RawEntry): PlantedBug["plant"] {
  return (driver) => ({
    getMany: async (...args) => (await driver.getMany(...args)).map((entry) => entry && change(entry)),
    list: async (...args) => (await driver.list(...args)).map(change),
  });
}

/** Reports changes in another way than they happened. */
function reporting(report: (sink: ChangeSink) => ChangeSink["changed"]): PlantedBug["plant"] {
  return (driver) => ({
    watch: (sink) =>
      driver.watch({
        wants: (key) => sink.wants(key),
        reset: () => sink.reset(),
        failed: (error) => sink.failed(error),
        changed: report(sink),
      }),
  });
}

function logging(change: (log: LogDriver) => Partial<LogDriver>): PlantedBug["plant"] {
  return ({ log }) => (log ? { log: { ...log, ...change(log) } } : {});
}

/** Each commit by itself. */
function oneByOne(commit: (one: RawCommit, driver: Driver) => Promise<RawOutcome>): PlantedBug["plant"] {
  return (driver) => ({
    async commitMany(commits) {
      const outcomes: RawOutcome[] = [];
      for (const one of commits) outcomes.push(await commit(one, driver));
      return outcomes;
    },
  });
}

async function only(driver: Driver, commit: Partial<RawCommit>): Promise<RawOutcome> {
  const [outcome] = await driver.commitMany([{ checks: [], mutations: [], bytes: 0, ...commit }]);
  return outcome as RawOutcome;
}

/** Takes a range for unchanged if its number of entries is, and nothing in it is newer than the newest that is expected. */
async function withLazyRangeChecks(commit: RawCommit, driver: Driver): Promise<RawOutcome> {
  const checks = [];
  for (const check of commit.checks) {
    if (check.kind === "range") {
      const found = await driver.list(check, { limit: Number.POSITIVE_INFINITY, reverse: false });
      const newest = Math.max(...check.revisions);
      if (found.length === check.keys.length && found.every(({ revision }) => revision <= newest)) continue;
    }
    checks.push(check);
  }
  return await only(driver, { ...commit, checks });
}

async function leavingRecordsBehind(commit: RawCommit, driver: Driver): Promise<RawOutcome> {
  const outcome = await only(driver, commit);
  const appends = commit.mutations.filter(({ kind }) => kind === "append");
  if (!outcome.ok && appends.length > 0) await only(driver, { mutations: appends });
  return outcome;
}

async function inTwoSteps(commit: RawCommit, driver: Driver): Promise<RawOutcome> {
  const [first, ...rest] = commit.mutations;
  if (!first || rest.length === 0) return await only(driver, commit);
  const outcome = await only(driver, { ...commit, mutations: [first] });
  await turn(systemRuntime);
  await only(driver, { mutations: rest });
  return outcome;
}

/** Shows an append to a topic of several while the one before it is still under way. */
function outOfOrder(log: LogDriver): Partial<LogDriver> {
  let reads = 0;
  return {
    read: async (topic, options) => {
      const records = await log.read(topic, options);
      return reads++ % 3 === 0 && records.length > 2 ? records.toSpliced(records.length - 2, 1) : records;
    },
  };
}

function aMomentAgo(driver: Driver): Partial<Driver> {
  const before = new Map<string, RawEntry | undefined>();
  return {
    getMany: async (keys, options) => {
      const now = await driver.getMany(keys, options);
      return keys.map((key, i) => {
        const name = String(key);
        const answer = before.has(name) ? before.get(name) : now[i];
        before.set(name, now[i]);
        return answer;
      });
    },
  };
}

function keyAfterKey(driver: Driver): Partial<Driver> {
  return {
    async getMany(keys, options) {
      const entries: (RawEntry | undefined)[] = [];
      for (const key of keys) {
        entries.push(...(await driver.getMany([key], options)));
        await turn(systemRuntime);
      }
      return entries;
    },
  };
}

function shortPages(driver: Driver): Partial<Driver> {
  return {
    list: async (range, options) => {
      const page = await driver.list(range, options);
      return page.length === driver.limits.listEntries ? [...page.slice(0, -2), page.at(-1) as RawEntry] : page;
    },
  };
}

const everyFifthLost = (sink: ChangeSink): ChangeSink["changed"] => {
  let calls = 0;
  return (changes, topics, position) => sink.changed(++calls % 5 === 0 ? [] : changes, topics, position);
};

const laterFirst = (sink: ChangeSink): ChangeSink["changed"] => {
  let held: Parameters<ChangeSink["changed"]> | undefined;
  return (...report) => {
    if (held) {
      const earlier = held;
      held = undefined;
      sink.changed(...report);
      void turn(systemRuntime).then(() => sink.changed(...earlier));
    } else {
      held = report;
    }
  };
};

const inHalves = (sink: ChangeSink): ChangeSink["changed"] => {
  return (changes, topics, position) => {
    sink.changed(changes.slice(0, 1), topics, position);
    if (changes.length > 1) void turn(systemRuntime).then(() => sink.changed(changes.slice(1), [], position));
  };
};

const withTtl = (change: (ttl: number) => number) =>
  mutating((mutation) =>
    "ttl" in mutation && mutation.ttl !== undefined ? { ...mutation, ttl: change(mutation.ttl) } : mutation,
  );

const lifetimes = "an entry lives as long as its ttl, and not longer, on the engine's clock";

/** What goes wrong in engines, one thing at a time. */
export const plantedBugs: readonly PlantedBug[] = [
  {
    what: "checks are forgotten",
    plant: committing((commit) => ({ ...commit, checks: [] })),
    contract: "commit",
    noticedBy: "a check for a version holds for that version alone",
  },
  {
    what: "range checks are forgotten",
    plant: committing((commit) => ({ ...commit, checks: commit.checks.filter(({ kind }) => kind === "key") })),
    contract: "transact",
    noticedBy: "phantoms are impossible: a limit on a range's size holds",
  },
  {
    what: "range checks are lazy",
    plant: oneByOne(withLazyRangeChecks),
    contract: "range-check",
    noticedBy: "entries that were never there together are refused",
  },
  {
    what: "range checks are lazy, seen from transactions",
    plant: oneByOne(withLazyRangeChecks),
    contract: "transact",
    noticedBy: "a list of several pages that changed behind the reader does not commit",
  },
  {
    what: "a refused commit leaves records behind",
    plant: oneByOne(leavingRecordsBehind),
    contract: "log",
    noticedBy: "a refused commit appends nothing and leaves no gap",
  },
  {
    what: "a commit takes two steps",
    plant: oneByOne(inTwoSteps),
    contract: "commit",
    noticedBy: "readers never see half of a commit",
  },
  {
    what: "a commit takes two steps, seen in a history",
    plant: oneByOne(inTwoSteps),
    contract: "concurrency",
    noticedBy: "the history of concurrent clients is linearizable: commits, refusals, reads and watches",
  },
  {
    what: "floors are forgotten",
    plant: mutating((mutation) => ({ ...mutation, floor: undefined })),
    contract: "add",
    noticedBy: "a floor lifts what is below it before the delta is added",
  },
  {
    what: "a ceiling is passed by one",
    plant: mutating((mutation) =>
      mutation.kind === "add" && mutation.ceiling
        ? { ...mutation, ceiling: { ...mutation.ceiling, plus: mutation.ceiling.plus + 1 } }
        : mutation,
    ),
    contract: "add",
    noticedBy: "a sum may reach its ceiling and not pass it",
  },
  { what: "ttls are too long", plant: withTtl((ttl) => ttl * 1.5), contract: "ttl", noticedBy: lifetimes },
  { what: "ttls are too short", plant: withTtl((ttl) => ttl / 2), contract: "ttl", noticedBy: lifetimes },
  {
    what: "an add makes what stays expire",
    plant: mutating((mutation) =>
      mutation.kind === "add" ? { ...mutation, ttl: mutation.ttl ?? 10_000_000 } : mutation,
    ),
    contract: "ttl",
    noticedBy: "an add keeps the expiry that there is, unless it brings its own",
  },
  {
    what: "versions come back",
    plant: reading((entry) => ({ ...entry, revision: (entry.revision % 7) + 1 })),
    contract: "commit",
    noticedBy: "a version never comes back, whatever is written, deleted and written again",
  },
  {
    what: "empty bytes become nothing",
    plant: reading((entry) =>
      entry.value.length === 2 && entry.value[0] === 0xc4 ? { ...entry, value: Uint8Array.of(0xc0) } : entry,
    ),
    contract: "hostile",
    noticedBy: "values of every kind come back as they were, from keys, topics, messages and transactions",
  },
  {
    what: "reads are of a moment ago",
    plant: aMomentAgo,
    contract: "kv",
    noticedBy: "an acknowledged commit is seen by every client at once",
  },
  {
    what: "reads are of a moment ago, seen in a history",
    plant: aMomentAgo,
    contract: "concurrency",
    noticedBy: "the history of concurrent clients is linearizable: commits, refusals, reads and watches",
  },
  {
    what: "getMany reads key after key",
    plant: keyAfterKey,
    contract: "kv",
    noticedBy: "getMany reads one snapshot while others write",
  },
  {
    what: "a full page lacks an entry",
    plant: shortPages,
    contract: "kv",
    noticedBy: "a list of several pages gives every entry once, both ways",
  },
  {
    what: "a reversed list begins after its end",
    plant: (driver) => ({
      list: (range, options) => driver.list(options.reverse ? { ...range, end: Uint8Array.of(0xff) } : range, options),
    }),
    contract: "kv",
    noticedBy: "a range holds its start and what follows, but not its end",
  },
  {
    what: "changes get lost",
    plant: reporting(everyFifthLost),
    contract: "watch",
    noticedBy: "a watch under load ends in the exact state of the store",
  },
  {
    what: "changes come in the wrong order",
    plant: reporting(laterFirst),
    contract: "watch",
    noticedBy: "a later commit is never seen without an earlier one",
  },
  {
    what: "changes come by halves",
    plant: reporting(inHalves),
    contract: "watch",
    noticedBy: "after each array the observer holds a state that existed",
  },
  {
    what: "a trimmed topic begins at 0",
    plant: logging((log) => ({ bounds: async (topic) => ({ ...(await log.bounds(topic)), first: 0 }) })),
    contract: "log",
    noticedBy: "trimming forgets what lies below, and reads begin at what is kept",
  },
  {
    what: "a record becomes visible after its successor",
    plant: logging(outOfOrder),
    contract: "log",
    noticedBy: "a reader that polls at the end never skips a record",
  },
  {
    what: "a record becomes visible after its successor, seen by a tail",
    plant: logging(outOfOrder),
    contract: "log",
    noticedBy: "records of several clients become visible in order: a tail never skips one",
  },
  {
    what: "clients do not hear one another",
    plant: () => ({ bus: createMemoryDriver(new MemoryStore()).bus as NonNullable<Driver["bus"]> }),
    contract: "bus",
    noticedBy: "a message reaches those who subscribed before, of every client, the sender included",
  },
  {
    what: "limits are below the portable ones",
    plant: ({ limits }) => ({ limits: { ...limits, operations: 50 } }),
    contract: "limits",
    noticedBy: "no limit is below the portable ones",
  },
];
