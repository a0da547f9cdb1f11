import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { models } from "../models/models.ts";
import { linearizable } from "./linearizable.ts";
import type { Model } from "./model.ts";
import { draw } from "./testing/draw.ts";

type Example = readonly [model: string, fact: string, verdict: "ok" | "violated", drawing: string];

const examples: readonly Example[] = [
  ["register", "a read sees the write before it", "ok", "a: <set 1> <get → 1>"],
  ["register", "a read does not see a value that was overwritten", "violated", "a: <set 1> <set 2> <get → 1>"],
  ["register", "a value that nobody wrote is not read", "violated", "a: <set 1> <get → 3>"],
  ["register", "nothing is read as null", "ok", "a: <get → null> <set 1> <get → 1>"],
  [
    "register",
    "a read beside a write may see the old value or the new",
    "ok",
    `a: <set 1>  <set 2                      >
     b:            <get → 1>     <get → 2>`,
  ],
  [
    "register",
    "a read does not see the old value after another has seen the new (new-old inversion)",
    "violated",
    `a: <set 1>  <set 2                      >
     b:            <get → 2>
     c:                        <get → 1>`,
  ],
  [
    "register",
    "two who read while two write see them in the same order",
    "violated",
    `a: <set 1           >
     b: <set 2           >
     c:                     <get → 1> <get → 2>`,
  ],
  [
    "register",
    "a write of unknown outcome may be seen long after",
    "ok",
    `a: <set 1> <get → 1>        <get → 2>
     b:          <set 2`,
  ],
  [
    "register",
    "a write of unknown outcome may never be seen",
    "ok",
    `a: <set 1> <get → 1>        <get → 1>
     b:          <set 2`,
  ],
  [
    "register",
    "a write of unknown outcome happens once",
    "violated",
    `a: <set 1> <get → 2> <set 3> <get → 3> <get → 2>
     b:      <set 2`,
  ],
  ["register", "a write that failed is not seen", "violated", `a: <set 1> <set 2!> <get → 2>`],
  [
    "register",
    "values are compared as JSON, whatever the order of fields",
    "ok",
    `a: <set {"x":1,"y":[2]}> <get → {"y":[2],"x":1}>`,
  ],
  ["cas-register", "a swap of what is there", "ok", `a: <set 1> <cas {"expected":1,"value":2} → true> <get → 2>`],
  [
    "cas-register",
    "two cannot swap the same value",
    "violated",
    `a: <set 1> <cas {"expected":1,"value":2} → true>
     b:          <cas {"expected":1,"value":3} → true>`,
  ],
  [
    "cas-register",
    "a swap that was refused tells that the value was another",
    "violated",
    `a: <set 1> <cas {"expected":1,"value":2} → false>`,
  ],
  [
    "cas-register",
    "a swap that failed is an observation if it has an output",
    "violated",
    `a: <set 1> <cas {"expected":1,"value":2} → false!>`,
  ],
  [
    "cas-register",
    "a swap that failed without an output tells nothing",
    "ok",
    `a: <set 1> <cas {"expected":1,"value":2}!>`,
  ],
  [
    "cas-register",
    "a write of unknown outcome that only a refused swap could have seen",
    "ok",
    `a: <set 1>    <cas {"expected":1,"value":2} → false>
     b:         <set 5`,
  ],
  ["key-value", "keys are independent of one another", "ok", "a: <set(x) 1> <set(y) 2> <get(x) → 1> <get(y) → 2>"],
  ["key-value", "a key that was deleted is absent", "violated", "a: <set(x) 1> <delete(x)> <get(x) → 1>"],
  ["key-value", "a delete tells whether there was a value", "violated", "a: <set(x) 1> <delete(x) → false>"],
  [
    "key-value",
    "of two who add, none is lost (lost update)",
    "violated",
    `a: <set(x) 1> <add(x) 2 → 3>
     b:             <add(x) 4    >   <get(x) → 3>`,
  ],
  [
    "key-value",
    "an add to a value that is no number cannot have happened",
    "violated",
    `a: <set(x) "text"> <add(x) 1>`,
  ],
  ["set", "an element that was added is in it", "violated", "a: <add 1 → true> <read → []>"],
  ["set", "an element can be added once", "violated", "a: <add 1 → true> <add 1 → true>"],
  [
    "set",
    "elements are read in any order",
    "ok",
    "a: <add 1> <add 2> <remove 1 → true> <add 3> <read → [3,2]> <contains 1 → false>",
  ],
  ["counter", "a sum that somebody has seen does not go back", "violated", "a: <add 2 → 2> <add → 3> <read → 2>"],
  [
    "counter",
    "an add of unknown outcome counts once or not at all",
    "violated",
    `a: <read → 0>       <read → 10>
     b: <add 5`,
  ],
  ["fifo-queue", "what went in first comes out first", "violated", "a: <enqueue 1> <enqueue 2> <dequeue → 2>"],
  [
    "fifo-queue",
    "items that went in side by side come out in any order",
    "ok",
    `a: <enqueue 1>             <dequeue → 2> <dequeue → 1> <dequeue → null>
     b:   <enqueue 2>`,
  ],
  ["fifo-queue", "an item comes out once", "violated", "a: <enqueue 1> <dequeue → 1> <dequeue → 1>"],
  [
    "fifo-queue",
    "a dequeue of unknown outcome may have taken an item",
    "ok",
    `a: <enqueue 1> <enqueue 2>   <dequeue → 2>
     b:                <dequeue`,
  ],
  ["unordered-queue", "items come out in any order", "ok", "a: <enqueue 1> <enqueue 2> <dequeue → 2> <dequeue → 1>"],
  ["unordered-queue", "a queue with an item is not empty", "violated", "a: <enqueue 1> <dequeue → null>"],
  [
    "unordered-queue",
    "a dequeue of unknown outcome takes one item",
    "violated",
    `a: <enqueue 1> <enqueue 2>   <dequeue → null>
     b:                <dequeue`,
  ],
  ["fenced-mutex", "two do not hold the lock", "violated", "a: <acquire → 1> <acquire → 2>"],
  ["fenced-mutex", "tokens grow", "violated", "a: <acquire → 5> <release 5> <acquire → 5>"],
  [
    "fenced-mutex",
    "a lease that runs out is a release of unknown outcome",
    "ok",
    `a: <acquire → 1>              <acquire → 2> <check 2 → true> <check 1 → false>
     b:               <release 1`,
  ],
  [
    "fenced-mutex",
    "an old token is refused after a new one was seen",
    "violated",
    "a: <check 2 → true> <check 1 → true>",
  ],
  ["fenced-mutex", "a lock that is free is given", "violated", "a: <acquire → 1> <release 1> <acquire → null>"],
  ["log", "offsets are dense", "violated", `a: <append "a" → 0> <append "b" → 2>`],
  ["log", "what was appended is read", "violated", `a: <append "a" → 0> <read → []>`],
  [
    "log",
    "a record of unknown outcome may stand between others",
    "ok",
    `a: <append "a" → 0>      <append "b" → 2> <read 1 → ["x","b"]> <read {"from":0,"limit":1} → ["a"]>
     b:      <append "x"`,
  ],
  ["log", "two do not get the same offset", "violated", `a: <append "a" → 0> \n b: <append "b" → 0>`],
];

describe("models", () => {
  for (const [name, fact, verdict, drawing] of examples) {
    it(`${name}: ${fact}`, () => {
      const history = draw(drawing);
      assert.equal(linearizable(models[name] as Model).check(history).verdict, verdict);
    });
  }

  for (const [name, drawing, message] of [
    ["register", "a: <get → null> <put 1>", /operation 1 \(put\), name: given "put"; allowed: "get", "set"/],
    ["register", "a: <cas 1>", /operation 0 \(cas\), name/],
    ["cas-register", `a: <cas {"expected":1}>`, /operation 0 \(cas\), input.*allowed: \{"expected"/],
    ["key-value", "a: <get → 1>", /operation 0 \(get\), key: given undefined; allowed: a string/],
    ["key-value", `a: <add(x) "1">`, /operation 0 \(add\), input: given "1"; allowed: an integer/],
    ["key-value", `a: <add(x) 1 → "2">`, /operation 0 \(add\), output/],
    ["set", "a: <add>", /operation 0 \(add\), input/],
    ["set", "a: <read → 1>", /operation 0 \(read\), output/],
    ["set", "a: <contains 1>", /operation 0 \(contains\), output/],
    ["counter", "a: <read>", /operation 0 \(read\), output/],
    ["counter", "a: <add 1.5>", /operation 0 \(add\), input/],
    ["fifo-queue", "a: <enqueue null>", /operation 0 \(enqueue\), input/],
    ["unordered-queue", "a: <push 1>", /operation 0 \(push\), name/],
    ["fenced-mutex", "a: <check -1 → true>", /operation 0 \(check\), input/],
    ["fenced-mutex", `a: <acquire → "x">`, /operation 0 \(acquire\), output/],
    ["log", `a: <read {"from":0,"limit":-1} → []>`, /operation 0 \(read\), input/],
    ["log", "a: <append → 1>", /operation 0 \(append\), input/],
  ] as const) {
    it(`${name} refuses ${drawing.slice(3)} and says why`, () => {
      const history = draw(drawing);
      assert.throws(() => linearizable(models[name] as Model).check(history), { code: "INVALID_ARGUMENT", message });
    });
  }

  it("are found by their names", () => {
    assert.deepEqual(Object.keys(models).sort(), [
      ...["cas-register", "counter", "fenced-mutex", "fifo-queue", "key-value", "log", "register", "set"],
      "unordered-queue",
    ]);
    for (const [name, model] of Object.entries(models)) assert.equal(model.name, name);
  });
});
