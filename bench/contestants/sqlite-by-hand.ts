import { DatabaseSync } from "node:sqlite";
import type { Contestant } from "../contestant.ts";
import { createInputs, newRecord, newValue, PAGE, RANGE, runs } from "../inputs.ts";

const schema = `
  CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE appended (offset INTEGER PRIMARY KEY, value BLOB NOT NULL, time INTEGER NOT NULL);
  CREATE TABLE filled (offset INTEGER PRIMARY KEY, value BLOB NOT NULL, time INTEGER NOT NULL);
`;

/**
 * `node:sqlite` as a careful engineer uses it for one process: everything on the main thread, prepared statements, WAL with `synchronous=FULL`, and
 * one BEGIN IMMEDIATE … COMMIT for all that one turn of the event loop issues.
 */
export function openSqliteByHand(file: string): Contestant {
  const db = new DatabaseSync(file);
  db.exec("PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536");
  db.exec("PRAGMA mmap_size=1073741824");
  db.exec(schema);
  const get = db.prepare("SELECT value, version FROM kv WHERE key = ?");
  const version = db.prepare("SELECT version FROM kv WHERE key = ?");
  const set = db.prepare(
    "INSERT INTO kv VALUES (?, ?, 1) ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = version + 1",
  );
  const list = db.prepare("SELECT key, value, version FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?");
  const append = db.prepare("INSERT INTO appended (value, time) VALUES (?, ?)");
  const fill = db.prepare("INSERT INTO filled (value, time) VALUES (?, ?)");
  const read = db.prepare("SELECT offset, value, time FROM filled WHERE offset >= ? ORDER BY offset LIMIT ?");
  const commits = new TurnCommit(db);
  let inputs = createInputs(RANGE);
  let keys: Uint8Array[] = [];

  const checkAndSet = (three: Uint8Array[], expected: number[]) => () => {
    for (let i = 0; i < 3; i++) {
      if ((version.get(three[i] as Uint8Array) as { version: number }).version !== expected[i]) return 0;
    }
    for (const key of three) set.run(key, newValue());
    return 1;
  };

  const readWhole = () => {
    let from = 1;
    for (;;) {
      const records = read.all(from, PAGE) as { offset: number; value: Uint8Array }[];
      const last = records.at(-1);
      if (last === undefined) return from - 1;
      from = last.offset + 1;
    }
  };

  return {
    operations: {
      get: () => (get.get(keys[inputs.pick()] as Uint8Array) as { value: Uint8Array }).value.length / 100,
      set: () => {
        const key = keys[inputs.pick()] as Uint8Array;
        const value = newValue();
        return commits.submit(() => {
          set.run(key, value);
          return 1;
        });
      },
      cas: () => {
        const three = inputs.pickThree().map((i) => keys[i] as Uint8Array);
        const expected = three.map((key) => (get.get(key) as { version: number }).version);
        return commits.submit(checkAndSet(three, expected));
      },
      range: () => {
        const first = inputs.pickRange();
        const entries = list.all(keys[first] as Uint8Array, keyOf(first + RANGE), RANGE);
        if (entries.length !== RANGE) throw new Error(`${entries.length} entries instead of ${RANGE}`);
        return 1;
      },
      append: () => {
        const record = newRecord();
        return commits.submit(() => {
          append.run(record, Date.now());
          return 1;
        });
      },
      "read-log": readWhole,
      // A row is a row, however many came with its commit.
      "read-log-single": readWhole,
    },
    async load(count) {
      inputs = createInputs(count);
      keys = Array.from({ length: count }, (_, i) => keyOf(i));
      for (const run of runs(count, 10_000)) {
        await commits.submit(() => {
          for (const i of run) set.run(keys[i] as Uint8Array, newValue());
          return run.length;
        });
      }
    },
    async fillLog(records) {
      for (const run of runs(records, 10_000)) {
        await commits.submit(() => {
          for (const _ of run) fill.run(newRecord(), Date.now());
          return run.length;
        });
      }
    },
    close: () => db.close(),
  };
}

function keyOf(i: number): Uint8Array {
  const key = Buffer.alloc(12, "item", "latin1");
  key.writeBigUInt64BE(BigInt(i), 4);
  return key;
}

/** Commits together what one turn of the event loop issues. */
class TurnCommit {
  readonly #begin;
  readonly #commit;
  readonly #rollback;
  #waiting: Waiting[] = [];

  constructor(db: DatabaseSync) {
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#rollback = db.prepare("ROLLBACK");
  }

  submit(apply: () => number): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ apply, resolve, reject }) === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const group = this.#waiting;
    this.#waiting = [];
    const results: number[] = [];
    this.#begin.run();
    try {
      for (const { apply } of group) results.push(apply());
      this.#commit.run();
    } catch (error) {
      this.#rollback.run();
      for (const { reject } of group) reject(error);
      return;
    }
    for (let i = 0; i < group.length; i++) group[i]?.resolve(results[i] as number);
  }
}

interface Waiting {
  readonly apply: () => number;
  readonly resolve: (result: number) => void;
  readonly reject: (reason: unknown) => void;
}
