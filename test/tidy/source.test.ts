import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSource } from "./source.ts";

const codeOf = (text: string) => parseSource("src/a/b.ts", text).code;

test("comments, strings and regular expressions are no code, and nothing moves", () => {
  const text = [
    `const a = "x // y"; // Date.now()`,
    `/* Date.now()`,
    ` */ const b = 'it\\'s' + c / d / e;`,
    `const r = /["'/*]\\/[/"]/g.test(b) ? 1 : 2;`,
  ].join("\n");
  const code = codeOf(text);
  assert.equal(code.length, text.length);
  assert.equal(
    code.replace(/ +/g, " "),
    [`const a = " "; `, ` `, ` const b = ' ' + c / d / e;`, `const r = .test(b) ? 1 : 2;`].join("\n"),
  );
});

test("the code inside a template literal is code, the text around it is not", () => {
  const code = codeOf(["const t = `Date.now() $", "{f({ a: `$", "{Math.random()} }` })} Date.now()`; g();"].join(""));
  assert.equal(code.match(/Date\.now/g), null);
  assert.equal(code.match(/Math\.random/g)?.length, 1);
  assert.match(code, /g\(\);$/);
});

test("characters outside the basic plane keep the places of what follows", () => {
  const text = `const a = "😀😀"; Date.now(); // 😀`;
  assert.equal(codeOf(text).indexOf("Date.now"), text.indexOf("Date.now"));
  assert.equal(codeOf(text).length, text.length);
});

test("an unterminated string, template, comment or expression ends the scan, not the process", () => {
  for (const text of ['const a = "x', "const a = `x ${y", "/* x", "const a = /x", "}", "\\"]) {
    assert.equal(codeOf(text).length, text.length);
  }
});

test("every form of import is found, with its kind and its line", () => {
  const text = `import { a, type B } from "./one.ts";
import type { C } from "../two.ts";
import type from "type-fest";
import {
  d,
} from "node:fs";
import "./effect.ts";
export { e } from "./three.ts";
export type { F } from "./four.ts";
const lazy = await import("pg");
type G = import("./five.ts").Thing;
const h: typeof import("./six.ts") = lazy;
new Worker(new URL("./worker.ts", import.meta.url));
const text = 'import { x } from "./seven.ts"';
// import { y } from "./eight.ts";
`;
  const found = parseSource("src/a/b.ts", text).imports.map(
    ({ kind, specifier, target, line }) => `${line} ${kind} ${target ?? specifier}`,
  );
  assert.deepEqual(found.sort(), [
    "1 value src/a/one.ts",
    "10 dynamic pg",
    "11 type src/a/five.ts",
    "12 type src/a/six.ts",
    "13 url src/a/worker.ts",
    "2 type src/two.ts",
    "3 value type-fest",
    "4 value node:fs",
    "7 value src/a/effect.ts",
    "8 value src/a/three.ts",
    "9 type src/a/four.ts",
  ]);
});
