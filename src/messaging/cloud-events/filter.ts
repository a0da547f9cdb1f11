import { InvalidArgumentError, invalidArgument, limitExceeded } from "../../core/index.ts";
import { isAttributeName } from "./attributes.ts";

/**
 * A filter as data: it can be stored, shown and sent. The dialects `exact`, `prefix`, `suffix`, `all`, `any` and `not` of the CloudEvents Subscriptions API, each over attributes by name (`type`,
 * `subject`, extensions) and, beyond the standard, over the payload by paths such as `data.order.total` or `data.items.0.sku`; a dot that belongs to a name is written `\.`. Several fields in one `exact`,
 * `prefix` or `suffix` must all hold. What is absent fits nothing but a `not`.
 */
export type EventFilter =
  /** The value is this one. Attributes compare by their canonical text; values of the payload by type and value. */
  | { readonly exact: Readonly<Record<string, string | number | boolean | null>> }
  /** The text begins so. */
  | { readonly prefix: Readonly<Record<string, string>> }
  /** The text ends so. */
  | { readonly suffix: Readonly<Record<string, string>> }
  /** Each of these holds. */
  | { readonly all: readonly EventFilter[] }
  /** One of these holds, or more. */
  | { readonly any: readonly EventFilter[] }
  | { readonly not: EventFilter };

/** What filters look at: a CloudEvent, or anything with attributes by name and `data`. */
export type Filterable = Readonly<Record<string, unknown>>;

export type EventPredicate = (event: Filterable) => boolean;

const deepest = 32;
const most = 1000;

/**
 * The filter as a function. An array stands for `all`; empty, it lets everything pass. Does not change when the data it was made of does.
 * @throws InvalidArgumentError no filter; the message says where
 * @throws LimitError more than 32 filters in one another, or more than 1000 filters and fields in all
 */
export function compileFilter(filter: EventFilter | readonly EventFilter[]): EventPredicate {
  const budget = { left: most };
  if (Array.isArray(filter)) return every(filter.map((each, i) => compile(each, `filter[${i}]`, 1, budget)));
  return compile(filter, "filter", 1, budget);
}

function compile(filter: unknown, path: string, depth: number, budget: { left: number }): EventPredicate {
  if (depth > deepest) throw limitExceeded("filter", depth, deepest, "filters in one another");
  spend(budget);
  const [dialect, ...others] = isObject(filter) ? Object.keys(filter) : [];
  if (dialect === undefined || others.length > 0)
    throw invalidArgument(path, filter, "an object with one of exact, prefix, suffix, all, any, not");
  const operand = (filter as Record<string, unknown>)[dialect];
  const inner = `${path}.${dialect}`;
  const nested = (): EventPredicate[] => {
    if (!Array.isArray(operand) || operand.length === 0)
      throw invalidArgument(inner, operand, "an array of one filter or more");
    return operand.map((each, i) => compile(each, `${inner}[${i}]`, depth + 1, budget));
  };
  switch (dialect) {
    case "exact":
      return fields(operand, inner, budget, exactly);
    case "prefix":
      return fields(
        operand,
        inner,
        budget,
        textual((text, given) => text.startsWith(given)),
      );
    case "suffix":
      return fields(
        operand,
        inner,
        budget,
        textual((text, given) => text.endsWith(given)),
      );
    case "all":
      return every(nested());
    case "any": {
      const alternatives = nested();
      return (event) => alternatives.some((alternative) => alternative(event));
    }
    case "not": {
      const negated = compile(operand, inner, depth + 1, budget);
      return (event) => !negated(event);
    }
    default:
      throw invalidArgument(path, dialect, "exact, prefix, suffix, all, any, not");
  }
}

type Test = (value: unknown) => boolean;
/** Makes the test of one field. */
type Tester = (given: unknown, path: string, ofData: boolean) => Test;

function fields(operand: unknown, path: string, budget: { left: number }, tester: Tester): EventPredicate {
  const entries = isObject(operand) ? Object.entries(operand) : [];
  if (entries.length === 0) throw invalidArgument(path, operand, "an object with one field or more");
  return every(
    entries.map(([name, given]) => {
      spend(budget);
      const steps = toPath(name, path);
      const test = tester(given, `${path}.${name}`, steps.length > 1 || steps[0] === "data");
      return (event) => test(lookUp(event, steps));
    }),
  );
}

const exactly: Tester = (given, path, ofData) => {
  const isScalar = typeof given === "string" || typeof given === "boolean" || Number.isFinite(given);
  if (!isScalar && !(ofData && given === null))
    throw invalidArgument(path, given, `text, a number, a boolean${ofData ? ", or null" : ""}`);
  if (given === "" && !ofData) throw invalidArgument(path, given, "a text that is not empty");
  if (ofData) return (value) => value === given;
  const text = String(given);
  return (value) => isScalarAttribute(value) && String(value) === text;
};

function textual(holds: (text: string, given: string) => boolean): Tester {
  return (given, path, ofData) => {
    if (typeof given !== "string" || given === "") throw invalidArgument(path, given, "a text that is not empty");
    return (value) => (ofData ? typeof value === "string" : isScalarAttribute(value)) && holds(String(value), given);
  };
}

function isScalarAttribute(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** `data.a\.b.0` as `["data", "a.b", "0"]`. */
function toPath(name: string, path: string): string[] {
  if (isAttributeName(name) || name === "data") return [name];
  const steps = [""];
  for (let i = 0; i < name.length; i++) {
    const character = name.charAt(i);
    if (character === ".") steps.push("");
    else if (character !== "\\") steps[steps.length - 1] += character;
    else {
      const escaped = name.charAt(++i);
      if (escaped !== "." && escaped !== "\\")
        throw new InvalidArgumentError(`${path}.${name}: a \\ that is not followed by . or \\`);
      steps[steps.length - 1] += escaped;
    }
  }
  if (!name.startsWith("data.") || steps.includes(""))
    throw invalidArgument(path, name, "names of attributes, or paths into the payload such as data.order.total");
  return steps;
}

/** Own properties only: a payload cannot pretend to have what every object has. */
function lookUp(event: Filterable, steps: readonly string[]): unknown {
  let value: unknown = event;
  for (const step of steps) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    if (Array.isArray(value) && step === "length") return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

function every(predicates: readonly EventPredicate[]): EventPredicate {
  const [only] = predicates;
  if (only !== undefined && predicates.length === 1) return only;
  return (event) => predicates.every((predicate) => predicate(event));
}

function spend(budget: { left: number }): void {
  if (budget.left-- === 0) throw limitExceeded("filter", most + 1, most, "filters and fields");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
