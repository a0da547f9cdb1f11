import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { CorruptionError } from "../../core/index.ts";
import { Database } from "./database.ts";
import { Ledger } from "./ledger.ts";
import { rowBytes, tailBytes } from "./log-rows.ts";
import { Reader } from "./reader.ts";
import { append, bytes, commitOf, scratchFile, text } from "./testing/scratch.ts";

function open(t: TestContext) {
  const file = scratchFile(t);
  const ledger = new Ledger({ file });
  const reader = new Reader(file, Date.now);
  t.after(() => {
    reader.close();
    ledger.close();
  });
  const rows = reader.prepare<[first: number, count: number, size: number]>(
    "SELECT first, count, length(data) FROM ashlar_log ORDER BY topic, first",
  );
  return { file, ledger, reader, rows: () => rows.all() };
}

const topic = bytes("t");
const everything = [0, 1e9, 1e9] as const;

test("records appended one by one share a row until it holds nearly a page", (t) => {
  const { ledger, rows } = open(t);
  for (let i = 0; i < 100; i++) ledger.flush([commitOf(append("t", randomBytes(256)))]);
  const sizes = rows();
  assert.equal(
    sizes.reduce((sum, [, count]) => sum + count, 0),
    100,
  );
  assert.deepEqual(
    sizes.slice(0, -1).map(([first, count]) => [first, count]),
    [0, 1, 2, 3, 4, 5].map((i) => [i * 15, 15]),
  );
  for (const [, , size] of sizes) assert.ok(size <= tailBytes);
});

test("many records appended together are split into rows of bounded size, and a larger record has a row of its own", (t) => {
  const { ledger, reader, rows } = open(t);
  const huge = new Uint8Array(3 * rowBytes).fill(7);
  const records = [...Array.from({ length: 1000 }, (_, i) => bytes(`${i}`.padEnd(100))), huge, bytes("last")];
  ledger.flush([commitOf(append("t", ...records))]);
  const sizes = rows();
  const small = sizes.filter(([, , size]) => size <= rowBytes);
  assert.equal(sizes.length - small.length, 1);
  assert.ok(small.length >= 4);
  assert.ok(small.slice(0, 3).every(([, , size]) => size > rowBytes - 110));
  const read = reader.log.read(topic, ...everything);
  assert.deepEqual(
    read.map(({ value }) => Buffer.from(value)),
    records.map((each) => Buffer.from(each)),
  );
  assert.deepEqual(
    read.map(({ offset }) => offset),
    records.map((_, i) => i),
  );
});

test("reading begins at any offset and ends at the bound that is met first, after one record at least", (t) => {
  const { ledger, reader } = open(t);
  for (let i = 0; i < 50; i++)
    ledger.flush([commitOf(append("t", ...Array.from({ length: 7 }, (_, j) => `${i * 7 + j}`.padStart(100))))]);
  for (let from = 0; from <= 350; from++) {
    const [record] = reader.log.read(topic, from, 1, 0);
    assert.equal(record?.offset, from < 350 ? from : undefined);
    assert.equal(text(record?.value)?.trim(), from < 350 ? `${from}` : undefined);
  }
  const offsets = (from: number, limit: number, size: number) =>
    reader.log.read(topic, from, limit, size).map(({ offset }) => offset);
  assert.deepEqual(offsets(40, 3, 1e9), [40, 41, 42]);
  assert.deepEqual(offsets(40, 100, 399), [40, 41, 42]);
  assert.deepEqual(offsets(40, 100, 400), [40, 41, 42, 43]);
  assert.equal(offsets(0, 1e9, 1e9).length, 350);
  assert.deepEqual(offsets(1e6, 1, 1), []);
});

test("a trim inside a packed row keeps exactly the records from its offset on", (t) => {
  const { ledger, reader, rows } = open(t);
  ledger.flush([commitOf(append("t", ...Array.from({ length: 20 }, (_, i) => `${i}`)), append("u", "other"))], 1000);
  assert.equal(ledger.trim(topic, 13, 1000), true);
  assert.deepEqual(reader.log.bounds(topic), { first: 13, next: 20 });
  assert.deepEqual(
    reader.log.read(topic, ...everything).map(({ offset, value, time }) => [offset, text(value), time]),
    [13, 14, 15, 16, 17, 18, 19].map((i) => [i, `${i}`, 1000]),
  );
  assert.equal(reader.log.read(topic, 3, 1, 1)[0]?.offset, 13);
  ledger.trim(topic, 5, 1000);
  assert.deepEqual(reader.log.bounds(topic), { first: 13, next: 20 });
  ledger.flush([commitOf(append("t", "20"))], 2000);
  assert.deepEqual(
    reader.log.read(topic, 18, 9, 999).map(({ offset, time }) => [offset, time]),
    [
      [18, 1000],
      [19, 1000],
      [20, 2000],
    ],
  );
  assert.deepEqual(reader.log.bounds(bytes("u")), { first: 0, next: 1 });
  assert.equal(rows().length, 2);
});

test("a topic that was trimmed to its end goes on with the next offset, and its times do not go back", (t) => {
  const { ledger, reader } = open(t);
  ledger.flush([commitOf(append("t", "a", "b", "c"))], 5000);
  assert.equal(ledger.trim(topic, 1e6, 1000), true);
  assert.deepEqual(reader.log.bounds(topic), { first: 3, next: 3 });
  assert.deepEqual(reader.log.read(topic, ...everything), []);
  const [outcome] = ledger.flush([commitOf(append("t", "d"))], 4000);
  assert.deepEqual(outcome?.ok && outcome.offsets, [3]);
  assert.deepEqual(
    reader.log.read(topic, ...everything).map(({ offset, time }) => [offset, time]),
    [[3, 5000]],
  );
  assert.deepEqual(reader.log.bounds(topic), { first: 3, next: 4 });
});

test("a topic that was trimmed to its end takes a large append as well as a small one", (t) => {
  const { ledger, reader } = open(t);
  ledger.flush([commitOf(append("t", "a", "b"))], 1000);
  ledger.trim(topic, 2, 1000);
  const records = Array.from({ length: 20 }, () => new Uint8Array(rowBytes / 8));
  const [outcome] = ledger.flush([commitOf(append("t", ...records))], 2000);
  assert.deepEqual(outcome?.ok && outcome.offsets, [2]);
  const read = reader.log.read(topic, ...everything);
  assert.deepEqual(
    read.map(({ offset, time }) => [offset, time]),
    records.map((_, i) => [i + 2, 2000]),
  );
});

test("a long trim goes in steps, each of which leaves a shorter log without a gap", (t) => {
  const { ledger, reader, rows } = open(t);
  for (let i = 0; i < 20; i++) ledger.flush([commitOf(append("t", randomBytes(tailBytes)))]);
  assert.equal(rows().length, 20);
  const firsts: number[] = [];
  while (!ledger.trim(topic, 18, 5)) firsts.push(reader.log.bounds(topic).first);
  assert.deepEqual(firsts, [5, 10, 15]);
  assert.deepEqual(reader.log.bounds(topic), { first: 18, next: 20 });
  assert.equal(ledger.trim(bytes("unknown"), 5, 5), true);
});

test("a clock that is set back does not set back the times of a topic", (t) => {
  const { ledger, reader } = open(t);
  for (const now of [1000, 3000, 2000, 3001]) ledger.flush([commitOf(append("t", "r"))], now);
  assert.deepEqual(
    reader.log.read(topic, ...everything).map(({ time }) => time),
    [1000, 3000, 3000, 3001],
  );
});

test("a damaged row is reported as corruption", (t) => {
  const { file, ledger, reader } = open(t);
  ledger.flush([commitOf(append("t", "a", "b"))]);
  const other = new Database(file, 1000);
  other.exec("UPDATE ashlar_log SET data = substr(data, 1, length(data) - 1)");
  other.close();
  assert.throws(() => reader.log.read(topic, ...everything), CorruptionError);
});
