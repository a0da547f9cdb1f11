import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { skipWithoutPostgres, startPostgres } from "../../../test/servers/postgres.ts";
import { compareBytes, encodeInteger, fromHex, systemRuntime, toHex } from "../../core/index.ts";
import {
  anyRevision,
  type RawBound,
  type RawCheck,
  type RawCommit,
  type RawMutation,
  type RawOutcome,
} from "../driver.ts";
import { applyCommit, isExpired, type Store, type StoredEntry } from "../evaluate.ts";
import { seededRuntime } from "../testing/seeded.ts";
import { type Plan, planFlush } from "./commit.ts";
import { Connections, type Lease } from "./connection.ts";
import { namesOf } from "./names.ts";
import { readHeader } from "./outcome-header.ts";
import { migrate } from "./schema.ts";
import { statementsOf } from "./statements.ts";
import { parseBytea, parseIntegers } from "./wire.ts";
import { FlushIds } from "./writer.ts";

// What the server makes of a flush is compared with what evaluate.ts makes of the same commits, one after another, on a map.

const skip = skipWithoutPostgres();
const names = namesOf("agreement");
const statements = statementsOf(names);
const ids = new FlushIds(systemRuntime.random);
let server: Awaited<ReturnType<typeof startPostgres>>;
let pool: pg.Pool;
let connections: Connections;

before(async () => {
  if (skip) return;
  server = await startPostgres();
  pool = new pg.Pool({ connectionString: server.url });
  connections = new Connections(pool, {
    where: "the test's server",
    runtime: systemRuntime,
    timeout: 30_000,
    connectTimeout: 10_000,
  });
});

after(async () => {
  await pool?.end();
  await server?.stop();
});

for (const [name, options] of Object.entries({
  "every kind of check and mutation, lives of a few milliseconds among them": { ttl: true, seed: 1 },
  "the same without lives, and flushes that only check": { ttl: false, seed: 1000 },
})) {
  test(`random flushes agree with the reference: ${name}`, { skip }, async () => {
    const counts = new Map<string, number>();
    const lease = await connections.acquire();
    try {
      await migrate(lease, names);
      for (let seed = options.seed; seed < options.seed + rounds; seed++) await run(lease, seed, options.ttl, counts);
    } finally {
      lease.discard();
    }
    // The random inputs met everything that they are about.
    const met = [
      "ok",
      "check",
      "ceiling",
      "not-integer",
      "overflow",
      "write",
      "checkedWrite",
      "otherwise",
      "commit",
      ...(options.ttl ? [] : ["verify"]),
    ];
    for (const what of met) assert.ok((counts.get(what) ?? 0) > 5, `${what}: ${counts.get(what) ?? 0} times`);
  });
}

const rounds = Number(process.env["ASHLAR_ROUNDS"] ?? 25);

async function run(lease: Lease, seed: number, ttl: boolean, counts: Map<string, number>): Promise<void> {
  const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1);
  await lease.simple(["kv", "log", "changes"].map((table) => `DELETE FROM ${names.quoted}.${table}`).join(";"));
  const model = new Model();
  const random = new Generator(seed, ttl);
  let now = Date.now();
  for (let i = 0; i < 16; i++) {
    const commits = random.flush(model, now);
    // With lives, the time at which a flush was evaluated must be known: a flush that only checks tells it if it takes the lock.
    let plan = planFlush(commits, statements, { lock: ttl, hopeful: i % 4 > 0 });
    let returned = await call(lease, plan);
    if (returned.length === 0 && plan.otherwise) {
      count("otherwise");
      plan = plan.otherwise();
      returned = await call(lease, plan);
    }
    // A little more than the whole microsecond, so that no rounding brings it below.
    if (plan.writes) now = readHeader(returned).now / 1000 + 0.0004;
    const expected = commits.map((commit) => model.commit(commit, now));
    assert.deepEqual(plan.decode(returned), expected, `seed ${seed}, flush ${i}`);
    count(Object.entries(statements).find(([, statement]) => statement === plan.statement)?.[0] as string);
    for (const outcome of expected) count(outcome.ok ? "ok" : outcome.reason);
    const entries = await lease.simple(
      `SELECT key, value, revision, coalesce(expires, 0) / 1000 FROM ${names.quoted}.kv ORDER BY key`,
    );
    assert.deepEqual(
      entries.map(([key, value, revision, expires]) => [
        toHex(parseBytea(key as string)),
        toHex(parseBytea(value as string)),
        Number(revision),
        Number(expires),
      ]),
      model.entries(),
      `seed ${seed}, state after flush ${i}`,
    );
  }
  const rows = await lease.simple(`SELECT topic, first, count, data FROM ${names.quoted}.log ORDER BY topic, first`);
  assert.deepEqual(logOf(rows as string[][]), model.log(), `seed ${seed}, log`);
}

async function call(lease: Lease, plan: Plan): Promise<readonly (number | undefined)[]> {
  const [row] = await lease.run(plan.statement, plan.writes ? [ids.next(), ...plan.values] : plan.values);
  return parseIntegers(row?.[0]);
}

function logOf(rows: string[][]): [string, string[]][] {
  const topics = new Map<string, string[]>();
  for (const [topic, first, count, data] of rows as [string, string, string, string][]) {
    const records = topics.get(topic) ?? [];
    topics.set(topic, records);
    assert.equal(Number(first), records.length, "offsets are dense");
    const bytes = Buffer.from(parseBytea(data));
    for (let at = 0, i = 0; at < bytes.length || i < Number(count); i++) {
      const length = bytes.readUInt32BE(at);
      records.push(toHex(bytes.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
  }
  return Array.from(topics, ([topic, records]) => [toHex(parseBytea(topic)), records]);
}

/** A deliberately dumb store. */
class Model implements Store {
  #entries = new Map<string, StoredEntry>();
  #topics = new Map<string, string[]>();
  #revision = 0;

  copy(): Model {
    const copy = new Model();
    copy.#entries = new Map(this.#entries);
    copy.#topics = new Map(Array.from(this.#topics, ([topic, records]) => [topic, [...records]]));
    copy.#revision = this.#revision;
    return copy;
  }

  commit(commit: RawCommit, now: number): RawOutcome {
    const writes = commit.mutations.length > 0;
    const outcome = applyCommit(this, commit, now, writes ? this.#revision + 1 : this.#revision);
    if (outcome.ok && writes) this.#revision++;
    return outcome;
  }

  entries(): unknown[] {
    const sorted = [...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1));
    return sorted.map(([key, { value, revision, expires }]) => [key, toHex(value), revision, Math.floor(expires)]);
  }

  log(): unknown[] {
    return [...this.#topics].filter(([, records]) => records.length > 0).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  get(key: Uint8Array): StoredEntry | undefined {
    return this.#entries.get(toHex(key));
  }

  range(start: Uint8Array, end: Uint8Array, limit: number, now: number) {
    return [...this.#entries]
      .map(([key, { revision, expires }]) => ({ key: fromHex(key), revision, expires }))
      .filter(
        ({ key, expires }) => compareBytes(key, start) >= 0 && compareBytes(key, end) < 0 && !isExpired(expires, now),
      )
      .sort((a, b) => compareBytes(a.key, b.key))
      .slice(0, limit);
  }

  set(key: Uint8Array, value: Uint8Array, revision: number, expires: number): void {
    this.#entries.set(toHex(key), { value, revision, expires });
  }

  delete(key: Uint8Array): void {
    this.#entries.delete(toHex(key));
  }

  append(topic: Uint8Array, records: readonly Uint8Array[]): number {
    const kept = this.#topics.get(toHex(topic)) ?? [];
    this.#topics.set(toHex(topic), kept);
    return kept.push(...records.map(toHex)) - records.length;
  }
}

const keys = ["00", "01", "0100", "0101", "01ff", "02", "7f", "80", "c1", "fe", "ff", "ff00", "ffff"].map(fromHex);
const topics = ["aa", "aa00", "bb"].map(fromHex);
const safe = Number.MAX_SAFE_INTEGER;

class Generator {
  readonly #next: () => number;
  readonly #ttl: boolean;

  constructor(seed: number, ttl: boolean) {
    this.#next = seededRuntime(seed).random.next;
    this.#ttl = ttl;
  }

  /** Commits that mostly expect what they will find, be it left by others of the same flush. */
  flush(model: Model, now: number): RawCommit[] {
    const ahead = model.copy();
    const style = this.#pick(["blind", "guarded", "any", "any", "sums", ...(this.#ttl ? [] : ["checks"])]);
    return Array.from({ length: 1 + this.#below(style === "guarded" ? 3 : 12) }, () => {
      const commit = this.#commit(this.#chance(0.8) ? ahead : model, now, style);
      ahead.commit(commit, now);
      return commit;
    });
  }

  #commit(model: Model, now: number, style: string): RawCommit {
    const checks =
      style === "blind" || style === "sums"
        ? []
        : Array.from({ length: this.#below(3) }, () => this.#check(model, now, style === "guarded"));
    const mutations: RawMutation[] = [];
    const used = new Set<Uint8Array>();
    const count =
      style === "checks" ? 0 : style === "blind" || style === "guarded" ? 1 + this.#below(3) : this.#below(4);
    for (let i = 0; i < count; i++) {
      const target = this.#pick(this.#chance(0.2) ? topics : keys);
      if (!used.has(target))
        mutations.push(topics.includes(target) ? this.#append(target) : this.#mutation(target, style));
      used.add(target);
    }
    return { checks, mutations, bytes: 0 };
  }

  #check(model: Model, now: number, ofKey: boolean): RawCheck {
    const off = () => (this.#chance(0.1) ? this.#below(5) - 2 : 0);
    if (ofKey || this.#chance(0.6)) {
      const key = this.#pick(keys);
      const entry = model.get(key);
      if (this.#chance(0.2)) return { kind: "key", key, revision: anyRevision };
      return {
        kind: "key",
        key,
        revision: Math.max(0, (entry && !isExpired(entry.expires, now) ? entry.revision : 0) + off()),
      };
    }
    const [start, end] = [this.#pick(keys), this.#chance(0.3) ? fromHex("ffffff") : this.#pick(keys)];
    const found = model.range(start, end, this.#chance(0.9) ? 100 : 2, now);
    const kept = found.filter(() => !this.#chance(0.03));
    return {
      kind: "range",
      start,
      end,
      keys: kept.map(({ key }) => key),
      revisions: kept.map(({ revision }) => Math.max(1, revision + off())),
    };
  }

  #mutation(key: Uint8Array, style: string): RawMutation {
    const ttl = this.#ttl && this.#chance(0.5) ? 1 + this.#below(12) : undefined;
    const kind =
      style === "sums"
        ? "add"
        : this.#pick(
            style === "blind" || style === "guarded" ? ["set", "set", "delete"] : ["set", "delete", "add", "add"],
          );
    if (kind === "delete") return { kind, key };
    if (kind === "set") return { kind, key, value: this.#value(), ttl };
    const delta = this.#chance(0.1) ? this.#pick([safe, -safe, 0]) : this.#below(20) - 6;
    return { kind: "add", key, delta, floor: this.#bound(), ceiling: this.#bound(), ttl };
  }

  #append(topic: Uint8Array): RawMutation {
    const size = this.#chance(0.05) ? 40_000 : 8;
    const records = Array.from({ length: 1 + this.#below(4) }, () =>
      new Uint8Array(this.#below(size)).fill(this.#below(256)),
    );
    return { kind: "append", topic, records };
  }

  #value(): Uint8Array {
    if (this.#chance(0.5))
      return encodeInteger(this.#chance(0.2) ? this.#pick([safe, -safe, safe - 3]) : this.#below(100) - 50);
    // Nearly integers: the tag with other lengths, and beyond the safe ones.
    return this.#pick(
      ["", "c1", "c100000000000000", "c17fffffffffffffff", "c18000000000000000", "c0000000000000000a"].map(fromHex),
    );
  }

  #bound(): RawBound | undefined {
    if (this.#chance(0.6)) return undefined;
    const clock = this.#pick(["none", "none", "ms", "us"] as const);
    return { clock, plus: this.#chance(0.1) ? this.#pick([safe, -safe]) : this.#below(60) - 20 };
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#below(items.length)] as T;
  }

  #below(bound: number): number {
    return Math.floor(this.#next() * bound);
  }

  #chance(probability: number): boolean {
    return this.#next() < probability;
  }
}
