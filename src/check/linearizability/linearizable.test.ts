import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Operation } from "../history.ts";
import { counter } from "../models/counter.ts";
import { fifoQueue } from "../models/fifo-queue.ts";
import { keyValue, register } from "../models/register.ts";
import { linearizable } from "./linearizable.ts";
import type { Model } from "./model.ts";
import { Dice } from "./testing/dice.ts";
import { draw } from "./testing/draw.ts";
import { generate } from "./testing/generate.ts";
import { testObjects } from "./testing/objects.ts";
import { testStore, withStaleRead } from "./testing/store.ts";

/** Adds whose sums are not known, and a read of a sum that only some subset of them could give: all subsets must be tried. */
function hard(adds: number, sum: number): Operation[] {
  const client = (id: number): string => `c${id}`;
  const pending = Array.from({ length: adds }, (_, id): Operation => {
    return { id, client: client(id), name: "add", input: 2 * 3 ** id, outcome: "ok", called: id, returned: 1000 + id };
  });
  const read = { client: client(adds), name: "read", output: sum, outcome: "ok", called: 500, returned: 501 } as const;
  return [...pending, { id: adds, ...read }];
}

describe("linearizable", () => {
  it("says of an empty history that it is", () => {
    const { check, verdict, operations, explanation } = linearizable(register).check([]);
    assert.deepEqual([check, verdict, operations, explanation], ["linearizable register", "ok", [], []]);
  });

  it("shows the few operations that contradict one another, and why", () => {
    const history = draw(`
      a: <set(x) 1>  <set(x) 2>               <set(x) 4>
      b:       <get(y) → null>    <get(x) → 2>          <get(x) → 4>
      c:   <set(y) 7>           <set(x) 3        >  <get(y) → 7>     <get(x) → 1>`);
    const result = linearizable(keyValue).check(history);
    assert.equal(result.verdict, "violated");
    assert.equal(result.partition, "x");
    const told = (operations: readonly Operation[] = []): string[] =>
      operations.map(({ name, input, output }) => `${name} ${JSON.stringify(input ?? output)}`);
    assert.deepEqual(told(result.operations), ["set 1", "set 2", "get 1"]);
    assert.deepEqual(told(result.longest), ["set 1", "set 2"]);
    assert.deepEqual(
      result.stuck?.map(({ why }) => why),
      ["is not possible where the state is 2"],
    );
    assert.equal(result.summary, "the 7 operations of x have no legal order; 3 of them suffice to see it");
    assert.deepEqual(result.explanation, [
      "a longest legal order: a: set x 1, a: set x 2; then the state is 2",
      "c: get x → 1 is not possible where the state is 2",
      "a: set x 2 had begun after a: set x 1 had ended",
      "c: get x → 1 had begun after a: set x 2 had ended",
    ]);
  });

  it("ends the story at the first return that has no place", () => {
    const { operations, stuck } = linearizable(fifoQueue).check(
      draw("a: <enqueue 1> <dequeue → 1> <dequeue → 2> <enqueue 2> <dequeue → 1>"),
    );
    assert.deepEqual(
      operations.map(({ id }) => id),
      [2],
    );
    assert.deepEqual(
      stuck?.map(({ why }) => why),
      ["is not possible where the state is []"],
    );
  });

  it("keeps a write that was pending where the story ends", () => {
    const { operations } = linearizable(register).check(
      draw(`a: <set 1>  <set 2                        > <set 3>
            b:            <get → 2>
            c:                        <get → 1>`),
    );
    assert.deepEqual(
      operations.map(({ id }) => id),
      [0, 1, 2, 3],
    );
  });

  it("does not judge the output of an operation whose outcome is unknown", () => {
    const history = draw("a: <set 1> <get → 1>").map((each): Operation => {
      return each.name === "get" ? { ...each, output: 7, outcome: "unknown", returned: Infinity } : each;
    });
    assert.equal(linearizable(register).check(history).verdict, "ok");
  });

  it("counts operations that touch at one instant as overlapping", () => {
    const set: Operation = { id: 0, client: "a", name: "set", input: 1, outcome: "ok", called: 0, returned: 5 };
    const get: Operation = { id: 1, client: "b", name: "get", output: null, outcome: "ok", called: 5, returned: 6 };
    assert.equal(linearizable(register).check([set, get]).verdict, "ok");
    assert.equal(linearizable(register).check([set, { ...get, called: 5.5 }]).verdict, "violated");
  });

  it("refuses operations that end before they begin, and bounds that are none", () => {
    const set: Operation = { id: 4, client: "a", name: "set", input: 1, outcome: "ok", called: 3, returned: 2 };
    assert.throws(() => linearizable(register).check([set]), /operation 4, returned: given 2/);
    assert.throws(() => linearizable(register).check([{ ...set, returned: Infinity }]), /operation 4, returned/);
    assert.throws(() => linearizable(register).check([{ ...set, called: Number.NaN }]), /operation 4, called/);
    for (const steps of [0, 1.5, Infinity]) assert.throws(() => linearizable(register, { steps }), /options\.steps/);
  });

  it("refuses a model whose reads change the state", () => {
    const wrong: Model<number> = {
      name: "wrong",
      initial: 0,
      step: (state) => state + 1,
      key: (state) => state,
      isRead: () => true,
    };
    assert.throws(() => linearizable(wrong).check(draw("a: <get → 1>")), /wrong/);
  });

  it("says unknown, and nothing else, when its steps are used up", () => {
    const impossible = hard(24, 1);
    const result = linearizable(counter, { steps: 20_000 }).check(impossible);
    assert.equal(result.verdict, "unknown");
    assert.deepEqual([result.operations, result.explanation], [[], []]);
    assert.match(result.summary, /20000 steps/);
  });

  it("says unknown when it cannot remember more", () => {
    const items = Array.from({ length: 9 }, (_, id) => ({ item: `${id}`.repeat(4_000), id }));
    const puts = items.map(({ item, id }): Operation => {
      return { id, client: `c${id}`, name: "enqueue", input: item, outcome: "ok", called: id, returned: 100 + id };
    });
    const take = {
      client: "c9",
      name: "dequeue",
      output: "another",
      outcome: "ok",
      called: 50,
      returned: 500,
    } as const;
    const result = linearizable(fifoQueue, { steps: 1_000_000_000 }).check([...puts, { id: 9, ...take }]);
    assert.equal(result.verdict, "unknown");
    assert.match(result.summary, /memory/);
  });

  it("decides with enough steps, and more never change the verdict", () => {
    const histories = [hard(12, 1), hard(12, 2 * (3 ** 2 + 3 ** 7 + 3 ** 11))];
    for (let seed = 0; seed < 40; seed++) {
      const history = generate(testStore(1), new Dice(seed), { clients: 6, operations: 60, unknown: 0.1 });
      histories.push(history, withStaleRead(history));
    }
    const models = (at: number): Model => (at < 2 ? counter : keyValue);
    const seen = new Set<string>();
    for (const [at, history] of histories.entries()) {
      let decided = "unknown";
      for (const steps of [1, 30, 100, 300, 1000, 10_000, 100_000, 10_000_000]) {
        const { verdict } = linearizable(models(at), { steps }).check(history);
        assert.ok(decided === "unknown" || verdict === decided, `history ${at}: ${decided}, then ${verdict}`);
        decided = verdict;
        seen.add(`${steps} ${verdict}`);
      }
      assert.notEqual(decided, "unknown");
    }
    for (const each of ["1 unknown", "10000000 ok", "10000000 violated"]) assert.ok(seen.has(each), each);
  });

  it("finds an easy part that is violated however hard the others are", () => {
    const at = (key: string, operations: readonly Operation[], first: number): Operation[] =>
      operations.map((operation) => ({ ...operation, key, id: first + operation.id }));
    const easy = draw("a: <add 1 → 1> <read → 2>");
    const history = [...at("a", hard(24, 1), 0), ...at("b", easy, 25), ...at("c", hard(24, 1), 27)];
    const { verdict, partition } = linearizable(counter, { steps: 100_000 }).check(history);
    assert.deepEqual([verdict, partition], ["violated", "b"]);
  });

  it("gives the same result for the same history", () => {
    const made = testObjects["cas-register"]?.();
    assert.ok(made);
    const history = generate(made, new Dice(5), { clients: 5, operations: 60, unknown: 0.1 });
    const changed = history.map((each, at) => (at === 50 ? { ...each, name: "get", output: 77 } : each));
    const [first, second] = [1, 2].map(() =>
      linearizable(keyValue).check(changed.map((each) => ({ ...each, key: "x" }))),
    );
    assert.equal(first?.verdict, "violated");
    assert.deepEqual(first, second);
  });
});

describe("10,000 operations of 50 clients", () => {
  for (const keys of [100, 10, 1]) {
    for (const unknown of [0, 0.005]) {
      const title = `on ${keys} keys, ${unknown === 0 ? "all answered" : "some of unknown outcome"}`;
      it(`${title}: are accepted, and refused with one stale read`, () => {
        const history = generate(testStore(keys), new Dice(keys), { clients: 50, operations: 10_000, unknown });
        assert.equal(linearizable(keyValue).check(history).verdict, "ok");
        const { verdict, operations } = linearizable(keyValue).check(withStaleRead(history));
        assert.equal(verdict, "violated");
        assert.ok(operations.length <= 20, `${operations.length} operations are shown`);
      });
    }
  }
});
