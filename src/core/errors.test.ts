import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { errorCodes } from "./error-codes.ts";
import * as errors from "./errors.ts";

const {
  AshlarError,
  ConflictError,
  InvalidArgumentError,
  TimeoutError,
  invalidArgument,
  isAshlarError,
  limitExceeded,
} = errors;

describe("the table of error codes", () => {
  it("has a row for every class, and a class for every row", () => {
    const classes = Object.values(errors).filter(
      (exported) => typeof exported === "function" && exported.prototype instanceof AshlarError,
    );
    assert.deepEqual(new Set(errorCodes.map((row) => row.class)), new Set(classes));
    assert.equal(errorCodes.length, classes.length);
  });

  it("says what the classes do", () => {
    for (const row of errorCodes) {
      const error = new row.class("message");
      assert.deepEqual(
        { code: error.code, definite: error.definite, retryable: error.retryable },
        { code: row.code, definite: row.definite, retryable: row.retryable },
      );
      assert.match(row.code, /^[A-Z]+(_[A-Z]+)*$/);
      assert.ok(row.meaning.endsWith(".") && row.remedy.endsWith("."));
    }
  });

  it("covers every code in the sources of the classes", () => {
    const source = readFileSync(new URL("errors.ts", import.meta.url), "utf8");
    const used = [...source.matchAll(/code: "([A-Z_]+)"/g)].map((match) => match[1]);
    assert.deepEqual(new Set(used), new Set(errorCodes.map((row) => row.code)));
  });
});

describe("an error", () => {
  it("carries message, cause and details, and its class's name in the stack", () => {
    const cause = new Error("underneath");
    const error = new ConflictError("key changed", { cause, details: { check: 2 } });
    assert.equal(error.message, "key changed");
    assert.equal(error.cause, cause);
    assert.deepEqual(error.details, { check: 2 });
    assert.equal(String(error), "ConflictError: key changed");
    assert.match(error.stack ?? "", /^ConflictError: key changed\n/);
    assert.match(inspect(error), /code: 'CONFLICT'/);
  });

  it("without a cause has no cause at all", () => {
    assert.equal(Object.hasOwn(new ConflictError("m"), "cause"), false);
    assert.deepEqual(new ConflictError("m").details, {});
  });

  it("is recognised by its brand, whichever copy of the package made it", () => {
    const foreign = Object.assign(new Error("m"), { [Symbol.for("ashlar.error")]: true, code: "CONFLICT" });
    assert.ok(isAshlarError(foreign));
    assert.ok(isAshlarError(foreign, "CONFLICT"));
    assert.ok(!isAshlarError(foreign, "CLOSED"));
    for (const other of [undefined, null, "CONFLICT", new Error("m"), { code: "CONFLICT" }])
      assert.ok(!isAshlarError(other));
  });

  it("of time is indefinite only where its maker says so", () => {
    assert.equal(new TimeoutError("m").definite, true);
    assert.equal(new TimeoutError("m", { definite: false }).definite, false);
  });

  it("of a block may have a code of its own", () => {
    class LockLostError extends AshlarError {
      constructor(name: string) {
        super(`lock ${name} was lost`, { code: "LOCK_LOST", definite: true, retryable: false });
      }
    }
    assert.ok(isAshlarError(new LockLostError("a"), "LOCK_LOST"));
  });
});

describe("invalidArgument", () => {
  it("names the argument, what was given, and what is allowed", () => {
    const error = invalidArgument("ttl", -5, "more than 0");
    assert.ok(error instanceof InvalidArgumentError);
    assert.equal(error.message, "ttl: given -5; allowed: more than 0");
    assert.deepEqual(error.details, { name: "ttl", given: "-5", allowed: "more than 0" });
  });

  it("does not show what an argument with a secret's name holds", () => {
    assert.equal(invalidArgument("password", "hunter2", "text").message, "password: given a string; allowed: text");
  });
});

describe("limitExceeded", () => {
  it("says by how much", () => {
    const error = limitExceeded("value", 300, 256, "bytes");
    assert.equal(error.message, "value: 300 bytes, which is over the limit of 256 bytes");
    assert.deepEqual(error.details, { name: "value", given: 300, limit: 256 });
  });
});
