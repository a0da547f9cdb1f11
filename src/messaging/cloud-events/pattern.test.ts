import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { matches, parsePattern } from "../../engine/layers/subjects.ts";
import { compilePattern, matchPattern } from "./index.ts";

/** What the words say, one token after another. */
function dumb(pattern: readonly string[], name: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return name.length === 0;
  if (head === ">" && rest.length === 0) return name.length >= 1;
  return name.length > 0 && (head === "*" || head === name[0]) && dumb(rest, name.slice(1));
}

const token = fc.constantFrom("a", "b", "ab", "é", "x-1");
const name = fc.array(token, { minLength: 1, maxLength: 5 });
const pattern = fc
  .tuple(fc.array(fc.oneof(token, fc.constant("*")), { maxLength: 5 }), fc.boolean())
  .map(([tokens, isOpen]) => (isOpen ? [...tokens, ">"] : tokens))
  .filter((tokens) => tokens.length > 0);

test("patterns match as a dumb matcher says, and as the engine's bus does", () => {
  let met = 0;
  fc.assert(
    fc.property(pattern, name, (tokens, given) => {
      const text = tokens.join(".");
      const expected = dumb(tokens, given);
      assert.equal(matchPattern(text, given.join(".")), expected);
      assert.equal(matches(parsePattern(text), given), expected);
      const { only } = compilePattern(text);
      assert.equal(only, parsePattern(text).only);
      if (expected) met++;
    }),
    { numRuns: 2000 },
  );
  assert.ok(met > 50, `only ${met} of the patterns matched`);
});

test("patterns are refused exactly where the engine's bus refuses them", () => {
  const part = fc.constantFrom("a", ".", "*", ">", " ", "\u0000", "\ud800", "é", "x".repeat(300));
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      const given = parts.join("");
      const refuses = (parse: (pattern: string) => unknown) => {
        try {
          parse(given);
          return false;
        } catch {
          return true;
        }
      };
      assert.equal(refuses(compilePattern), refuses(parsePattern), given);
    }),
  );
  assert.throws(() => compilePattern("orders.>.x"), { code: "INVALID_ARGUMENT", message: /pattern/ });
});

test("what is no name fits no pattern", () => {
  const all = compilePattern(">");
  for (const given of ["", ".", "a..b", "a b", "*", "a.>", "\ud800"]) assert.equal(all.matches(given), false, given);
  assert.equal(all.matches("a.b"), true);
});
