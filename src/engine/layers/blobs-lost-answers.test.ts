import assert from "node:assert/strict";
import { test } from "node:test";
import { OutcomeUnknownError, UnavailableError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import { MemoryStore } from "../memory/index.ts";
import { assertSame, bytesOf, once, openBlobs, read, settle, touches } from "./testing/blob-client.ts";

const lost = (): never => {
  throw new OutcomeUnknownError("the answer is lost");
};

/** Two clients of one store with the object `["b"]` in it; the answer to the first one's next publication is lost. */
async function twoClients() {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const [mine, other] = [openBlobs(store, runtime), openBlobs(store, runtime)];
  await settle(runtime, other.blobs.put(["b"], bytesOf(10, 1)));
  mine.meddling.after = once(touches("object"), lost);
  return { runtime, mine, other };
}

test("a put whose answer was lost, and after which the engine is away, does not say that it failed for sure", async () => {
  const { runtime, mine, other } = await twoClients();
  let away = false;
  mine.meddling.before = () => {
    away = true;
  };
  mine.meddling.get = () => {
    if (away) throw new UnavailableError("the engine is away");
  };
  await assert.rejects(settle(runtime, mine.blobs.put(["b"], bytesOf(10, 2))), { code: "OUTCOME_UNKNOWN" });
  assertSame(await read(other.blobs, ["b"]), bytesOf(10, 2));
});

test("a put whose answer was lost does not bring back what was replaced or deleted since", async () => {
  for (const change of ["put", "delete"] as const) {
    const { runtime, mine, other } = await twoClients();
    mine.meddling.after = once(touches("object"), async () => {
      if (change === "put") await other.blobs.put(["b"], bytesOf(10, 3));
      else await other.blobs.delete(["b"]);
      lost();
    });
    await assert.rejects(settle(runtime, mine.blobs.put(["b"], bytesOf(10, 2))), { code: "OUTCOME_UNKNOWN" });
    const found = await read(other.blobs, ["b"]);
    if (change === "put") assertSame(found, bytesOf(10, 3));
    else assert.equal(found, undefined);
  }
});

test("a large put whose answer was lost knows from its upload that it took place, though it was replaced since", async () => {
  const { runtime, mine, other } = await twoClients();
  mine.meddling.after = once(touches("object"), async () => {
    await other.blobs.put(["b"], bytesOf(10, 3));
    lost();
  });
  await settle(runtime, mine.blobs.put(["b"], bytesOf(400_000, 2)));
  assertSame(await read(other.blobs, ["b"]), bytesOf(10, 3));
});

test("a put whose commit never arrived is done again while the object is still the one to be replaced", async () => {
  const { runtime, mine, other } = await twoClients();
  delete mine.meddling.after;
  mine.meddling.before = once(touches("object"), lost);
  await settle(runtime, mine.blobs.put(["b"], bytesOf(10, 2)));
  assertSame(await read(other.blobs, ["b"]), bytesOf(10, 2));
});
