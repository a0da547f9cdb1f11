import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assertSubject, matches, parsePattern } from "./subjects.ts";

/** What the words say, one token after another. */
function dumb(pattern: readonly string[], subject: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return subject.length === 0;
  if (head === ">" && rest.length === 0) return subject.length >= 1;
  return subject.length > 0 && (head === "*" || head === subject[0]) && dumb(rest, subject.slice(1));
}

const token = fc.constantFrom("a", "b", "ab", "é", "x-1");
const subject = fc.array(token, { minLength: 1, maxLength: 5 });
const pattern = fc
  .tuple(fc.array(fc.oneof(token, fc.constant("*")), { maxLength: 5 }), fc.boolean())
  .map(([tokens, isOpen]) => (isOpen ? [...tokens, ">"] : tokens))
  .filter((tokens) => tokens.length > 0);

test("patterns match as a dumb matcher says", () => {
  let met = 0;
  fc.assert(
    fc.property(pattern, subject, (tokens, given) => {
      const parsed = parsePattern(tokens.join("."));
      const expected = dumb(tokens, given);
      assert.equal(matches(parsed, given), expected);
      if (parsed.only !== undefined) assert.equal(parsed.only === given.join("."), expected);
      if (expected) met++;
    }),
    { numRuns: 2000 },
  );
  assert.ok(met > 50, `only ${met} of the patterns matched`);
});

test("subjects and patterns are bounded words without spaces", () => {
  const good = ["a", "a.b", "é.ü", "x".repeat(512), "a-b_c:d/e.1"];
  const bad = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a b",
    "a.\t",
    "a\u0000",
    "\ud800",
    "x".repeat(513),
    "é".repeat(257),
    5,
    null,
    undefined,
    ["a"],
  ];
  for (const each of good) {
    assertSubject(each);
    assert.equal(parsePattern(each).only, each);
  }
  for (const each of [...bad, "*", "a.*", ">", "a*"])
    assert.throws(() => assertSubject(each), { code: "INVALID_ARGUMENT", message: /subject/ });
  for (const each of [...bad, ">.a", "a.>.b", "a*", "a.b>", "**", "*>"]) {
    assert.throws(() => parsePattern(each), { code: "INVALID_ARGUMENT", message: /pattern/ });
  }
});
