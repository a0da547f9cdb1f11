import assert from "node:assert/strict";
import { test } from "node:test";
import { fromEvents, type HistoryEvent, type Operation } from "../history.ts";
import { partitionLog } from "./partition-log.ts";

type Line = readonly ["append", unknown, unknown?] | readonly ["poll", number, unknown?];

/** Operations one after the other; an append without an offset is of unknown outcome, one with `false` failed. */
function historyOf(...lines: Line[]): Operation[] {
  const events: HistoryEvent[] = [];
  for (const [id, [name, input, output]] of lines.entries()) {
    events.push({ event: "invoke", id, client: "c", name, key: "t", input });
    if (output === false) events.push({ event: "failed", id });
    else if (output !== undefined) events.push({ event: "ok", id, output });
  }
  return fromEvents(events);
}

const summaryOf = (...lines: Line[]) => {
  const { verdict, summary } = partitionLog().check(historyOf(...lines));
  return verdict === "ok" ? "ok" : summary;
};

test("an honest log is not accused", () => {
  const page = [
    [0, "a"],
    [1, "b"],
    [2, "x"],
  ];
  assert.equal(
    summaryOf(
      ["append", "a", 0],
      ["append", "b", 1],
      ["append", "x"],
      ["append", "never", false],
      ["poll", 0, page],
      ["poll", 3, []],
    ),
    "ok",
  );
});

test("each way to break a log has its own sentence", () => {
  assert.match(summaryOf(["append", "a", 0], ["append", "b", 0]), /offset 0 was given twice/);
  assert.match(summaryOf(["append", "a", 0], ["poll", 0, [[0, "b"]]]), /offset 0 holds "a" and "b"/);
  assert.match(summaryOf(["poll", 0, [[0, "b"]]]), /"b" was read, which nobody appended/);
  assert.match(summaryOf(["append", "b", false], ["poll", 0, [[0, "b"]]]), /whose append had failed/);
  assert.match(summaryOf(["append", "a", 1], ["append", "b", 0]), /offset 1 was given before offset 0/);
  assert.match(
    summaryOf(["append", "a"], ["append", "b", 1], ["poll", 0, [[1, "b"]]]),
    /came to offset 1 instead of 0/,
  );
  assert.match(summaryOf(["append", "a", 0], ["poll", 0, []]), /from offset 0 found nothing, though offset 0/);
});

test("topics are apart, and what overlaps has no order", () => {
  const [a, b] = historyOf(["append", "a", 0], ["append", "b", 0]) as [Operation, Operation];
  assert.equal(partitionLog().check([a, { ...b, key: "u" }]).verdict, "ok");
  const [c, d] = historyOf(["append", "a", 1], ["append", "b", 0]) as [Operation, Operation];
  assert.equal(partitionLog().check([{ ...c, returned: 2.5 }, d]).verdict, "ok");
});

test("malformed operations are refused with their id", () => {
  assert.throws(() => summaryOf(["append", "a", -1]), /id 0: given the output -1/);
  assert.throws(() => summaryOf(["append", "a", 0], ["poll", -3, []]), /id 1: given the input -3/);
  assert.throws(() => summaryOf(["poll", 0, ["a"]]), /an array of \[offset, record\]/);
});
