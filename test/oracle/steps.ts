import fc from "fast-check";
import type { Check, Mutation, Topic } from "../../src/engine/index.ts";
import type { Key, KeyRange } from "../../src/index.ts";
import type { World } from "./world.ts";

/** One call of a client, planned without knowing the state: checks say how they relate to it. */
export type Step =
  | { readonly call: "commit"; readonly checks: readonly CheckPlan[]; readonly mutations: readonly Mutation[] }
  | { readonly call: "get"; readonly key: Key }
  | { readonly call: "getMany"; readonly keys: readonly Key[] }
  | {
      readonly call: "list";
      readonly range: KeyRange;
      readonly options: { readonly limit?: number; readonly reverse?: boolean };
    }
  | {
      readonly call: "read";
      readonly topic: Topic;
      readonly options: { readonly from?: number; readonly limit?: number };
    }
  | { readonly call: "bounds"; readonly topic: Topic }
  | { readonly call: "trim"; readonly topic: Topic; readonly before: number };

/**
 * A key or a range as it is now, as it was `back` commits ago, or as it never was: `absent` (nothing there), `present` (a key, at whatever version), `swapped` (an entry at
 * the version of another commit), `short` (an entry left out).
 */
export interface CheckPlan {
  readonly of: { readonly key: Key } | { readonly range: KeyRange };
  readonly as: "present" | "now" | "before" | "absent" | "swapped" | "short";
  readonly back: number;
}

/** The check as planned, given the state. */
export function resolveCheck({ of, as, back }: CheckPlan, world: World): Check {
  const commit = as === "before" ? Math.max(0, world.commits - back) : world.commits;
  const range: KeyRange = "key" in of ? { key: of.key as Key } : of.range;
  const entries = as === "absent" ? [] : world.listAt(commit, range).map(({ key, version }) => ({ key, version }));
  if (as === "present" && "key" in of) return { key: of.key as Key, present: true };
  const [first] = entries;
  if (as === "short") entries.pop();
  // Where something is, something was committed.
  if (as === "swapped" && first) {
    entries[0] = { key: first.key, version: world.versionOf(1 + (back % world.commits)) };
  }
  return "key" in of ? { key: of.key as Key, version: entries[0]?.version } : { range, entries };
}

/** In their order. Few, so that they meet often; hostile, in what they hold and in how they sort. */
export const keys: readonly Key[] = [
  [new Uint8Array([255, 0])],
  [""],
  ["a"],
  ["a", new Uint8Array([])],
  ["a", new Uint8Array([0, 255])],
  ["a", ""],
  ["a", "\0"],
  ["a", "\0\xff"],
  ["a", "b", "c"],
  ["a", -(2n ** 70n)],
  ["a", -1],
  ["a", 0],
  ["a", 255],
  ["a", 256],
  ["a", 2n ** 64n],
  ["a", false],
  ["a", true],
  ["a\0"],
  ["a%_'\";--"],
  ["\uffff"],
  ["\u{10000}"],
  ["😀", "\u202e"],
  [0],
  [Number.MAX_SAFE_INTEGER],
  [true],
];

const topics: readonly Topic[] = ["t", "t\0", ["t", 1], ["t", "1"]];

const key = fc.constantFrom(...keys);
const topic = fc.constantFrom(...topics);

const value = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -5, max: 20 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<unknown>(
      null,
      "",
      "text\0😀",
      1.5,
      -0,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.MAX_SAFE_INTEGER,
      2 ** 53,
      -(2n ** 63n),
      2n ** 200n,
      new Uint8Array([0, 1, 255]),
      new Date(0),
      new Map<unknown, unknown>([[{ a: 1 }, new Set([1])]]),
      { a: [undefined, { b: null }] },
    ),
  },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }).map((json) => structuredClone(json)) },
);

const range: fc.Arbitrary<KeyRange> = fc.oneof(
  fc.record({ key }),
  fc.record({ prefix: fc.oneof(key, fc.constant<Key>([])), start: key, end: key }, { requiredKeys: [] }),
  fc.record({ prefix: fc.oneof(key, fc.constant<Key>([])), after: key, end: key }, { requiredKeys: [] }),
);

const bound = fc.integer({ min: -10, max: 25 });
const delta = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -6, max: 9 }) },
  { weight: 1, arbitrary: fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER) },
);

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ set: key, value }) },
  { weight: 2, arbitrary: fc.record({ delete: key }) },
  {
    weight: 4,
    arbitrary: fc.record({ add: key, delta, floor: bound, ceiling: bound }, { requiredKeys: ["add", "delta"] }),
  },
  { weight: 3, arbitrary: fc.record({ append: topic, records: fc.array(value, { minLength: 1, maxLength: 4 }) }) },
);

const check: fc.Arbitrary<CheckPlan> = fc.record({
  of: fc.oneof(fc.record({ key }), fc.record({ range })),
  // Most hold, or hardly any batch with several would be applied.
  as: fc.oneof(
    { weight: 8, arbitrary: fc.constant("now" as const) },
    { weight: 3, arbitrary: fc.constantFrom("present", "before", "absent", "swapped", "short") },
  ),
  back: fc.nat({ max: 6 }),
});

const commit = fc.record({
  call: fc.constant("commit" as const),
  checks: fc.array(check, { maxLength: 3 }),
  mutations: fc.uniqueArray(mutation, { maxLength: 6, selector: targetOf }),
});

export const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: commit },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("get" as const), key }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("getMany" as const), keys: fc.array(key, { maxLength: 5 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      call: fc.constant("list" as const),
      range,
      options: fc.record({ limit: fc.nat({ max: 5 }), reverse: fc.boolean() }, { requiredKeys: [] }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      call: fc.constant("read" as const),
      topic,
      options: fc.record({ from: fc.nat({ max: 20 }), limit: fc.integer({ min: 1, max: 6 }) }, { requiredKeys: [] }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("bounds" as const), topic }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant("trim" as const), topic, before: fc.nat({ max: 15 }) }) },
);

/** A batch may name a key or a topic once. */
function targetOf(mutation: Mutation): string {
  const [what, target] = Object.entries(mutation)[0] as [string, Topic];
  const kind = what === "append" ? topics.indexOf(target) : keys.indexOf(target as Key);
  return `${what === "append"} ${kind}`;
}
