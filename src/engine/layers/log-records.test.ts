import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CorruptionError, concat } from "../../core/index.ts";
import { blockOverhead, describeRow, packRecords, RecordPage, type Wanted, withLeastTime } from "./log-records.ts";

const everything: Wanted = { from: 0, limit: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };
const records = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 40 });
const row = fc.array(fc.record({ records, time: fc.integer({ min: 0, max: 2 ** 52 }) }), {
  minLength: 1,
  maxLength: 6,
});

test("what is packed comes back, from any offset, within any bounds", () => {
  const wanted = fc.record({
    from: fc.nat(200),
    limit: fc.integer({ min: 1, max: 100 }),
    bytes: fc.integer({ min: 1, max: 5000 }),
  });
  fc.assert(
    fc.property(row, fc.nat(50), wanted, (blocks, first, want) => {
      const packed = concat(...blocks.map(({ records, time }) => packRecords(records, time)));
      const all = blocks
        .flatMap(({ records, time }) => records.map((value) => ({ value, time })))
        .map((record, i) => ({ offset: first + i, ...record }));
      const page = new RecordPage(want);
      assert.equal(page.add(packed, first), first + all.length);

      const expected: typeof all = [];
      let size = 0;
      for (const record of all.filter(({ offset }) => offset >= want.from)) {
        size += record.value.length;
        if (expected.length === want.limit || (expected.length > 0 && size > want.bytes)) break;
        expected.push(record);
      }
      assert.deepEqual(page.records, expected);
      assert.equal(page.next, expected.length > 0 ? (expected.at(-1)?.offset as number) + 1 : want.from);
      assert.deepEqual(describeRow(packed), { count: all.length, time: Math.max(...blocks.map(({ time }) => time)) });
    }),
  );
});

test("a page goes on over rows until it is full", () => {
  const rows = [
    packRecords([Uint8Array.of(0), Uint8Array.of(1)], 5),
    packRecords([Uint8Array.of(2)], 6),
    packRecords([Uint8Array.of(3)], 7),
  ];
  const page = new RecordPage({ ...everything, from: 1, limit: 2 });
  let offset = 0;
  for (const each of rows) offset = page.add(each, offset);
  assert.equal(offset, 4);
  assert.ok(page.full);
  assert.deepEqual(
    page.records.map(({ offset, value, time }) => [offset, value[0], time]),
    [
      [1, 1, 5],
      [2, 2, 6],
    ],
  );
});

test("a page skips what is gone before it begins, and ends at it afterwards", () => {
  const page = new RecordPage({ ...everything, from: 2 });
  page.skipTo(1);
  page.skipTo(4);
  assert.equal(page.next, 4);
  page.add(packRecords([Uint8Array.of(4)], 1), 4);
  page.skipTo(5);
  assert.equal(page.full, false);
  page.skipTo(8);
  assert.equal(page.full, true);
  page.add(packRecords([Uint8Array.of(8)], 1), 8);
  assert.deepEqual(
    page.records.map(({ offset }) => offset),
    [4],
  );
});

test("times can be raised, in the block or while reading", () => {
  const block = packRecords([Uint8Array.of(1)], 100);
  assert.equal(withLeastTime(block, 99), block);
  assert.equal(describeRow(withLeastTime(block, 2 ** 45)).time, 2 ** 45);
  assert.equal(describeRow(block).time, 100);
  const page = new RecordPage(everything);
  page.add(block, 0, 150);
  assert.equal(page.records[0]?.time, 150);
});

test("the overhead is what it is said to be", () => {
  const given = [new Uint8Array(3), new Uint8Array(0), new Uint8Array(10)];
  assert.equal(packRecords(given, 1).length, blockOverhead(3) + 13);
});

test("a row that is cut off or changed is corrupt or another row, but never read past its end", () => {
  fc.assert(
    fc.property(
      row,
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.integer({ min: 1, max: 255 }),
      (blocks, where, flip) => {
        const packed = concat(...blocks.map(({ records, time }) => packRecords(records, time)));
        const at = Math.floor(where * packed.length);
        const changed = packed.slice();
        changed[at] = (changed[at] as number) ^ flip;
        for (const damaged of [changed, packed.slice(0, at)]) {
          // In the midst of other bytes, as a view of a driver's page would be.
          const within = new Uint8Array(damaged.length + 20).subarray(10, 10 + damaged.length);
          within.set(damaged);
          const page = new RecordPage(everything);
          try {
            page.add(within, 0);
            describeRow(within);
          } catch (error) {
            assert.ok(error instanceof CorruptionError, String(error));
          }
          for (const { value } of page.records) {
            assert.ok(
              value.byteOffset >= within.byteOffset &&
                value.byteOffset + value.length <= within.byteOffset + within.length,
            );
          }
        }
      },
    ),
  );
});
