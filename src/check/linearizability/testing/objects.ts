import type { Dice } from "./dice.ts";

export interface Request {
  readonly name: string;
  readonly key?: string;
  readonly input?: unknown;
}

/** A real object, changed in place, that also makes up requests to itself. */
export interface TestObject {
  request(dice: Dice): Request;
  run(request: Request, dice: Dice): unknown;
}

/** By the name of the model that describes it. */
export const testObjects: Readonly<Record<string, () => TestObject>> = {
  register: () => registers(["get", "get", "set"], [undefined]),
  "cas-register": () => registers(["get", "set", "cas"], [undefined]),
  "key-value": () => registers(["get", "get", "set", "delete", "cas", "add"], ["x", "x", "y"]),
  set: testSet,
  counter: testCounter,
  "fifo-queue": () => testQueue((items) => items.shift()),
  "unordered-queue": () => testQueue((items, dice) => items.splice(dice.below(items.length), 1)[0]),
  "fenced-mutex": testMutex,
  log: testLog,
};

function registers(names: readonly string[], keys: readonly (string | undefined)[]): TestObject {
  const values = new Map<string | undefined, number>();
  let distinct: boolean | undefined;
  let greatest = 0;
  return {
    request(dice) {
      distinct ??= dice.chance(0.5);
      const key = dice.pick(keys);
      const name = dice.pick(names);
      const value = distinct ? ++greatest : 1 + dice.below(3);
      const expected = dice.chance(0.5) ? (values.get(key) ?? null) : dice.pick([null, 1, 2]);
      const input = name === "cas" ? { expected, value } : value;
      const isBare = name === "get" || name === "delete";
      return { name, ...(key !== undefined && { key }), ...(!isBare && { input }) };
    },
    run({ name, key, input }) {
      const value = values.get(key);
      switch (name) {
        case "get":
          return value ?? null;
        case "delete":
          return values.delete(key);
        case "cas": {
          const { expected, value: next } = input as { expected: number | null; value: number };
          if ((value ?? null) !== expected) return false;
          values.set(key, next);
          return true;
        }
        case "add":
          values.set(key, (value ?? 0) + (input as number));
          return values.get(key);
        default:
          values.set(key, input as number);
          return undefined;
      }
    },
  };
}

function testSet(): TestObject {
  const elements = new Set<unknown>();
  return {
    request(dice) {
      const name = dice.pick(["add", "remove", "contains", "read"]);
      return name === "read" ? { name } : { name, input: dice.below(3) };
    },
    run({ name, input }) {
      if (name === "read") return [...elements];
      if (name === "contains") return elements.has(input);
      const had = elements.has(input);
      if (name === "add") elements.add(input);
      else elements.delete(input);
      return had === (name === "remove");
    },
  };
}

function testCounter(): TestObject {
  let sum = 0;
  return {
    request(dice) {
      const name = dice.pick(["add", "add", "read"]);
      return name === "read" ? { name } : { name, input: dice.below(4) - 1 };
    },
    run({ name, input }, dice) {
      if (name === "read") return sum;
      sum += input as number;
      return dice.chance(0.5) ? sum : undefined;
    },
  };
}

function testQueue(take: (items: unknown[], dice: Dice) => unknown): TestObject {
  const items: unknown[] = [];
  let distinct: boolean | undefined;
  let greatest = 0;
  return {
    request(dice) {
      distinct ??= dice.chance(0.5);
      if (dice.chance(0.5)) return { name: "dequeue" };
      return { name: "enqueue", input: distinct ? ++greatest : dice.below(4) };
    },
    run({ name, input }, dice) {
      if (name === "dequeue") return items.length === 0 ? null : take(items, dice);
      items.push(input);
      return undefined;
    },
  };
}

function testMutex(): TestObject {
  let holder: number | undefined;
  let given = 0;
  let accepted = 0;
  return {
    request(dice) {
      const name = dice.pick(["acquire", "acquire", "release", "check"]);
      if (name === "acquire") return { name };
      const token = Math.max(0, given - dice.below(2));
      return name === "release" && dice.chance(0.2) ? { name } : { name, input: token };
    },
    run({ name, input }) {
      if (name === "acquire") {
        if (holder !== undefined) return null;
        holder = ++given;
        return holder;
      }
      if (name === "release") {
        if (holder === undefined || (input !== undefined && input !== holder)) return false;
        holder = undefined;
        return true;
      }
      if ((input as number) < accepted) return false;
      accepted = input as number;
      return true;
    },
  };
}

function testLog(): TestObject {
  const records: unknown[] = [];
  return {
    request(dice) {
      if (dice.chance(0.5)) return { name: "append", input: dice.below(3) };
      const from = dice.below(records.length + 1);
      return { name: "read", ...(dice.chance(0.8) && { input: dice.chance(0.5) ? from : { from, limit: 2 } }) };
    },
    run({ name, input }, dice) {
      if (name === "append") return dice.chance(0.7) ? records.push(input) - 1 : void records.push(input);
      const { from = 0, limit = records.length } =
        typeof input === "object" ? (input as { from: number; limit: number }) : { from: input as number };
      return records.slice(from, from + limit);
    },
  };
}
