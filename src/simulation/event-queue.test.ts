import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type EventOwner, EventQueue, type ScheduledEvent } from "./event-queue.ts";

const owner: EventOwner = { name: "o", alive: true, paused: false, defer() {}, enter: (run) => run(), failed() {} };

test("events come out by time, and those of one instant in the order in which they were put in", () => {
  const step = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constant("pop" as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new EventQueue();
      const model: ScheduledEvent[] = [];
      let order = 0;
      for (const at of steps) {
        if (at === "pop") {
          model.sort((a, b) => a.at - b.at || a.order - b.order);
          assert.equal(queue.pop(), model.shift());
          continue;
        }
        const event = { at, order: order++, label: { text: "", hash: 0 }, owner, run() {}, cancelled: false };
        queue.push(event);
        model.push(event);
        assert.equal(queue.size, model.length);
      }
      model.sort((a, b) => a.at - b.at || a.order - b.order);
      for (const event of model) assert.equal(queue.pop(), event);
      assert.equal(queue.pop(), undefined);
    }),
  );
});
