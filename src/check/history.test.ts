import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TimeoutError, UnavailableError } from "../core/index.ts";
import { formatHistory, fromEvents, type HistoryEvent, parseHistory, toEvents } from "./history.ts";
import { createRecorder } from "./recorder.ts";

const invoke = (id: number): HistoryEvent => ({ event: "invoke", id, client: "c", name: "get", key: "k" });

/** Histories of operations that overlap at random; some are never answered. */
const histories = fc.array(fc.tuple(fc.nat(3), fc.jsonValue()), { maxLength: 40 }).map((steps) => {
  const events: HistoryEvent[] = [];
  const open: number[] = [];
  let next = 0;
  for (const [step, value] of steps) {
    const id = step > 1 && open.length > 0 ? open.splice(step % open.length, 1)[0] : undefined;
    if (id === undefined) {
      open.push(next);
      events.push({ event: "invoke", id: next++, client: `c${step}`, name: "do", input: value, time: next });
    } else events.push({ event: step === 2 ? "ok" : "failed", id, output: value, time: next + 0.5 });
  }
  return events;
});

test("a history goes to JSON lines and back, and keeps the order of all events", () => {
  fc.assert(
    fc.property(histories, (events) => {
      const history = fromEvents(events);
      // JSON knows no -0.
      const plain = JSON.parse(JSON.stringify(events));
      assert.deepEqual(JSON.parse(JSON.stringify(toEvents(history))), plain);
      const again = parseHistory(formatHistory(history));
      assert.deepEqual(formatHistory(again), formatHistory(history));
      assert.deepEqual(
        again.map(({ called, returned, outcome }) => [called, returned, outcome]),
        history.map(({ called, returned, outcome }) => [called, returned, outcome]),
      );
    }),
    { seed: 1 },
  );
});

test("what is never answered, or is told to be unknown, has an unknown outcome and no return", () => {
  const history = fromEvents([
    invoke(5),
    invoke(6),
    { event: "unknown", id: 6 },
    invoke(7),
    { event: "ok", id: 7, output: 1 },
  ]);
  assert.deepEqual(
    history.map(({ id, outcome, called, returned }) => [id, outcome, called, returned]),
    [
      [0, "unknown", 0, Infinity],
      [1, "unknown", 1, Infinity],
      [2, "ok", 3, 4],
    ],
  );
});

test("a torn last line is skipped, any other mistake is named with its line", () => {
  const line = `${JSON.stringify(invoke(0))}\n`;
  assert.equal(parseHistory(`${line}\n{"event":"ok","i`).length, 1);
  const wrong: [string, RegExp][] = [
    [`${line}{"event":"ok","i\n`, /history line 2/],
    [`${line}[]\n`, /history line 2/],
    ['{"event":"begin","id":1}\n', /history line 1, event.*begin/],
    ['{"event":"invoke","id":1.5,"client":"c","name":"n"}\n', /history line 1, id/],
    ['{"event":"invoke","id":1,"client":7,"name":"n"}\n', /history line 1, client/],
    ['{"event":"invoke","id":1,"client":"c","name":"n","key":[]}\n', /history line 1, key/],
    [`${line}${line}`, /id 0 was called twice/],
    ['{"event":"ok","id":1}\n', /id 1 is answered but was not called/],
    [`${line}{"event":"ok","id":0}\n{"event":"ok","id":0}\n`, /id 0 was answered twice/],
  ];
  for (const [text, message] of wrong) assert.throws(() => parseHistory(text), { code: "INVALID_ARGUMENT", message });
});

test("a recorder notes the call before, the answer after, and what an error says of the outcome", async () => {
  const events: HistoryEvent[] = [];
  let now = 0;
  const recorder = createRecorder({ now: () => now++, onEvent: (event) => events.push(event) });
  const input = { list: [1] };
  const call = { client: "c", name: "do", key: "k", input };
  const first = recorder.record(call, async () => {
    assert.equal(events.length, 1);
    input.list.push(2);
    return "result";
  });
  assert.equal(await first, "result");
  await assert.rejects(
    recorder.record(call, () => Promise.reject(new UnavailableError("away"))),
    /away/,
  );
  await assert.rejects(recorder.record(call, () => Promise.reject(new TimeoutError("late", { definite: false }))));
  await assert.rejects(recorder.record(call, () => Promise.reject(new Error("who knows"))));
  void recorder.record(
    call,
    () => new Promise(() => {}),
    () => "never",
  );
  const history = recorder.history();
  assert.deepEqual(
    history.map(({ outcome, output }) => [outcome, output]),
    [
      ["ok", "result"],
      ["failed", undefined],
      ["unknown", undefined],
      ["unknown", undefined],
      ["unknown", undefined],
    ],
  );
  assert.deepEqual(history[0]?.input, { list: [1] });
  assert.deepEqual(history[0]?.time, [0, 1]);
});
