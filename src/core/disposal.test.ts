import assert from "node:assert/strict";
import { it } from "node:test";
import { createCloser } from "./disposal.ts";
import { ClosedError } from "./errors.ts";

it("closing runs once, and every caller waits for the same end", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let runs = 0;
  const closer = createCloser(() => {
    runs++;
    return promise;
  }, "the engine");
  const [first, second] = [closer.close(), closer.close()];
  assert.equal(first, second);
  resolve();
  await first;
  await closer.close();
  assert.equal(runs, 1);
});

it("it is closed from the first call of close on, for the closing function too", async () => {
  const seen: boolean[] = [];
  const closer = createCloser(async () => {
    seen.push(closer.closed);
  }, "the engine");
  closer.assertOpen();
  assert.equal(closer.closed, false);
  const closing = closer.close();
  assert.equal(closer.closed, true);
  await closing;
  assert.deepEqual(seen, [true]);
  assert.throws(
    () => closer.assertOpen(),
    (error) => error instanceof ClosedError && error.message.startsWith("the engine is closed"),
  );
});

it("a closing function that throws rejects for everyone, and is not run again", async () => {
  for (const fail of [
    async () => Promise.reject(new Error("disk")),
    () => {
      throw new Error("disk");
    },
  ]) {
    const closer = createCloser(fail, "the engine");
    await assert.rejects(closer.close(), /disk/);
    await assert.rejects(closer.close(), /disk/);
  }
});
