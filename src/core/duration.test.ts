import assert from "node:assert/strict";
import { it } from "node:test";
import { type Duration, toMilliseconds } from "./duration.ts";
import { isAshlarError } from "./errors.ts";

it("a number is milliseconds", () => {
  for (const ms of [0, 1, 0.5, 1e9]) assert.equal(toMilliseconds(ms, "ttl"), ms);
});

it("a string has a unit", () => {
  const cases: [Duration, number][] = [
    ["250ms", 250],
    ["30s", 30_000],
    ["1.5h", 5_400_000],
    ["2m", 120_000],
    ["7d", 604_800_000],
    ["0s", 0],
  ];
  for (const [text, ms] of cases) assert.equal(toMilliseconds(text, "ttl"), ms);
});

it("anything else is refused by the argument's name", () => {
  const bad = [
    Number.NaN,
    -1,
    Number.POSITIVE_INFINITY,
    "",
    "5",
    "s",
    "-5s",
    "1e3s",
    " 5s",
    "5s ",
    "5 s",
    "5S",
    "5w",
    ".5s",
    "5.s",
    "5sec",
    null,
    undefined,
    {},
    5n,
    `${"9".repeat(400)}d`,
  ];
  for (const given of bad) {
    assert.throws(
      () => toMilliseconds(given as Duration, "options.ttl"),
      (error) => isAshlarError(error, "INVALID_ARGUMENT") && error.message.startsWith("options.ttl: given "),
      String(given),
    );
  }
});

it("bounds are inclusive and stand in the message", () => {
  const bounds = { min: 1000, max: 60_000 };
  assert.equal(toMilliseconds("1s", "ttl", bounds), 1000);
  assert.equal(toMilliseconds("1m", "ttl", bounds), 60_000);
  for (const given of ["999ms", "61s"] as const) {
    assert.throws(
      () => toMilliseconds(given, "ttl", bounds),
      /ttl: given "\d+m?s"; allowed: a duration of 1000 ms to 60000 ms/,
    );
  }
});
