import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { OutcomeUnknownError, UnavailableError } from "../../core/index.ts";
import { bytes, commitOf, eventually, scratchFile, set } from "./testing/scratch.ts";
import type { WriterData } from "./wire.ts";
import { startWriter, WriterClient } from "./writer-client.ts";

function openClient(t: TestContext, start: (data: WriterData) => Worker) {
  const client = new WriterClient({
    file: scratchFile(t),
    sessionMs: 10_000,
    now: () => undefined,
    onCommit: () => {},
    start,
  });
  t.after(() => client.close());
  return client;
}

test("when the writer's thread dies, only the commit that it was at is unknown, and the next request starts another", async (t) => {
  let starts = 0;
  const client = openClient(t, (workerData) => {
    if (++starts > 1) return startWriter(workerData);
    return new Worker(new URL("./testing/dying-writer.ts", import.meta.url), { workerData });
  });
  await client.open();
  const [at, queued] = await Promise.allSettled([
    client.flush([commitOf(set("a", "1"))]),
    client.flush([commitOf(set("b", "2"))]),
  ]);
  assert.ok(at.status === "rejected" && at.reason instanceof OutcomeUnknownError, String(at));
  assert.ok(queued.status === "rejected" && queued.reason instanceof UnavailableError);
  assert.match(queued.reason.message, /the writer's thread has ended unexpectedly; nothing was applied/);
  assert.equal((await client.flush([commitOf(set("a", "3"))]))[0]?.ok, true);
  assert.equal(starts, 2);
});

test("a thread that is killed while idle is replaced without anyone's noticing", async (t) => {
  const workers: Worker[] = [];
  const client = openClient(t, (data) => {
    const worker = startWriter(data);
    workers.push(worker);
    return worker;
  });
  await client.flush([commitOf(set("a", "1"))]);
  await workers[0]?.terminate();
  const [outcome] = await client.flush([commitOf(set("a", "2"))]);
  assert.deepEqual(outcome, { ok: true, revision: 2, adds: [], offsets: [] });
  assert.equal(workers.length, 2);
});

test("a session of a thread that died is over", async (t) => {
  const workers: Worker[] = [];
  const client = openClient(t, (data) => {
    const worker = startWriter(data);
    workers.push(worker);
    return worker;
  });
  const session = await client.openSession();
  await client.applyInSession(session, commitOf(set("a", "1")));
  const waiting = client.flush([commitOf(set("b", "1"))]);
  waiting.catch(() => {});
  await workers[0]?.terminate();
  await assert.rejects(waiting, UnavailableError);
  await assert.rejects(client.commitSession(session), { code: "INVALID_STATE" });
  const [outcome] = await client.flush([
    { checks: [{ kind: "key", key: bytes("a"), revision: 0 }], mutations: [], bytes: 0 },
  ]);
  assert.equal(outcome?.ok, true, "nothing of the session was applied");
});

test("a thread that cannot open the database fails every request with the reason, and tries again with the next", async (t) => {
  const file = `${scratchFile(t)}/missing/data.db`;
  const client = new WriterClient({ file, sessionMs: 1000, now: () => undefined, onCommit: () => {} });
  await assert.rejects(client.open(), { code: "INVALID_ARGUMENT" });
  await assert.rejects(client.flush([commitOf(set("a", "1"))]), { code: "INVALID_ARGUMENT" });
  await client.close();
  await eventually("nothing is left", () => true);
});
