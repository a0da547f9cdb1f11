import assert from "node:assert/strict";
import { test } from "node:test";
import { isAshlarError } from "./errors.ts";
import { type StandardSchema, validate } from "./schema.ts";

const port: StandardSchema<{ port: number }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => {
      const given = (value as { port?: unknown } | null)?.port ?? 80;
      return Number.isInteger(given)
        ? { value: { port: Number(given) } }
        : { issues: [{ message: "must be an integer", path: [{ key: "port" }, 0] }, { message: "no" }] };
    },
  },
};

test("a value comes back as its schema makes it", async () => {
  assert.deepEqual(await validate(port, {}, "config"), { port: 80 });
});

test("a value that does not satisfy its schema is refused with the paths of what is wrong", async () => {
  await assert.rejects(validate(port, { port: "x" }, "config"), (error) => {
    assert.ok(isAshlarError(error, "INVALID_ARGUMENT"));
    assert.match(error.message, /^config does not satisfy its schema: port\.0: must be an integer; no$/);
    assert.deepEqual(error.details["issues"], [
      { path: "port.0", message: "must be an integer" },
      { path: "", message: "no" },
    ]);
    return true;
  });
});
